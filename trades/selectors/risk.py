"""Limits with what is used of them, and the kill switch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from engine.ledger_state import DUST
from engine.ports import TradingState
from engine.risk import DAY_MS
from engine.standing import LATELY_MS, EntryCounts
from engine.types.orders import Purpose
from trades.ceilings import ceiling_fault, filed_limits, stored_ceilings
from trades.models import (
    ControlState,
    EquityPoint,
    Mode,
    Order,
    SessionState,
    Trade,
    TradingRun,
)
from trades.records import milliseconds
from trades.scopes import split
from trades.selectors.ledger import Position, equity_latest, position_list

IN_FLIGHT = ("INTENT", "SENDING", "UNKNOWN", "OPEN", "PARTIAL", "PENDING_CANCEL")
_STREAK_LOOKED_AT = 100
# a venue answers within its request time-out; what is still on its way after that is stuck
_ANSWER_DUE = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class LimitUse:
    """One limit of the run. ``used`` and ``left`` are in the limit's own unit; both are None
    where the use cannot be measured now (no equity yet, no candle to mark a position with)."""

    name: str
    unit: str
    limit: float
    used: float | None
    left: float | None


@dataclass(frozen=True, slots=True)
class RiskStatus:
    """``state`` is that of the scope ``global``; ``effective_state`` the most severe of all
    scopes and holds: what a glance must show."""

    run: TradingRun | None
    state: str
    effective_state: str
    equity: EquityPoint | None
    limits: list[LimitUse]
    scopes: list[ControlState]
    holds: list[str]
    positions: list[Position]


@dataclass(frozen=True, slots=True)
class _Book:
    """What the measures look at. ``entry_ages`` are in venue time, before the last event; the last
    three are what the session remembers, so that a person's reset counts here as it does there."""

    equity: EquityPoint | None
    positions: list[Position]
    open_order_symbols: list[str]
    entry_ages: list[timedelta]
    streaks: dict[str, int]
    repeated_ms: list[list[int]]
    now_ms: int
    week_pnl: Decimal | None
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()


Measure = Callable[[_Book], float | None]


def control_list() -> QuerySet[ControlState]:
    return ControlState.objects.order_by("scope")


def automatic_holds(run: TradingRun | None) -> list[str]:
    """Return why the gate lets no entry pass by itself (I-19), as far as rows can tell.

    A hold ends by itself. An order that was sent a moment ago is not one. A restart whose
    reconciliation is still to come is known here only where the run was never reconciled: when
    a worker began is in no row.
    """
    if run is None or run.ended_at is not None or run.mode == Mode.REPLAY:
        return []
    holds = []
    overdue = Q(status="SENDING", updated_at__lt=timezone.now() - _ANSWER_DUE)
    unknown = Order.objects.filter(Q(status="UNKNOWN") | overdue, run=run).count()
    if unknown:
        orders = "order" if unknown == 1 else "orders"
        holds.append(f"{unknown} {orders} without an answer from the venue")
    if run.mode != Mode.PAPER and run.reconciled_at is None:
        holds.append("not reconciled with the venue since the start")
    if fault := ceiling_fault():
        holds.append(fault)
    return holds


def risk_status(*, run: TradingRun | None) -> RiskStatus:
    """Return every limit in force, its use, and the control states.

    A limit that the run's configuration does not name has the engine's default.
    """
    scopes = list(control_list())
    holds = automatic_holds(run)
    ours = ("",) if run is None else ("", run.account)
    states = {row.scope: TradingState(row.state) for row in scopes if split(row.scope)[0] in ours}
    overall = states.get("global", TradingState.ACTIVE)
    held = TradingState.REDUCING if holds else TradingState.ACTIVE
    worst = max((*states.values(), held), key=lambda state: state.severity)
    book = None if run is None else _book(run)
    return RiskStatus(
        run=run,
        state=overall.value,
        effective_state=worst.value,
        equity=None if book is None else book.equity,
        limits=[] if run is None or book is None else _uses(run, book),
        scopes=scopes,
        holds=holds,
        positions=[] if book is None else book.positions,
    )


def _uses(run: TradingRun, book: _Book) -> list[LimitUse]:
    limits = stored_ceilings(filed_limits(run))
    return [
        _use(name, unit, float(getattr(limits, name)), measure(book))
        for name, (unit, measure) in MEASURES.items()
    ]


def _book(run: TradingRun) -> _Book:
    # exits and protective stops count for no limit (D-21), dust for no streak
    in_flight = Order.objects.filter(run=run, status__in=IN_FLIGHT, purpose=Purpose.ENTRY)
    now = run.last_event_at or run.started_at
    entries = Order.objects.filter(
        run=run, purpose=Purpose.ENTRY, leg=0, decided_at__gt=now - timedelta(days=1)
    )
    equity, memory = equity_latest(run=run), _memory(run)
    repeated = EntryCounts.restore(memory.get("entries", {})).times.values()
    return _Book(
        equity=equity,
        positions=position_list(run=run),
        open_order_symbols=list(in_flight.values_list("symbol", flat=True)),
        entry_ages=[now - at for at in entries.values_list("decided_at", flat=True)],
        streaks=loss_streaks(run),
        repeated_ms=[list(times) for times in repeated],
        now_ms=milliseconds(now),
        week_pnl=_week_pnl(memory, equity),
        groups=filed_limits(run).correlated_groups,
    )


