"""Closed bars of a venue by polling through ccxt: nothing unclosed, nothing twice, nothing lost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from engine.types.bars import (
    Bar,
    BarColumns,
    Book,
    EventKind,
    Instrument,
    MarketEvent,
    TradeFlow,
)
from engine.types.orders import Rejection, Unanswered
from market.answers import Unavailable
from market.ccxt_client import ask
from market.errors import DataError, SourceUnavailable, SymbolRefused
from market.rate_budget import NO_BUDGET, Budget, Urgency
from market.sources.instruments import timeframe_to_ms

T = TypeVar("T")
Row = Sequence[float]
PAGE_BARS = 1_000
BOOK_LEVELS = 50
_ROW_CELLS = 6
_TRADE_COUNT_CELL, _TAKER_BUY_CELL, _VOLUME_CELL = 8, 9, 5


class CcxtPollSource:
    """Emits each bar once it has closed by the venue's own clock (MarketSource).

    ``last_close_ms`` gives the close of the last bar already handled by symbol; a symbol without
    one starts with the next bar that closes. Missed bars are emitted in order, without book and
    flow; only the newest bar of a poll carries them.
    """

    def __init__(
        self,
        client: Any,
        symbols: Sequence[str],
        timeframe: str,
        last_close_ms: Mapping[str, int] | None = None,
        *,
        budget: Budget = NO_BUDGET,
        between_symbols: Callable[[], None] = lambda: None,
        is_closed: Callable[[str], bool] = lambda symbol: False,
    ) -> None:
        """``between_symbols`` is called while a poll reads one symbol after the other: fifty of
        them on a slow venue outlast a lease. ``is_closed`` is asked after the refusal of a symbol;
        one that is closed has no events, and that is no failure."""
        self._client = client
        self._budget = budget
        self._symbols = tuple(symbols)
        self._timeframe = timeframe
        self._timeframe_ms = timeframe_to_ms(timeframe)
        self._last_close_ms = dict(last_close_ms or {})
        self._between_symbols = between_symbols
        self._is_closed = is_closed
        self._tells_flow = tells_flow_in_candles(client)
        # raw rows by open time of the candles read last
        self._raw: dict[int, Row] = {}

    def last_close_ms(self) -> Mapping[str, int]:
        """Return the close of the last bar emitted (or given at the start) by symbol."""
        return dict(self._last_close_ms)

    def venue_ms(self) -> int:
        """Return the venue's time in UTC milliseconds."""
        return int(self._read("fetch_time", self._client.fetch_time))

    def instruments(
        self, *, known: Mapping[str, Instrument] = MappingProxyType({})
    ) -> dict[str, Instrument]:
        """Return the traded symbols' instruments.

        A symbol that was traded before and is not listed any more keeps what is ``known`` of it:
        it must not take the others with it (F-055).

        Raises:
            SourceUnavailable: the venue did not answer.
            DataError: the venue does not list a symbol that is not known, or none at all, or lists
                one without filters.
        """
        markets = self._read("load_markets", self._client.load_markets)
        gone = {s: known[s] for s in self._symbols if s not in markets and s in known}
        if len(gone) == len(self._symbols):
            gone = {}
        return {s: gone[s] if s in gone else instrument_of(markets, s) for s in self._symbols}

    def is_listed(self, symbol: str) -> bool:
        """True where the venue's list, as it was read last, has the symbol."""
        return symbol in self._read("load_markets", self._client.load_markets)

    def history(self, symbol: str, n_bars: int) -> BarColumns:
        """Return up to ``n_bars`` closed bars before the first event, oldest first.

        That is up to the last bar handled, or to the newest closed one where there is none (which
        then counts as handled, so that no bar is in both).
        """
        end_ms = self._last_close_ms.get(symbol)
        if end_ms is None:
            end_ms = self.venue_ms() // self._timeframe_ms * self._timeframe_ms
            self._last_close_ms[symbol] = end_ms
        first_ms = end_ms - n_bars * self._timeframe_ms
        bars = self._closed_bars(symbol, first_ms, end_ms)
        # Where bars are missing the span held fewer than asked for: page further back.
        while bars and len(bars) < n_bars:
            earlier_ms = first_ms - (n_bars - len(bars)) * self._timeframe_ms
            earlier = self._closed_bars(symbol, earlier_ms, first_ms)
            if not earlier:
                break
            bars, first_ms = earlier + bars, earlier_ms
        return _columns(bars[-n_bars:], self._timeframe_ms)

    def between(self, symbol: str, from_ms: int, to_ms: int) -> BarColumns:
        """Return the bars the venue has that open at or after ``from_ms`` and closed by ``to_ms``.

        Raises:
            SourceUnavailable: the venue did not answer.
            SymbolRefused: it refused the symbol.
        """
        return _columns(self._closed_bars(symbol, from_ms, to_ms), self._timeframe_ms)

    def events(self) -> Iterator[MarketEvent]:
        """Yield what has closed since the last call, in time order over all symbols.

        A bar counts as emitted when it is yielded, so a consumer that stops loses nothing.

        Raises:
            SourceUnavailable: the venue did not answer.
            SymbolRefused: it refused a symbol; raised last, after the events of all others.
        """
        now_ms = self.venue_ms()
        due: list[MarketEvent] = []
        refused: list[str] = []
        for symbol in self._symbols:
            self._between_symbols()
            try:
                due += self._due(symbol, now_ms)
            except SymbolRefused as error:
                if not self._is_known_closed(symbol):
                    refused.append(f"{symbol} {error}")
        for event in sorted(due, key=lambda e: (e.ts_ms, self._symbols.index(e.symbol))):
            self._last_close_ms[event.symbol] = event.ts_ms
            yield event
        if refused:
            raise SymbolRefused("; ".join(refused))

    def _is_known_closed(self, symbol: str) -> bool:
        """False also where the venue does not say: the others' events come first."""
        try:
            return self._is_closed(symbol)
        except SourceUnavailable:
            return False

    def _due(self, symbol: str, now_ms: int) -> list[MarketEvent]:
        after_ms = self._last_close_ms.setdefault(
            symbol, now_ms // self._timeframe_ms * self._timeframe_ms
        )
        if after_ms + self._timeframe_ms > now_ms:
            return []
        bars = self._closed_bars(symbol, after_ms, now_ms)
        events = [self._event(symbol, bar, now_ms) for bar in bars[:-1]]
        return events + [self._newest(symbol, bar, now_ms) for bar in bars[-1:]]

    def _event(self, symbol: str, bar: Bar, now_ms: int) -> MarketEvent:
        return MarketEvent(EventKind.BAR, symbol, bar.ts_ms + self._timeframe_ms, now_ms, bar)

    def _newest(self, symbol: str, bar: Bar, now_ms: int) -> MarketEvent:
        close_ms = bar.ts_ms + self._timeframe_ms
        raw_book = self._read(
            "fetch_order_book", lambda: self._client.fetch_order_book(symbol, BOOK_LEVELS)
        )
        book = book_of(raw_book, close_ms)
        flow = self._flow(symbol, bar, close_ms)
        return MarketEvent(EventKind.BAR, symbol, close_ms, now_ms, bar, book, flow)

    def _flow(self, symbol: str, bar: Bar, close_ms: int) -> TradeFlow | None:
        """Return the taker flow of the bar just read: of the very row that gave it, where the
        venue's candles tell it."""
        if self._tells_flow:
            return flow_of_row(self._raw.get(bar.ts_ms))
        return self._read("flow", lambda: flow_of_trades(self._client, symbol, bar, close_ms))

    def _closed_bars(self, symbol: str, from_ms: int, closed_by_ms: int) -> list[Bar]:
        """Return bars that open at or after ``from_ms`` and closed by ``closed_by_ms``.

        What a venue repeats or sends out of order within a page is put right here: each open
        time once, ascending. Whether a bar makes sense is the quality gate's question.
        """
        bars: dict[int, Bar] = {}
        self._raw = {}
        since_ms = from_ms
        while since_ms + self._timeframe_ms <= closed_by_ms:
            rows = self._page(symbol, since_ms)
            for row in rows:
                bar = _bar_of(row)
                if from_ms <= bar.ts_ms and bar.ts_ms + self._timeframe_ms <= closed_by_ms:
                    bars.setdefault(bar.ts_ms, bar)
            newest_ms = max((int(row[0]) for row in rows), default=0)
            # pages are as long as the venue likes (OKX 300, Kraken 720): only one that brings
            # nothing newer is the last
            if newest_ms < since_ms:
                break
            since_ms = newest_ms + self._timeframe_ms
        return [bars[ts_ms] for ts_ms in sorted(bars)]

    def _page(self, symbol: str, since_ms: int) -> list[Row]:
        rows: list[Row] = self._read(
            "fetch_ohlcv",
            lambda: self._client.fetch_ohlcv(symbol, self._timeframe, since_ms, PAGE_BARS),
        )
        answer = self._client.last_json_response
        if self._tells_flow and isinstance(answer, list):
            self._raw.update({int(row[0]): row for row in answer})
        return rows

    def _read(self, name: str, call: Callable[[], T]) -> T:
        gate = self._budget.gate(name, Urgency.POLL)
        result = ask(self._client, call, writes=False, gate=gate)
        if isinstance(result, Unavailable):
            raise SourceUnavailable(f"{result.code}: {result.reason}")
        if isinstance(result, Rejection):
            raise SymbolRefused(f"{result.code}: {result.message}")
        if isinstance(result, Unanswered):
            raise SourceUnavailable(str(result))
        return result


