"""The gate every bar passes before anybody may believe it: live, replay and backfill alike."""

from __future__ import annotations

from math import inf, isfinite

import numpy as np

from engine.types.bars import Bar, BarColumns, EventKind, MarketEvent
from engine.types.decisions import Reason

# A bar older than this when it is read describes a market that has moved on (I-15).
STALE_BARS = 2
STALE_GRACE_MS = 10_000
# No listed pair trades above this; a feed that says so has lost its decimal point.
MAX_PRICE_QUOTE = 1e11
# Ten-fold between neighbouring closes is a broken feed or a redenomination; a person decides.
MAX_CLOSE_RATIO = 10.0


def validate_event(
    event: MarketEvent, previous_bar: Bar | None, timeframe_ms: int
) -> Reason | None:
    """Return why a bar event must not be traded on, or None where it may.

    ``previous_bar`` is the last accepted bar of the symbol. Clock events carry no bar and pass.
    A gap is accepted here; ``gap_bars`` reports its length.
    """
    bar = event.bar
    if bar is None:
        if event.kind is EventKind.CLOCK:
            return None
        return Reason("NO_BAR", f"bar event of {event.symbol} carried no bar")
    close_ms = bar.ts_ms + timeframe_ms
    if event.ts_ms != close_ms:
        return Reason(
            "CLOSE_TIME_MISMATCH",
            f"event time must be the bar's close {close_ms}, was {event.ts_ms}",
            float(event.ts_ms),
            float(close_ms),
        )
    age_ms = event.now_ms - close_ms
    if age_ms < 0:
        return Reason(
            "UNCLOSED_BAR",
            f"bar closes at {close_ms}, venue time was {event.now_ms}",
            float(event.now_ms),
            float(close_ms),
        )
    return validate_bar(bar, previous_bar, timeframe_ms)


def stale_reason(event: MarketEvent, timeframe_ms: int) -> Reason | None:
    """Return why a bar is too old to enter on, or None.

    A late bar is still a true one: it is kept, analysed and exits are decided on it, so that
    catching up after an outage leaves no gap (D-25). Only new risk needs a fresh bar.
    """
    age_ms = event.now_ms - event.ts_ms
    limit_ms = stale_after_ms(timeframe_ms)
    if age_ms <= limit_ms:
        return None
    text = f"bar age {age_ms} ms above {limit_ms} ms"
    return Reason("STALE_BAR", text, float(age_ms), float(limit_ms))


def stale_after_ms(timeframe_ms: int) -> int:
    """Return the age above which a bar is too old to enter on."""
    return STALE_BARS * timeframe_ms + STALE_GRACE_MS


def validate_bar(bar: Bar, previous_bar: Bar | None, timeframe_ms: int) -> Reason | None:
    """Return why a bar contradicts itself or its predecessor, or None (ages are not judged)."""
    # One chain of comparisons for the usual case: NaN and infinity fail it as well.
    if (
        0.0 < bar.low <= bar.open <= bar.high <= MAX_PRICE_QUOTE
        and bar.low <= bar.close <= bar.high
        and 0.0 <= bar.volume < inf
        and bar.ts_ms % timeframe_ms == 0
    ):
        return None if previous_bar is None else _against_previous(bar, previous_bar)
    return _own_fault(bar, timeframe_ms)