def loss_streaks(run: TradingRun) -> dict[str, int]:
    """Return the losing trades in a row of each strategy that has any, since its last win or its
    reset; before a session kept them, as its closed trades tell."""
    memory = _memory(run)
    if "streaks" in memory:
        return {code: n for code, n in sorted(memory["streaks"].items()) if n}
    newest = Trade.objects.filter(run=run).exclude(exit_reason=DUST).order_by("-closed_at", "-id")
    found: dict[str, int] = {}
    ended: set[str] = set()
    for code, pnl in newest.values_list("strategy", "pnl_quote")[:_STREAK_LOOKED_AT]:
        if pnl >= 0:
            ended.add(code)
        elif code not in ended:
            found[code] = found.get(code, 0) + 1
    return dict(sorted(found.items()))


def _memory(run: TradingRun) -> dict[str, Any]:
    """Return what the session's account remembered after its last event; empty before one."""
    stored = SessionState.objects.filter(run=run).values_list("payload", flat=True).first()
    found = stored.get("account") if isinstance(stored, dict) else None
    return found if isinstance(found, dict) else {}


def _week_pnl(memory: dict[str, Any], equity: EquityPoint | None) -> Decimal | None:
    if equity is None or "week" not in memory:
        return None
    return sum((Decimal(str(pnl)) for pnl in memory["week"].values()), Decimal(0))


def _use(name: str, unit: str, limit: float, used: float | None) -> LimitUse:
    left = None if used is None else max(limit - used, 0.0)
    return LimitUse(name=name, unit=unit, limit=limit, used=used, left=left)


def _of_equity(book: _Book, amount: Decimal | None) -> float | None:
    if amount is None or book.equity is None or book.equity.equity_quote <= 0:
        return None
    return float(amount / book.equity.equity_quote)


def _day_loss(book: _Book) -> float | None:
    if book.equity is None:
        return None
    start = book.equity.equity_quote - book.equity.day_pnl_quote
    return float(max(-book.equity.day_pnl_quote, Decimal(0)) / start) if start > 0 else None


def _week_loss(book: _Book) -> float | None:
    if book.equity is None or book.week_pnl is None:
        return None
    start = book.equity.equity_quote - book.week_pnl
    return float(max(-book.week_pnl, Decimal(0)) / start) if start > 0 else None


def _repeated_within(window_ms: int) -> Measure:
    """Count the entries of whichever strategy repeated one symbol and side most."""

    def most(book: _Book) -> float:
        counts = (sum(at > book.now_ms - window_ms for at in times) for times in book.repeated_ms)
        return float(max(counts, default=0))

    return most


def _drawdown(book: _Book) -> float | None:
    return None if book.equity is None else book.equity.drawdown_fraction


def _largest(book: _Book, key: Callable[[Position], str]) -> float | None:
    sums: dict[str, Decimal] = {}
    for position in book.positions:
        if position.notional_quote is None:
            return None
        name = key(position)
        sums[name] = sums.get(name, Decimal(0)) + position.notional_quote
    return _of_equity(book, max(sums.values(), default=Decimal(0)))


def _largest_group(book: _Book) -> float | None:
    """Return the share of the group that holds most; 0 where no group is configured."""
    sums = [Decimal(0)]
    for _, bases in book.groups:
        held = [p.notional_quote for p in book.positions if p.symbol.partition("/")[0] in bases]
        if None in held:
            return None
        sums.append(sum((worth for worth in held if worth is not None), Decimal(0)))
    return _of_equity(book, max(sums))


def _gross(book: _Book) -> float | None:
    return None if book.equity is None else _of_equity(book, book.equity.exposure_quote)


def _most_of_a_symbol(book: _Book) -> float:
    symbols = book.open_order_symbols
    return float(max((symbols.count(symbol) for symbol in set(symbols)), default=0))


def _entries_within(window: timedelta) -> Measure:
    return lambda book: float(sum(age < window for age in book.entry_ages))


# the names are those of ``engine.risk.RiskLimits``
MEASURES: dict[str, tuple[str, Measure]] = {
    "max_position_size": ("fraction of equity", lambda b: _largest(b, lambda p: p.symbol)),
    "max_strategy_exposure": ("fraction of equity", lambda b: _largest(b, lambda p: p.strategy)),
    "max_group_exposure": ("fraction of equity", _largest_group),
    "max_gross_exposure": ("fraction of equity", _gross),
    "max_day_loss": ("fraction of the day's first equity", _day_loss),
    "max_drawdown": ("fraction of peak equity", _drawdown),
    "max_week_loss": ("fraction of the week's first equity", _week_loss),
    "loss_streak": ("trades", lambda book: float(max(book.streaks.values(), default=0))),
    "max_open_positions": ("positions", lambda book: float(len(book.positions))),
    "max_open_orders": ("orders", lambda book: float(len(book.open_order_symbols))),
    "max_open_orders_per_symbol": ("orders", _most_of_a_symbol),
    "max_orders_per_hour": ("entries", _entries_within(timedelta(hours=1))),
    "max_orders_per_day": ("entries", _entries_within(timedelta(days=1))),
    "max_entries_per_15m": ("same entries", _repeated_within(LATELY_MS)),
    "max_entries_per_day": ("same entries", _repeated_within(DAY_MS)),
    "leverage": ("times equity", _gross),
}