def tells_flow_in_candles(client: Any) -> bool:
    """True where the venue prints taker volume and trade count in its candle rows, as Binance does;
    ccxt leaves them out, the raw answer has them."""
    return bool(client.id.startswith("binance"))


def flow_of_row(row: Sequence[Any] | None) -> TradeFlow | None:
    """Return the taker flow of one raw candle row; None where the row is missing or has none."""
    if row is None or len(row) <= _TAKER_BUY_CELL:
        return None
    volume, bought = Decimal(row[_VOLUME_CELL]), Decimal(row[_TAKER_BUY_CELL])
    if not volume.is_finite() or not bought.is_finite():
        return None
    return TradeFlow(float(bought), float(volume - bought), int(row[_TRADE_COUNT_CELL]))


def flow_of_trades(client: Any, symbol: str, bar: Bar, close_ms: int) -> TradeFlow | None:
    """Sum one page of trades; None where the page does not reach from open to close."""
    trades = client.fetch_trades(symbol, bar.ts_ms, PAGE_BARS)
    if not trades or (len(trades) >= PAGE_BARS and trades[-1]["timestamp"] < close_ms):
        return None
    inside = [t for t in trades if bar.ts_ms <= t["timestamp"] < close_ms]
    bought = math.fsum(t["amount"] for t in inside if t["side"] == "buy")
    sold = math.fsum(t["amount"] for t in inside if t["side"] == "sell")
    return TradeFlow(bought, sold, len(inside))


