"""Fetching a venue's candles into the store, chunk by chunk; what is there is not asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.types.bars import BarColumns
from market.candle_store import Gap, Shelf, gaps_of, missing_spans

# A chunk is written when it is whole: what a broken download loses is at most one.
CHUNK_BARS = 5_000
# A venue's requests are shared with whatever trades from the same address.
SHARE_OF_RATE = 0.25


class CandleSource(Protocol):
    """Where bars come from; ``CcxtPollSource`` is one."""

    def venue_ms(self) -> int: ...

    def between(self, symbol: str, from_ms: int, to_ms: int) -> BarColumns: ...


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What a download did, and the gaps that stay: the venue has no bars there."""

    new: int
    refused: int
    bars: int
    gaps: list[Gap]


def candles_download(
    source: CandleSource,
    shelf: Shelf,
    *,
    since_ms: int,
    until_ms: int | None = None,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Downloaded:
    """Fetch every closed bar of [since, until) that is not kept; gaps within are tried again.

    ``told`` hears (bars asked for so far, bars in all). Repeating it goes on after what is kept.

    Raises:
        SourceUnavailable: the venue did not answer; what came before is kept.
        SymbolRefused: the venue refused the symbol.
    """
    length_ms = shelf.timeframe_ms
    closed_ms = source.venue_ms() // length_ms * length_ms
    end_ms = min(closed_ms, until_ms or closed_ms)
    start_ms = -(-since_ms // length_ms) * length_ms
    return _fetched(source, shelf, missing_spans(shelf.read(), start_ms, end_ms), told)


def candles_repair(
    source: CandleSource,
    shelf: Shelf,
    *,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Downloaded:
    """Ask the venue for the bars that are missing between kept ones, and for nothing else.

    What the venue does not have stays a gap; nothing is made up in its place.

    Raises:
        SourceUnavailable, SymbolRefused: as ``candles_download``.
    """
    gaps = gaps_of(shelf.read())
    return _fetched(source, shelf, [(gap.from_ms, gap.to_ms) for gap in gaps], told)


def _fetched(
    source: CandleSource,
    shelf: Shelf,
    spans: Sequence[tuple[int, int]],
    told: Callable[[int, int], None],
) -> Downloaded:
    """Fetch these stretches, chunk by chunk, and keep what passes the gate."""
    length_ms = shelf.timeframe_ms
    total = sum((b - a) // length_ms for a, b in spans)
    new = refused = done = 0
    for first_ms, last_ms in spans:
        for from_ms in range(first_ms, last_ms, CHUNK_BARS * length_ms):
            to_ms = min(from_ms + CHUNK_BARS * length_ms, last_ms)
            kept = shelf.keep(source.between(shelf.symbol, from_ms, to_ms))
            new, refused = new + kept.new, refused + kept.refused
            done += (to_ms - from_ms) // length_ms
            told(done, total)
    bars = shelf.read()
    return Downloaded(new, refused, len(bars), gaps_of(bars))
