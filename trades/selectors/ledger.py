"""Runs, orders, fills, positions, trades and equity."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import F, OuterRef, QuerySet, Subquery, Value, Window
from django.db.models.functions import Coalesce, Mod, NullIf, RowNumber

from engine.performance import TradeStatistics, TradeStats
from engine.types.opinions import Side
from engine.types.orders import Cause
from market.models import Candle, Instrument
from trades.models import EquityPoint, Fill, Lot, Mode, Order, Trade, TradingRun
from trades.queues import is_apart
from trades.records import trade_value
from trades.send_rules import AT_THE_VENUE

ZERO = Decimal(0)

# Why a position was opened: the reason code of its entry order, of its decision in orders of before
# they carried one; empty where the books know no such order.
_ENTRIES = Order.objects.filter(client_order_id=OuterRef("entry_order_id"))
_ENTRY_TAG = Coalesce(
    Subquery(
        _ENTRIES.values(tag=Coalesce(NullIf("reason_code", Value("")), "decision__reason_code"))[:1]
    ),
    Value(""),
)


@dataclass(frozen=True, slots=True)
class Position:
    """What one strategy holds of one symbol. Money in quote; ``mark_price`` is the close of the
    last stored candle, and it and the PnL are None where no candle is stored.
    ``resting_stop_base`` is what its stops at the broker would sell."""

    strategy: str
    symbol: str
    side: str
    quantity_base: Decimal
    average_price: Decimal
    stop_price: Decimal | None
    resting_stop_base: Decimal
    target_price: Decimal | None
    opened_at: datetime
    mark_price: Decimal | None
    notional_quote: Decimal | None
    unrealised_pnl_quote: Decimal | None

    @property
    def position_id(self) -> str:
        """What names it in an address: the strategy and the symbol, its slash as a dash."""
        return f"{self.strategy}:{self.symbol.replace('/', '-')}"


def run_list() -> QuerySet[TradingRun]:
    return TradingRun.objects.order_by("-started_at", "-id")


def run_current(account: str | None = None) -> TradingRun | None:
    """Return the open trading run that started last, else the last one of any kind, or None.

    Of one account where one is named; else that of ``main`` where several accounts trade.
    """
    runs = run_list()
    if account is not None:
        runs = runs.filter(account=account)
    standing = runs.filter(ended_at__isnull=True).exclude(mode=Mode.REPLAY)
    return run_newest(standing) or runs.first()


def run_newest(runs: QuerySet[TradingRun]) -> TradingRun | None:
    """Return the newest of ``runs``: an open one first, and of several that of ``main``."""
    standing = list(runs.filter(ended_at__isnull=True))
    mains = [run for run in standing if not is_apart(run.config)]
    return next(iter(mains or standing), None) or runs.first()


def run_open_list() -> list[TradingRun]:
    """Return the open runs that trade, ``main`` first, then by the name of their account."""
    standing = TradingRun.objects.filter(ended_at__isnull=True).exclude(mode=Mode.REPLAY)
    return sorted(standing, key=lambda run: (is_apart(run.config), run.account, -run.pk))


def run_by_code(code: UUID) -> TradingRun | None:
    return TradingRun.objects.filter(code=code).first()


def order_list(
    *,
    run: TradingRun | None,
    symbol: str | None = None,
    strategy: str | None = None,
    status: str | None = None,
    side: str | None = None,
    purpose: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[Order]:
    """Return the orders of a run, newest first; a period is of the decision, venue time."""
    rows = Order.objects.filter(run=run, **_given(symbol=symbol, strategy=strategy))
    rows = rows.filter(**_given(status=status, side=side, purpose=purpose))
    rows = rows.filter(**_given(decided_at__gte=since, decided_at__lt=until))
    return rows.select_related("decision", "run").defer("decision__payload").order_by("-id")


def fill_list(
    *, run: TradingRun | None, symbol: str | None = None, strategy: str | None = None
) -> QuerySet[Fill]:
    rows = Fill.objects.filter(run=run, **_given(symbol=symbol, strategy=strategy))
    return rows.select_related("order", "run").order_by("-executed_at", "-id")


def trade_list(
    *,
    run: TradingRun | None,
    symbol: str | None = None,
    strategy: str | None = None,
    exit_reason: str | None = None,
    side: str | None = None,
    entry_tag: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[Trade]:
    """Return the closed trades of a run, newest first, each with its ``entry_tag``; a period is of
    the closing, venue time."""
    rows = Trade.objects.filter(run=run, **_given(symbol=symbol, strategy=strategy))
    rows = rows.filter(**_given(exit_reason=exit_reason, side=side))
    rows = rows.filter(**_given(closed_at__gte=since, closed_at__lt=until))
    rows = rows.annotate(entry_tag=_ENTRY_TAG).filter(**_given(entry_tag=entry_tag))
    return rows.select_related("run").order_by("-closed_at", "-id")


def position_list(*, run: TradingRun | None) -> list[Position]:
    """Return open positions by strategy and symbol, lots of one side summed (three queries)."""
    if run is None:
        return []
    lots: dict[tuple[str, str, str], list[Lot]] = defaultdict(list)
    for lot in Lot.objects.filter(run=run, is_open=True).order_by("opened_at", "id"):
        lots[(lot.strategy, lot.symbol, lot.side)].append(lot)
    marks = _marks(run, {symbol for _, symbol, _ in lots})
    stops = _resting_stops(run)
    return [
        _position(group, marks.get(group[0].symbol), stops[group[0].strategy, group[0].symbol])
        for _, group in sorted(lots.items())
    ]


def _resting_stops(run: TradingRun) -> defaultdict[tuple[str, str], Decimal]:
    found: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    stops = Order.objects.filter(
        run=run, cause=Cause.PROTECTION, stop_price__isnull=False, status__in=AT_THE_VENUE
    )
    for strategy, symbol, ordered, filled in stops.values_list(
        "strategy", "symbol", "quantity_base", "filled_base"
    ):
        found[strategy, symbol] += ordered - filled
    return found


def equity_latest(*, run: TradingRun | None) -> EquityPoint | None:
    return EquityPoint.objects.filter(run=run).order_by("-at").first()


def equity_list(
    *,
    run: TradingRun | None,
    max_points: int,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[EquityPoint]:
    """Return at most ``max_points`` (>= 1) points, oldest first, evenly thinned.

    The newest point always stays. A spike between two kept points is not shown; drawdown
    figures therefore come from ``drawdown_fraction`` of the rows, not from this line.
    """
    rows = EquityPoint.objects.filter(run=run, **_given(at__gte=since, at__lt=until))
    return list(equity_thinned(rows, count=rows.count(), max_points=max_points))


def equity_thinned(
    rows: QuerySet[EquityPoint], *, count: int, max_points: int
) -> QuerySet[EquityPoint]:
    """Return every so-manieth of ``count`` points, the newest always among them, oldest first."""
    stride = -(-count // max_points)
    if stride > 1:
        newest_first = Window(RowNumber(), order_by=F("at").desc())
        rows = rows.annotate(place=newest_first).annotate(turn=Mod(F("place"), stride))
        rows = rows.filter(turn=1)
    return rows.order_by("at")


def trade_statistics(*, run: TradingRun | None) -> dict[str, TradeStatistics]:
    """Return the statistics of each strategy that closed a trade, by its code (one query)."""
    by_strategy: dict[str, TradeStats] = defaultdict(TradeStats)
    rows = Trade.objects.filter(run=run).order_by("closed_at", "id")
    for row in rows.iterator(chunk_size=5_000):
        by_strategy[row.strategy].add(trade_value(row))
    return {code: by_strategy[code].statistics() for code in sorted(by_strategy)}


def _given(**filters: Any) -> dict[str, Any]:
    return {name: value for name, value in filters.items() if value is not None}


def _marks(run: TradingRun, symbols: Iterable[str]) -> dict[str, Decimal]:
    newest = Candle.objects.filter(
        instrument=OuterRef("pk"), timeframe_ms=run.timeframe_ms
    ).order_by("-opened_at")
    rows = (
        Instrument.objects.filter(venue=run.venue, symbol__in=list(symbols))
        .annotate(last_close=Subquery(newest.values("close")[:1]))
        .values_list("symbol", "last_close")
    )
    return {symbol: Decimal(repr(close)) for symbol, close in rows if close is not None}


def _position(lots: list[Lot], mark: Decimal | None, resting_stop_base: Decimal) -> Position:
    first = lots[0]
    quantity = sum((lot.quantity_base for lot in lots), ZERO)
    cost = sum((lot.quantity_base * lot.entry_price for lot in lots), ZERO)
    fees = sum((lot.entry_fee_quote for lot in lots), ZERO)
    sign = Side(first.side).sign
    return Position(
        strategy=first.strategy,
        symbol=first.symbol,
        side=first.side,
        quantity_base=quantity,
        average_price=cost / quantity if quantity else first.entry_price,
        stop_price=first.stop_price,
        resting_stop_base=resting_stop_base,
        target_price=first.target_price,
        opened_at=first.opened_at,
        mark_price=mark,
        notional_quote=None if mark is None else quantity * mark,
        unrealised_pnl_quote=None if mark is None else sign * (quantity * mark - cost) - fees,
    )