def gap_bars(bar: Bar, previous_bar: Bar | None, timeframe_ms: int) -> int:
    """Return how many bars are missing between two accepted bars; 0 = contiguous."""
    if previous_bar is None:
        return 0
    return max(0, (bar.ts_ms - previous_bar.ts_ms) // timeframe_ms - 1)


def validate_columns(bars: BarColumns) -> list[tuple[int, Reason]]:
    """Return (row, reason) of every row to leave out; each is judged against the last kept row.

    An empty list means all rows pass. The rules are those of ``validate_event`` less the ages,
    which have no meaning for history.
    """
    if _all_good(bars):
        return []
    refused: list[tuple[int, Reason]] = []
    previous: Bar | None = None
    for row in range(len(bars)):
        bar = bar_at(bars, row)
        reason = validate_bar(bar, previous, bars.timeframe_ms)
        if reason is None:
            previous = bar
        else:
            refused.append((row, reason))
    return refused


def bar_at(bars: BarColumns, row: int) -> Bar:
    """Return one row of the columns as a bar of Python scalars."""
    return Bar(
        bars.ts_ms.item(row),
        bars.open.item(row),
        bars.high.item(row),
        bars.low.item(row),
        bars.close.item(row),
        bars.volume.item(row),
    )


def _all_good(bars: BarColumns) -> bool:
    if len(bars) == 0:
        return True
    low, high, close = bars.low, bars.high, bars.close
    own = (
        (low > 0.0)
        & (low <= bars.open)
        & (bars.open <= high)
        & (high <= MAX_PRICE_QUOTE)
        & (low <= close)
        & (close <= high)
        & (bars.volume >= 0.0)
        & (bars.volume < inf)
        & (bars.ts_ms % bars.timeframe_ms == 0)
    )
    if not bool(own.all()) or bool((np.diff(bars.ts_ms) <= 0).any()):
        return False
    ratio = close[1:] / close[:-1]
    return bool(((ratio <= MAX_CLOSE_RATIO) & (ratio >= 1.0 / MAX_CLOSE_RATIO)).all())


def _against_previous(bar: Bar, previous: Bar) -> Reason | None:
    if bar.ts_ms == previous.ts_ms:
        return Reason("DUPLICATE_BAR", f"bar {bar.ts_ms} was seen before", float(bar.ts_ms))
    if bar.ts_ms < previous.ts_ms:
        return Reason(
            "OUT_OF_ORDER_BAR",
            f"bar {bar.ts_ms} is older than the last bar, which was {previous.ts_ms}",
            float(bar.ts_ms),
            float(previous.ts_ms),
        )
    ratio = bar.close / previous.close
    if 1.0 / MAX_CLOSE_RATIO <= ratio <= MAX_CLOSE_RATIO:
        return None
    return Reason(
        "PRICE_JUMP",
        f"close {bar.close!r} against previous close {previous.close!r}: ratio was {ratio:.6g}",
        ratio,
        MAX_CLOSE_RATIO,
    )


def _own_fault(bar: Bar, timeframe_ms: int) -> Reason:
    for name, price in (
        ("open", bar.open),
        ("high", bar.high),
        ("low", bar.low),
        ("close", bar.close),
    ):
        if not isfinite(price):
            return Reason("NON_FINITE_PRICE", f"{name} must be finite, was {price!r}", price)
        if price <= 0.0:
            return Reason("NON_POSITIVE_PRICE", f"{name} must be above 0, was {price!r}", price)
        if price > MAX_PRICE_QUOTE:
            return Reason(
                "ABSURD_PRICE",
                f"{name} must be at most {MAX_PRICE_QUOTE:g}, was {price!r}",
                price,
                MAX_PRICE_QUOTE,
            )
    if bar.high < bar.low:
        return Reason(
            "HIGH_BELOW_LOW",
            f"high {bar.high!r} below low, low was {bar.low!r}",
            bar.high,
            bar.low,
        )
    for name, price in (("open", bar.open), ("close", bar.close)):
        if not bar.low <= price <= bar.high:
            return Reason(
                "OUTSIDE_RANGE",
                f"{name} must be within {bar.low!r}..{bar.high!r}, was {price!r}",
                price,
            )
    if not isfinite(bar.volume) or bar.volume < 0.0:
        return Reason(
            "BAD_VOLUME", f"volume must be finite and not negative, was {bar.volume!r}", bar.volume
        )
    return Reason(
        "MISALIGNED_BAR",
        f"open time must be a multiple of {timeframe_ms} ms, was {bar.ts_ms}",
        float(bar.ts_ms % timeframe_ms),
        0.0,
    )
