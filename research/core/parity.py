"""A day's decisions beside what they would be today: each difference labelled, with both values.

``price``   the candles of then had other values, or a fill came at another price than a replay's
``timing``  decided or filled later than a replay would, or a bar that nobody decided on
``fill``    not what was decided was bought or sold: refused, cut, left open
``data``    candles or records of then are missing or were changed
``config``  the run's settings are not those of then
``code``    everything given is the same, the code is not

The labels ``price``, ``config`` and ``code`` are those of a decision that is made again; its
``state`` (the stored record was changed or is missing) counts as ``data`` here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from trades.core.replay_report import CODE, CONFIG, PRICE, STATE, DecisionReplay
from trades.core.replay_report import Difference as ReplayDifference

TIMING, FILL, DATA = "timing", "fill", "data"
LABELS = (PRICE, TIMING, FILL, DATA, CONFIG, CODE)
# A replay fills a market order at the next bar's open; a fill within this of it is the same.
TOLERANCE_BPS = 25.0
# Beyond these a label does not say why any more: a fill so far from where a replay has it, or so
# many bars late, wants a person's look.
UNEXPLAINED_BPS = 200.0
UNEXPLAINED_BARS = 5
_BAR_GONE, _WINDOW = "bar of the decision", "candles of the window"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as a replay of today has it; ``then`` is the day's own value.

    ``is_explained``: the label says all of why; False wants a person's look.
    """

    label: str
    at_ms: int
    symbol: str
    strategy: str
    what: str
    then: str
    now: str
    is_explained: bool = True
    decision: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision's own facts; ``decided_ms`` is the venue time at which it was made."""

    code: str
    symbol: str
    strategy: str
    bar_close_ms: int
    decided_ms: int
    acts: bool
    quantity_base: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """One order of a decision and what became of it, times in venue time. ``at_once``: it takes
    what the market gives at that moment, as a replay does."""

    at_once: bool
    status: str
    is_over: bool
    quantity_base: Decimal
    filled_base: Decimal
    average_price: float | None
    limit_price: float | None
    first_fill_ms: int | None
    refusal: str


def of_decision(decided: Decided, replay: DecisionReplay, timeframe_ms: int) -> list[Difference]:
    """Return what making the decision again found, and whether it was made late."""
    found = [_relabelled(decided, one, replay) for one in replay.differences]
    if not found and not replay.same:
        then, now = replay.verdict_then, replay.verdict_now
        told = "not made again" if now is None else f"{now.action} {now.quantity_base}"
        here = _at(decided, CODE, "verdict", f"{then.action} {then.quantity_base}", told)
        found.append(replace(here, is_explained=False))
    late_ms = decided.decided_ms - decided.bar_close_ms
    if late_ms >= timeframe_ms:
        here = _at(decided, TIMING, "decided after the close", f"{late_ms / 1000:.0f} s", "0 s")
        # what was held late, as after a stop of the platform, moved nothing
        is_open = decided.acts and late_ms > UNEXPLAINED_BARS * timeframe_ms
        found.append(replace(here, is_explained=not is_open))
    return found


def _relabelled(decided: Decided, one: ReplayDifference, replay: DecisionReplay) -> Difference:
    where = one.what if one.phase is None else f"{one.what} (phase {one.phase})"
    is_gone = one.label == PRICE and any(_is_missing(other) for other in replay.differences)
    label = DATA if is_gone or one.label == STATE else one.label
    # a record that does not give its own digest, or another verdict of the same code
    is_open = one.label == STATE or (label == CODE and replay.code_then == replay.code_now)
    return _at(decided, label, where, one.then, one.now, is_explained=not is_open)


def _is_missing(one: ReplayDifference) -> bool:
    return one.what == _BAR_GONE or (one.what == _WINDOW and one.now.endswith(" candles"))


