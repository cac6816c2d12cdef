"""The 26 controls of trading: their names, settings and the codes they deny with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Control:
    """One control: what it does, the keys of ``risk:`` that set it, the codes it leaves behind."""

    id: str
    name: str
    what: str
    keys: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    # what codes begin with that go on with a configured name
    code_starts: tuple[str, ...] = ()

    def strikes(self, counts: Mapping[str, int]) -> int:
        """Return how many of these counts by code are this control's."""
        return sum(
            n
            for code, n in counts.items()
            if code in self.codes or code.startswith(self.code_starts)
        )


CONTROLS: tuple[Control, ...] = (
    Control(
        "CTL-1",
        "order value",
        "What one order may be worth, after every multiplier.",
        ("max_position_size", "max_order_quote"),
        ("MAX_ORDER",),
    ),
    Control(
        "CTL-2",
        "order volume",
        "What one order may take of the book and of an average minute.",
        ("max_book_share", "max_volume_share"),
        ("BOOK_SHARE", "VOLUME_SHARE"),
    ),
    Control(
        "CTL-3",
        "price collar",
        "How far a price may be from its reference when the order leaves.",
        ("collar_majors", "collar", "max_slippage"),
        ("PRICE_COLLAR", "NO_REFERENCE", "REFERENCE_OLD", "SLIPPAGE"),
    ),
    Control(
        "CTL-4",
        "position and exposure",
        "What may be held of a symbol, by a strategy, in all, and what stays in cash.",
        (
            "max_strategy_exposure",
            "max_group_exposure",
            "correlated_groups",
            "max_gross_exposure",
            "cash_reserve",
            "leverage",
        ),
        ("MAX_SYMBOL", "MAX_STRATEGY", "MAX_GROSS", "LEVERAGE", "CASH_RESERVE", "NO_SHORTS"),
        ("MAX_GROUP_",),
    ),
    Control(
        "CTL-5",
        "open orders",
        "Orders and positions that may be open at once; exits and stops do not count.",
        ("max_open_orders", "max_open_orders_per_symbol", "max_open_positions"),
        ("OPEN_ORDERS", "OPEN_ORDERS_SYMBOL", "OPEN_POSITIONS"),
    ),
    Control(
        "CTL-6",
        "message throttle",
        "Entries an hour and a day of venue time.",
        ("max_orders_per_hour", "max_orders_per_day"),
        ("ORDERS_PER_HOUR", "ORDERS_PER_DAY"),
    ),
    Control(
        "CTL-7",
        "repeated entries",
        "The same entry again and again stops its strategy until a person resumes it.",
        ("max_entries_per_15m", "max_entries_per_day"),
        ("REPEATED_ENTRIES", "REPEATED_ENTRIES_DAY"),
    ),
    Control(
        "CTL-8",
        "duplicates",
        "The same strategy, symbol, side and size within seconds is denied.",
        ("duplicate_window_s",),
        ("DUPLICATE", "DUPLICATE_ORDER"),
    ),
    Control(
        "CTL-9",
        "loss limits",
        "A day's or a week's loss ends entries for a time, a drawdown halts.",
        ("max_day_loss", "max_week_loss", "max_drawdown", "min_equity_quote"),
        ("DAY_LOSS", "WEEK_LOSS", "MAX_DRAWDOWN", "MIN_EQUITY"),
    ),
    Control(
        "CTL-10",
        "consecutive losses",
        "Losing trades in a row stop a strategy until a person resumes it.",
        ("loss_streak",),
        ("LOSS_STREAK",),
    ),
    Control(
        "CTL-11",
        "market-data sanity",
        "No entries on old bars, wide spreads, or after a jump.",
        ("max_spread", "max_jump_1m", "max_jump_5m", "jump_pause_minutes"),
        ("STALE_BAR", "SPREAD", "PRICE_JUMP", "BOOK_UNAVAILABLE"),
    ),
    Control(
        "CTL-12",
        "clock",
        "No entries while our clock and the venue's are apart.",
        ("clock_alert_ms", "clock_stop_ms"),
        ("CLOCK_OFFSET", "CLOCK_UNKNOWN"),
    ),
    Control(
        "CTL-13",
        "kill function",
        "Halts and reductions are latched in the database, by scope.",
        (),
        ("manual", "HALT_FILE", "HALTED", "REDUCING"),
    ),
    Control(
        "CTL-14",
        "dead man",
        "Resting entries are cancelled by the venue or the watchdog if we fall silent.",
        (),
        (),
    ),
    Control(
        "CTL-15", "protective stop at the venue", "Each position has its stop at the venue.", (), ()
    ),
    Control(
        "CTL-16",
        "reconciliation",
        "Orders, fills and balances are compared with the venue's.",
        ("difference_alert", "difference_reduce"),
        ("BALANCE_DIFFERENCE",),
    ),
    Control(
        "CTL-17",
        "error breaker",
        "Refusals in a row, or many within minutes, end entries.",
        ("rejections_in_a_row", "rejections_in_10_minutes"),
        ("REJECTIONS", "REJECTIONS_HALT", "AUTH"),
    ),
    Control(
        "CTL-18",
        "allow-lists",
        "Symbols, sides and order types that may be sent; empty allows what the run trades.",
        ("allowed_symbols", "allowed_sides", "allowed_order_types"),
        ("SYMBOL_NOT_ALLOWED", "SIDE_NOT_ALLOWED", "TYPE_NOT_ALLOWED"),
    ),
    Control(
        "CTL-19",
        "controlled deployment",
        "A live run without a past on paper begins with smaller caps.",
        ("paper_days", "paper_trades", "first_week_share"),
        (),
    ),
    Control(
        "CTL-20",
        "bounds of the optimization layer",
        "Weights move by bounded steps; every cap comes after the multiplier.",
        (),
        (),
    ),
    Control("CTL-21", "alerts", "What a control does is told as an alert.", (), ()),
    Control(
        "CTL-22",
        "change of limits",
        "Each change of a limit is an act in the audit log.",
        (),
        (),
    ),
    Control(
        "CTL-23",
        "order attribution",
        "Each order names its strategy, run, configuration and who asked.",
        (),
        (),
    ),
    Control(
        "CTL-24",
        "self-trade guard",
        "No order that could meet one of our own.",
        (),
        ("SELF_TRADE",),
    ),
    Control(
        "CTL-25", "stress capacity", "Twice the highest message rate is proven by a test.", (), ()
    ),
    Control("CTL-26", "self-assessment", "A person looks at all controls every quarter.", (), ()),
)
