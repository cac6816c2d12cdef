"""Yesterday's decisions made again and matched with what was filled: reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import Max, Q, QuerySet

from engine.phases.final_decision import PLATFORM
from engine.types.decisions import Action
from engine.types.orders import Cause, OrderStatus, OrderType
from market.models import Candle
from research.core import parity
from research.core.parity import Decided, Difference, Ordered
from research.models import ParityDay
from trades.models import Decision, Fill, Mode, Order, RejectedEvent, TradingRun
from trades.records import milliseconds
from trades.selectors import decision_replay
from trades.stored import decision_document

# Quiet bars decide nothing; of them a sample is made again, of decisions on a proposal as many as
# a day of five symbols at a minute brings.
MOST_PROPOSED = 400
MOST_QUIET = 60
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Parity:
    """What one day came to; ``slippage_bps`` is the mean over fills at the next bar's open."""

    bars: int
    decisions: int
    redone: int
    same: int
    orders: int
    slippage_bps: float | None
    differences: list[Difference]

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(one.label for one in self.differences)
        return {label: found[label] for label in parity.LABELS if found[label]}

    @property
    def unexplained(self) -> int:
        return sum(not one.is_explained for one in self.differences)


def parity_list(*, run: TradingRun | None = None) -> QuerySet[ParityDay]:
    """Return judged days, newest first, with their runs."""
    rows = ParityDay.objects.filter(finished_at__isnull=False).select_related("run")
    return rows if run is None else rows.filter(run=run)


def last_whole_day(run: TradingRun) -> date | None:
    """Return the last day, by the venue's clock, after which the run decided something; None
    where it has not traded over a midnight yet."""
    newest = Decision.objects.filter(run=run).aggregate(at=Max("bar_close_at"))["at"]
    if newest is None:
        return None
    day: date = newest.astimezone(UTC).date() - DAY
    return day if _of_day(run, day).exists() else None


def runs_judged() -> QuerySet[TradingRun]:
    """Return the open runs whose days are judged: every mode but replays."""
    return TradingRun.objects.filter(ended_at__isnull=True).exclude(mode=Mode.REPLAY)


def parity_of(run: TradingRun, day: date) -> Parity:
    """Make the day's decisions again and match its fills.

    Every decision on a proposal, up to ``MOST_PROPOSED`` of them, and a sample of quiet bars, both
    spread evenly over the day; every bar is looked for.
    """
    rows = _of_day(run, day)
    every = list(rows.order_by("bar_close_at", "id").values_list("id", "strategy"))
    proposed = [pk for pk, strategy in every if strategy != PLATFORM]
    quiet = [pk for pk, strategy in every if strategy == PLATFORM]
    chosen = sorted([*_spread(proposed, MOST_PROPOSED), *_spread(quiet, MOST_QUIET)])
    found: list[Difference] = []
    slips: list[float] = []
    same = n_orders = 0
    for pk in chosen:
        decision = Decision.objects.select_related("run", "analysis").get(pk=pk)
        differences, orders, slip = _judged(decision)
        found += differences
        slips += slip
        n_orders += orders
        same += not differences
    bars, undecided = _bars(run, day)
    found += undecided
    mean = sum(slips) / len(slips) if slips else None
    return Parity(bars, len(every), len(chosen), same, n_orders, mean, found)


