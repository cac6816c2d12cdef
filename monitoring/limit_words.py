"""Ceilings and operating limits in words: what one is about and the unit of its number."""

from __future__ import annotations

from decimal import Decimal

EQUITY, QUOTE, COUNT = "of equity", "quote currency", "count"
_WORDS: dict[str, tuple[str, str]] = {
    "risk_per_trade": ("Risk of a trade at its stop, before the multiplier", EQUITY),
    "max_risk_per_trade": ("Risk of a trade at its stop, at most", EQUITY),
    "max_position_size": ("One order, and one symbol", EQUITY),
    "max_order_quote": ("One order, absolute", QUOTE),
    "max_strategy_exposure": ("One strategy", EQUITY),
    "max_gross_exposure": ("All positions together", EQUITY),
    "cash_reserve": ("Cash that stays uninvested, at least", EQUITY),
    "leverage": ("Positions over equity", EQUITY),
    "max_open_orders": ("Open entry orders", COUNT),
    "max_open_orders_per_symbol": ("Open entry orders of a symbol", COUNT),
    "max_open_positions": ("Open positions", COUNT),
    "max_day_loss": ("Loss of a day, then only exits", EQUITY),
    "max_drawdown": ("Drawdown, then a halt", EQUITY),
    "loss_streak": ("Losing trades in a row", COUNT),
    "min_equity_quote": ("Equity, at least", QUOTE),
    "max_orders_per_hour": ("Entries in an hour", COUNT),
    "max_orders_per_day": ("Entries in a day", COUNT),
    "max_week_loss": ("Loss of a week, then only exits", EQUITY),
    "max_book_share": ("Share of the five best levels of the book", "of the book"),
    "max_volume_share": ("Share of an average minute's volume", "of the volume"),
    "collar_majors": ("Distance of a price from its reference, BTC and ETH", "of the price"),
    "collar": ("Distance of a price from its reference, others", "of the price"),
    "max_spread": ("Spread", "of the price"),
    "max_jump_1m": ("Move within one minute", "of the price"),
    "max_jump_5m": ("Move within five minutes", "of the price"),
    "jump_pause_minutes": ("Pause of entries after such a move, at least", "minutes"),
    "max_entries_per_15m": ("Entries of a strategy and symbol in 15 minutes", COUNT),
    "max_entries_per_day": ("Entries of a strategy and symbol in a day", COUNT),
    "max_group_exposure": ("One group of correlated assets", EQUITY),
    "correlated_groups": ("Groups of correlated assets", ""),
    "max_slippage": ("Market from the decision's price, then no market entry", "of the price"),
    "duplicate_window_s": ("Same entry again within, denied", "seconds"),
    "clock_alert_ms": ("Our clock from the venue's, then an alert", "ms"),
    "clock_stop_ms": ("Our clock from the venue's, then no entries", "ms"),
    "difference_alert": ("Balance from the venue's, then an alert", "of the balance"),
    "difference_reduce": ("Balance from the venue's, then only exits", "of the balance"),
    "rejections_in_a_row": ("Refusals in a row, then only exits", COUNT),
    "rejections_in_10_minutes": ("Refusals within ten minutes, then only exits", COUNT),
    "allowed_symbols": ("Symbols that may be traded", ""),
    "allowed_sides": ("Sides that may be sent", ""),
    "allowed_order_types": ("Order types that may be sent", ""),
    "paper_days": ("Days on paper before full caps", "days"),
    "paper_trades": ("Trades on paper before full caps", COUNT),
    "first_week_share": ("Share of the caps in the first week", "of the caps"),
}


def limit_words(name: str) -> tuple[str, str]:
    """Return what a limit is about and its unit; one that is not known here keeps its name."""
    return _WORDS.get(name, (name.replace("_", " "), ""))


def limit_figure(value: Decimal | int | None, unit: str) -> str:
    """Return a limit as a person reads it: a fraction in percent, none as such."""
    if value is None:
        return "none"
    exact = Decimal(value)
    if unit.startswith("of "):
        return f"{(exact * 100).normalize():f} %"
    return f"{exact.normalize():f}"
