"""Controls of the market an order would meet: reference, collar, jumps, spread, what it may take.

Pure, and asked only where somebody proposes. What cannot be evaluated denies; what this wiring has
no data for (no book in a replay of candles) is left out and said so (D-22).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_DOWN, Decimal
from math import fsum, inf, isfinite

from engine.book import middle
from engine.risk import RiskLimits
from engine.types.bars import BarColumns, Book, Instrument, Snapshot
from engine.types.decisions import Reason
from engine.types.ledger import ZERO
from engine.types.opinions import Side

# Bases whose market is deep enough for the narrow collar.
MAJORS = frozenset({"BTC", "ETH"})
MINUTE_MS = 60_000
DAY_MINUTES = 1_440
BOOK_LEVELS = 5
# Sizes of an estimated room are cut here: finer than any venue's lot.
_STEP = Decimal("1e-12")


def collar_fraction(instrument: Instrument, limits: RiskLimits) -> Decimal:
    """Return how far a price may be from its reference, as a fraction of the reference."""
    return limits.collar_majors if instrument.base in MAJORS else limits.collar


def reference_price(snapshot: Snapshot) -> float:
    """Return what the market says a unit is worth: the book's middle, else the bar's close."""
    book = snapshot.event.book
    if book is None or not book.bids or not book.asks:
        return snapshot.close
    return middle(book.bids, book.asks)


def collar_denial(
    price: float, reference: float, instrument: Instrument, limits: RiskLimits
) -> Reason | None:
    """Deny a price too far from its reference, or without one. Source: CTL-3, F-057."""
    if not (isfinite(reference) and reference > 0.0):
        text = f"reference price must be finite and positive, was {reference}"
        return Reason("NO_REFERENCE", text)
    distance = price_distance(price, reference)
    most = float(collar_fraction(instrument, limits))
    if distance <= most:
        return None
    text = f"price {price:.8g} is {distance:.4f} from its reference {reference:.8g}, limit {most:g}"
    return Reason("PRICE_COLLAR", text, distance, most)


def price_distance(price: float, reference: float) -> float:
    """Return |price - reference| / reference; infinite where either is not a number."""
    distance = abs(price - reference) / reference
    return distance if isfinite(distance) else inf


def spread_fraction(book: Book) -> float:
    """Return the best prices' distance over their middle."""
    return (book.asks[0][0] - book.bids[0][0]) / middle(book.bids, book.asks)


# -- jumps (CTL-11, F-071) -----------------------------------------------------------------------


def worst_jump(snapshot: Snapshot, limits: RiskLimits) -> tuple[float, float]:
    """Return (move, its limit) of the move that used most of its limit within the pause's bars.

    A move is that of a bar's highest or lowest price from the close one minute, or five, before; a
    bar longer than that tells only of the step between its open and the close before it. Bars that
    are missing are stepped over: what moved meanwhile counts as one move.
    """
    found = max(_moves(snapshot, limits), key=lambda pair: pair[0] / pair[1], default=(0.0, inf))
    return found if isfinite(found[1]) else (0.0, float(limits.max_jump_1m))


def jump_denial(snapshot: Snapshot, limits: RiskLimits) -> Reason | None:
    """Deny entries for a while after the price jumped, on venue time. Source: CTL-11, F-071."""
    move, most = worst_jump(snapshot, limits)
    if move < most:
        return None
    text = (
        f"price moved by {move:.4f} at once within the last {limits.jump_pause_minutes} minutes, "
        f"limit was {most:g}"
    )
    return Reason("PRICE_JUMP", text, move, most)


def _moves(snapshot: Snapshot, limits: RiskLimits) -> Iterator[tuple[float, float]]:
    bars, row = snapshot.store.bars, snapshot.row
    first = max(_first_within(bars, row, limits.jump_pause_minutes * MINUTE_MS), 1)
    one_minute, five_minutes = float(limits.max_jump_1m), float(limits.max_jump_5m)
    reaches = [
        (minutes * MINUTE_MS // bars.timeframe_ms, most)
        for minutes, most in ((1, one_minute), (5, five_minutes))
        if minutes * MINUTE_MS >= bars.timeframe_ms
    ]
    # as numbers of Python, once: each is compared several times
    start = max(0, first - max((back for back, _ in reaches), default=1))
    opens, highs, lows, closes = (
        column[start : row + 1].tolist() for column in (bars.open, bars.high, bars.low, bars.close)
    )
    for at in range(row - start, first - start - 1, -1):
        yield abs(opens[at] / closes[at - 1] - 1.0), one_minute
        for back, most in reaches:
            if back <= at + start:
                before = closes[at - back]
                yield max(highs[at] / before - 1.0, 1.0 - lows[at] / before), most


def _first_within(bars: BarColumns, row: int, pause_ms: int) -> int:
    """Return the first row up to ``row`` that opened less than ``pause_ms`` before it."""
    now_ms = int(bars.ts_ms[row])
    first = row
    while first > 0 and now_ms - int(bars.ts_ms[first - 1]) < pause_ms:
        first -= 1
    return first


# -- what an order may take (CTL-2) ---------------------------------------------------------------


def volume_rooms(
    snapshot: Snapshot, side: Side, limits: RiskLimits
) -> tuple[tuple[str, Decimal], ...]:
    """Return the caps by market volume in base units, by code.

    ``VOLUME_SHARE`` is of an average minute of the bars of the last 24 hours, as far as they are
    known; ``BOOK_SHARE`` of the five best levels that the order takes from, where there is a book.
    A volume that is no number leaves no room.
    """
    rooms = [("VOLUME_SHARE", _share(limits.max_volume_share, minute_volume(snapshot)))]
    book = snapshot.event.book
    if book is not None:
        levels = book.asks if side is Side.BUY else book.bids
        depth = fsum(quantity for _, quantity in levels[:BOOK_LEVELS])
        rooms.append(("BOOK_SHARE", _share(limits.max_book_share, depth)))
    return tuple(rooms)


def minute_volume(snapshot: Snapshot) -> float:
    """Return the base volume of an average minute over the known bars of the last 24 hours."""
    bars, row = snapshot.store.bars, snapshot.row
    span = max(1, DAY_MINUTES * MINUTE_MS // bars.timeframe_ms)
    volumes = bars.volume[max(0, row - span + 1) : row + 1].tolist()
    return fsum(volumes) / len(volumes) * MINUTE_MS / bars.timeframe_ms


def _share(share: Decimal, volume: float) -> Decimal:
    if not (isfinite(volume) and volume > 0.0):
        return ZERO
    return (share * Decimal(repr(volume))).quantize(_STEP, ROUND_DOWN)