def _spread(keys: Sequence[int], most: int) -> list[int]:
    """Return at most so many, evenly from the first to the last."""
    if len(keys) <= most:
        return list(keys)
    return [keys[index * (len(keys) - 1) // (most - 1)] for index in range(most)]


def _of_day(run: TradingRun, day: date) -> QuerySet[Decision]:
    start, end = _bounds(day)
    return Decision.objects.filter(run=run, bar_close_at__gt=start, bar_close_at__lte=end)


def _bounds(day: date) -> tuple[datetime, datetime]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return start, start + DAY


def _judged(decision: Decision) -> tuple[list[Difference], int, list[float]]:
    """Return a decision's differences, how many orders it had, and their slippage."""
    timeframe_ms = decision.run.timeframe_ms
    decided = _decided(decision)
    found = parity.of_decision(decided, decision_replay(decision), timeframe_ms)
    if not decided.acts:
        return found, 0, []
    orders = [_ordered(order) for order in _orders(decision)]
    opened = _open_after(decision)
    found += parity.of_orders(decided, orders, next_open=opened, timeframe_ms=timeframe_ms)
    slips = [
        parity.slippage_bps(order.average_price, opened)
        for order in orders
        if order.at_once and order.average_price is not None and opened is not None
    ]
    return found, len(orders), slips


def _decided(decision: Decision) -> Decided:
    close_ms = milliseconds(decision.bar_close_at)
    given: dict[str, Any] = decision_document(decision).get("inputs") or {}
    return Decided(
        code=str(decision.code),
        symbol=decision.symbol,
        strategy=decision.strategy,
        bar_close_ms=close_ms,
        decided_ms=int(given.get("now_ms", close_ms)),
        acts=decision.action != Action.HOLD.value,
        quantity_base=decision.quantity_base,
    )


def _orders(decision: Decision) -> QuerySet[Order]:
    return Order.objects.filter(decision=decision, cause=Cause.DECISION.value).order_by("leg", "id")


def _ordered(order: Order) -> Ordered:
    first = Fill.objects.filter(order=order).order_by("executed_at").first()
    status = OrderStatus(order.status)
    return Ordered(
        at_once=OrderType(order.order_type).takes_at_once,
        status=order.status,
        is_over=status.is_terminal,
        quantity_base=order.quantity_base,
        filled_base=order.filled_base,
        average_price=None if order.average_price is None else float(order.average_price),
        limit_price=None if order.limit_price is None else float(order.limit_price),
        first_fill_ms=None if first is None else milliseconds(first.executed_at),
        refusal=order.refusal_text or order.refusal_code,
    )


def _candles(run: TradingRun, symbol: str) -> QuerySet[Candle]:
    return Candle.objects.filter(
        instrument__venue=run.venue, instrument__symbol=symbol, timeframe_ms=run.timeframe_ms
    )


def _open_after(decision: Decision) -> float | None:
    """Return the open of the bar after the decision's, where a replay fills it."""
    after = _candles(decision.run, decision.symbol).filter(opened_at=decision.bar_close_at)
    value = after.values_list("open", flat=True).first()
    return None if value is None else float(value)


def _bars(run: TradingRun, day: date) -> tuple[int, list[Difference]]:
    """Return how many bars of the day are stored while the run traded, and those that nobody
    decided on."""
    every = Decision.objects.filter(run=run)
    first = every.order_by("bar_close_at").values_list("bar_close_at", flat=True).first()
    last = every.order_by("-bar_close_at").values_list("bar_close_at", flat=True).first()
    if first is None or last is None:
        return 0, []
    start, end = _bounds(day)
    bar = timedelta(milliseconds=run.timeframe_ms)
    n_bars, found = 0, []
    for symbol in run.symbols:
        opens = _candles(run, symbol).filter(
            Q(opened_at__gt=start - bar, opened_at__lte=end - bar)
            & Q(opened_at__gte=first - bar, opened_at__lte=last - bar)
        )
        closes = [milliseconds(at + bar) for at in opens.values_list("opened_at", flat=True)]
        mine = _of_day(run, day).filter(symbol=symbol).values_list("bar_close_at", flat=True)
        decided = {milliseconds(at) for at in mine.distinct()}
        refused = {
            milliseconds(at): reason
            for at, reason in RejectedEvent.objects.filter(
                run=run, symbol=symbol, event_at__gt=start, event_at__lte=end
            ).values_list("event_at", "reason")
        }
        n_bars += len(closes)
        found += parity.of_bars(symbol, closes, decided, refused, run.timeframe_ms)
    return n_bars, found