def book_of(raw: Mapping[str, Any], ts_ms: int) -> Book:
    """Return a ccxt order book as values, stamped ``ts_ms``."""
    bids = tuple((float(level[0]), float(level[1])) for level in raw["bids"])
    asks = tuple((float(level[0]), float(level[1])) for level in raw["asks"])
    return Book(ts_ms, bids, asks)


def instrument_of(markets: Mapping[str, Any], symbol: str) -> Instrument:
    """Return the instrument of a ccxt market entry, its filters as Decimal.

    Raises:
        DataError: the symbol is not listed, or without price and amount steps.
    """
    market = markets.get(symbol)
    if market is None:
        raise DataError(f"symbol was {symbol!r}, allowed: a symbol the venue lists")
    tick, lot = market["precision"]["price"], market["precision"]["amount"]
    if not tick or not lot:
        raise DataError(f"{symbol}: steps were price {tick}, amount {lot}, allowed: above 0")
    limits = market["limits"]
    return Instrument(
        symbol=symbol,
        base=market["base"],
        quote=market["quote"],
        tick_size=_decimal(tick),
        lot_size=_decimal(lot),
        min_notional_quote=_decimal(limits["cost"]["min"] or 0),
        min_quantity_base=_decimal(limits["amount"]["min"] or lot),
        maker_fee_fraction=_decimal(market["maker"] or 0),
        taker_fee_fraction=_decimal(market["taker"] or 0),
        shortable=bool(market["swap"] or market["future"]),
    )


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _bar_of(row: Row) -> Bar:
    """Read one candle row; a cell the venue left empty becomes NaN for the gate to refuse."""
    cells = [math.nan if cell is None else float(cell) for cell in row[1:_ROW_CELLS]]
    return Bar(int(row[0]), *cells)


def _columns(bars: Sequence[Bar], timeframe_ms: int) -> BarColumns:
    def column(name: str) -> Any:
        return np.array([getattr(bar, name) for bar in bars], dtype=np.float64)

    return BarColumns(
        np.array([bar.ts_ms for bar in bars], dtype=np.int64),
        column("open"),
        column("high"),
        column("low"),
        column("close"),
        column("volume"),
        timeframe_ms,
    )