def of_orders(
    decided: Decided,
    orders: Sequence[Ordered],
    *,
    next_open: float | None,
    timeframe_ms: int,
) -> list[Difference]:
    """Return where what was bought or sold is not what a replay has: all of it, at the next bar's
    open, within that bar. ``next_open`` None: that candle is not stored."""
    if not decided.acts:
        return []
    if not orders:
        here = _at(decided, FILL, "order", "none", f"{decided.quantity_base:f}")
        return [replace(here, is_explained=False)]
    found = _of_quantity(decided, orders)
    for order in orders:
        found += _of_price(decided, order, next_open)
        if order.first_fill_ms is not None and order.at_once:
            late_ms = order.first_fill_ms - decided.bar_close_ms
            if late_ms > timeframe_ms:
                told = f"at most {timeframe_ms / 1000:.0f} s"
                what = "filled after the close"
                here = _at(decided, TIMING, what, f"{late_ms / 1000:.0f} s", told)
                is_near = late_ms <= UNEXPLAINED_BARS * timeframe_ms
                found.append(replace(here, is_explained=is_near))
    return found


def _of_quantity(decided: Decided, orders: Sequence[Ordered]) -> list[Difference]:
    filled = sum((order.filled_base for order in orders), Decimal(0))
    if filled == decided.quantity_base:
        return []
    said = "; ".join(order.refusal for order in orders if order.refusal)
    states = ", ".join(sorted({order.status for order in orders}))
    told = f"{filled:f} ({said or states})"
    here = _at(decided, FILL, "quantity filled", told, f"{decided.quantity_base:f}")
    # an order that ended short without a reason, and one that bought more, explain nothing
    is_open = not said and all(order.is_over for order in orders)
    return [replace(here, is_explained=not is_open and filled < decided.quantity_base)]


def _of_price(decided: Decided, order: Ordered, next_open: float | None) -> list[Difference]:
    if order.average_price is None:
        return []
    expected = next_open if order.at_once else order.limit_price
    if expected is None:
        return [_at(decided, DATA, "candle of the fill", f"{order.average_price:g}", "not stored")]
    bps = slippage_bps(order.average_price, expected)
    if abs(bps) <= TOLERANCE_BPS:
        return []
    what = f"price filled, {bps:+.1f} bps"
    here = _at(decided, PRICE, what, f"{order.average_price:.10g}", f"{expected:.10g}")
    return [replace(here, is_explained=abs(bps) <= UNEXPLAINED_BPS)]


def slippage_bps(price: float, expected: float) -> float:
    return 1e4 * (price / expected - 1.0)


def of_bars(
    symbol: str,
    closes_ms: Sequence[int],
    decided_ms: set[int],
    refused: Mapping[int, str],
    timeframe_ms: int,
) -> list[Difference]:
    """Return stored bars that nobody decided on, a stretch a line; ``refused`` is why the quality
    gate took none of a bar when it came."""
    found: list[Difference] = []
    stretch: list[int] = []
    for close_ms in [*sorted(closes_ms), -1]:
        is_missing = close_ms >= 0 and close_ms not in decided_ms
        if is_missing and (not stretch or close_ms - stretch[-1] == timeframe_ms):
            stretch.append(close_ms)
            continue
        if stretch:
            found.append(_of_stretch(symbol, stretch, refused))
        stretch = [close_ms] if is_missing else []
    return found


def _of_stretch(symbol: str, stretch: Sequence[int], refused: Mapping[int, str]) -> Difference:
    reason = next((refused[close_ms] for close_ms in stretch if close_ms in refused), "")
    bars = "1 bar" if len(stretch) == 1 else f"{len(stretch)} bars"
    then = f"refused: {reason}" if reason else "nobody decided: not running, or it came too late"
    label = DATA if reason else TIMING
    return Difference(label, stretch[0], symbol, "", f"{bars} of the day", then, "stored candles")


def _at(
    decided: Decided, label: str, what: str, then: str, now: str, *, is_explained: bool = True
) -> Difference:
    return Difference(
        label,
        decided.bar_close_ms,
        decided.symbol,
        decided.strategy,
        what,
        then,
        now,
        is_explained,
        decided.code,
    )
