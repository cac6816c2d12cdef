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
from engine.types.orders import Cause, OrderStatus, OrderType, Purpose
from market.models import Candle
from research.core import parity
from research.core.parity import Decided, Difference, Ordered
from research.models import ParityDay
from trades.models import Decision, Fill, Mode, Order, RejectedEvent, TradingRun
from trades.records import milliseconds
from trades.retention import Retention
from trades.selectors import decision_replay
from trades.stored import decision_document

# Quiet bars decide nothing; of them a sample is made again, of decisions on a proposal as many as
# a day of five symbols at a minute brings.
MOST_PROPOSED = 400
MOST_QUIET = 60
# Of fills that nothing asked for the first so many are told.
MOST_FILLS = 100
DAY = timedelta(days=1)
# A day that was not judged in so long is not judged by itself any more.
DAYS_BACK = 7


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


def first_kept_day(run: TradingRun) -> date | None:
    """Return the first day of which every quiet bar's decision is still kept; None where all are.

    Of an older one it could not be told who was thinned out from who never decided.
    """
    kept = Retention.of_run(run)
    if run.last_event_at is None or kept.holds_kept_one_in <= 1:
        return None
    oldest_at = run.last_event_at - timedelta(days=kept.holds_kept_days)
    day: date = oldest_at.astimezone(UTC).date() + DAY
    return day


def whole_days(run: TradingRun) -> list[date]:
    """Return the days with decisions after which the run decided something, oldest first, of the
    last ``DAYS_BACK`` and of those that are kept whole; a bar that closes at midnight is of the
    day that it ends."""
    newest = Decision.objects.filter(run=run).aggregate(at=Max("bar_close_at"))["at"]
    if newest is None:
        return []
    today: date = (newest.astimezone(UTC) - timedelta.resolution).date()
    first = max(today - DAYS_BACK * DAY, first_kept_day(run) or date.min)
    days = [today - back * DAY for back in range(DAYS_BACK, 0, -1)]
    return [day for day in days if day >= first and _of_day(run, day).exists()]


def days_due(run: TradingRun) -> list[date]:
    """Return the whole days that nobody has judged, oldest first."""
    days = whole_days(run)
    rows = ParityDay.objects.filter(run=run, day__in=days, finished_at__isnull=False)
    judged = set(rows.values_list("day", flat=True))
    return [day for day in days if day not in judged]


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
    found += _unasked(run, day)
    mean = sum(slips) / len(slips) if slips else None
    return Parity(bars, len(every), len(chosen), same, n_orders, mean, found)


def _unasked(run: TradingRun, day: date) -> list[Difference]:
    """Return the day's fills whose order no acting decision, no protection of what is held and no
    person's request explains."""
    start, end = _bounds(day)
    acts = Q(order__decision__isnull=False) & ~Q(order__decision__action=Action.HOLD.value)
    reduces = Q(order__purpose=Purpose.EXIT.value)
    protects = reduces & Q(order__cause=Cause.PROTECTION.value)
    is_asked = reduces & Q(order__cause=Cause.REQUEST.value) & ~Q(order__actor="")
    owned = (acts & Q(order__cause=Cause.DECISION.value)) | protects | is_asked
    fills = Fill.objects.filter(run=run, executed_at__gt=start, executed_at__lte=end)
    # the first of them: a day of strangers must not cost a day to tell
    strange = fills.exclude(pk__in=fills.filter(owned).values("pk")).order_by("executed_at", "id")
    return [
        Difference(
            parity.FILL,
            milliseconds(fill.executed_at),
            fill.symbol,
            fill.strategy,
            "fill that nothing asked for",
            f"{fill.side} {fill.quantity_base:f} at {fill.price:f}",
            "none",
            is_explained=False,
        )
        for fill in strange[:MOST_FILLS]
    ]


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
