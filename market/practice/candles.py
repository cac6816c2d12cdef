"""Candles as the venue answers them: longer intervals, the unclosed one, and faulty ones."""

from __future__ import annotations

from collections.abc import Iterable

from engine.types.bars import Bar, TradeFlow
from market.errors import DataError
from market.practice.faults import CANDLE_VERBS, Fault
from market.practice.problems import VenueError
from market.practice.tape import last_bar
from market.practice.venue import Venue
from market.practice.wire import Json, kline
from market.sources.history import iterate_bars
from market.sources.instruments import timeframe_to_ms
from market.sources.synthetic import synthetic_flow

_NO_FLOW = TradeFlow(0.0, 0.0, 0)
_FIELDS = {"open": 1, "high": 2, "low": 3, "close": 4, "volume": 5}


def interval_ms(venue: Venue, interval: str) -> int:
    """Return the length of an interval the tape can serve: a multiple of its own bar."""
    try:
        length = timeframe_to_ms(interval)
    except DataError:
        raise VenueError(-1120, "Invalid interval.") from None
    if length % venue.tape.timeframe_ms:
        raise VenueError(-1120, "Invalid interval.")
    return length


def klines(
    venue: Venue, symbol: str, interval: str, start_ms: int | None, end_ms: int | None, limit: int
) -> list[Json]:
    """Return candle rows: the first ``limit`` from ``start_ms``, else the newest; the last one may
    be unclosed (as on a real venue), flat at the last close for nothing of it is known yet."""
    length = interval_ms(venue, interval)
    close_ms = venue.clock.close_ms
    rows = _closed_and_forming(venue, symbol, length, start_ms, close_ms, limit)
    if end_ms is not None:
        rows = [row for row in rows if _open_ms(row) <= end_ms]
    rows = rows[:limit] if start_ms is not None else rows[-limit:]
    return _faulty(venue, rows, venue.clock.now_ms())


def _closed_and_forming(
    venue: Venue, symbol: str, length: int, start_ms: int | None, close_ms: int, limit: int
) -> list[Json]:
    tape = venue.tape
    count = tape.count(symbol, close_ms)
    per_row = length // tape.timeframe_ms
    if start_ms is None:
        first = max(0, count - per_row * (limit + 1))
    else:
        first = tape.count(symbol, start_ms - 1 + tape.timeframe_ms)
    last = min(count, first + per_row * (limit + 1))
    bars = list(iterate_bars(tape.rows(symbol, first, last), 0, last - first))
    if last == count and venue.clock.next_close_ms is not None:
        bars += _forming(venue, symbol, close_ms)
    instrument = tape.instruments[symbol]
    seed = venue.settings.seed
    flows = [synthetic_flow(seed, instrument, b) if b.ts_ms < close_ms else _NO_FLOW for b in bars]
    if per_row == 1:
        return [kline(bar, flow, length) for bar, flow in zip(bars, flows, strict=True)]
    return _grouped(bars, flows, length)


def _forming(venue: Venue, symbol: str, close_ms: int) -> list[Bar]:
    bar = last_bar(venue.tape, symbol, close_ms)
    if bar is None:
        return []
    return [Bar(close_ms, bar.close, bar.close, bar.close, bar.close, 0.0)]


def _grouped(bars: list[Bar], flows: list[TradeFlow], length: int) -> list[Json]:
    """Join bars into longer ones that start on multiples of ``length``."""
    groups: dict[int, list[int]] = {}
    for i, bar in enumerate(bars):
        groups.setdefault(bar.ts_ms - bar.ts_ms % length, []).append(i)
    rows: list[Json] = []
    for open_ms, members in groups.items():
        parts = [bars[i] for i in members]
        joined = Bar(
            open_ms,
            parts[0].open,
            max(p.high for p in parts),
            min(p.low for p in parts),
            parts[-1].close,
            sum(p.volume for p in parts),
        )
        bought = sum(flows[i].buy_volume_base for i in members)
        trades = sum(flows[i].trade_count for i in members)
        rows.append(kline(joined, TradeFlow(bought, joined.volume - bought, trades), length))
    return rows


def _faulty(venue: Venue, rows: list[Json], now_ms: int) -> list[Json]:
    """Apply an armed candle fault to the newest closed rows."""
    fault = venue.faults.fire("klines", CANDLE_VERBS)
    if fault is None:
        return rows
    closed = [row for row in rows if _close_ms(row) < now_ms]
    forming = rows[len(closed) :]
    n = int(fault.number("n", 1))
    if fault.verb == "stale_bars":
        return closed[: max(0, len(closed) - n)]
    if fault.verb == "drop_bars":
        return [*closed[: max(0, len(closed) - 1 - n)], *closed[-1:], *forming]
    if fault.verb == "dup_bars":
        return [*closed, *closed[-1:], *forming]
    return [*closed[:-1], *_spoiled(closed[-1:], fault), *forming]


def _spoiled(rows: Iterable[Json], fault: Fault) -> list[Json]:
    field, value = fault.text("field", "close"), fault.text("value", "NaN")
    spoiled: list[Json] = []
    for row in rows:
        cells = list(row) if isinstance(row, list) else []
        cells[_FIELDS.get(field, 4)] = value
        spoiled.append(cells)
    return spoiled


def _open_ms(row: Json) -> int:
    return row[0] if isinstance(row, list) and isinstance(row[0], int) else 0


def _close_ms(row: Json) -> int:
    return row[6] if isinstance(row, list) and isinstance(row[6], int) else 0
