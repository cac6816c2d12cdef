"""Pushed messages: who listens to what, and what a closing bar or an order tells them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from engine.types.bars import Bar, Book
from market.errors import DataError
from market.practice.candles import klines
from market.practice.exchange import Report
from market.practice.faults import STREAM_VERBS
from market.practice.public import bar_trades
from market.practice.tape import bar_closing_at
from market.practice.venue import Venue
from market.practice.wire import (
    Json,
    depth_event,
    execution_report,
    kline_event,
    levels,
    market_id,
    number,
    position_event,
)
from market.sources.instruments import timeframe_to_ms

# A client that is this many messages behind is cut off: a socket is a hint, never the truth.
_QUEUE_MESSAGES = 2_000


@dataclass(eq=False)
class Listener:
    """One socket. ``user`` receives the events of ``account``, wrapped with ``subscription`` where
    set."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport | None = None
    streams: set[str] = field(default_factory=set)
    user: bool = False
    account: str = ""
    subscription: int | None = None
    combined: bool = False
    held_back: str | None = None
    queue: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(_QUEUE_MESSAGES))

    async def write(self) -> None:
        """Send what is queued until the socket closes."""
        while not self.socket.closed:
            text = await self.queue.get()
            if self.socket.closed:
                return
            try:
                await self.socket.send_str(text)
            except ConnectionError:
                return


class Hub:
    """Delivers events to listeners, through the stream faults."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._listeners: set[Listener] = set()
        close_ms = venue.clock.close_ms
        self._books: dict[str, Book] = {
            symbol: venue.exchange.book(symbol, close_ms) for symbol in venue.tape.instruments
        }
        self._update_ids = dict.fromkeys(self._books, venue.update_id(close_ms))

    def join(self, listener: Listener) -> None:
        self._listeners.add(listener)

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def __len__(self) -> int:
        return len(self._listeners)

    def sockets(self) -> list[web.WebSocketResponse]:
        return [listener.socket for listener in self._listeners]

    def bar_closed(self, close_ms: int) -> None:
        """Tell what the bars that closed then changed: candle, trades, book."""
        for symbol in self._books:
            bar = bar_closing_at(self._venue.tape, symbol, close_ms)
            if bar is not None:
                self._symbol_moved(symbol, bar, close_ms)

    def reported(self, reports: Sequence[Report], seen: Venue) -> None:
        """Tell the listeners of an account what happened to its orders, then its balances;
        ``seen`` is the venue as that account sees it."""
        if not reports:
            return
        now_ms = self._venue.clock.now_ms()
        for report in reports:
            self._to_user(execution_report(report, now_ms), seen.account)
        self._to_user(position_event(seen.ledger.balances(), now_ms), seen.account)

    def _symbol_moved(self, symbol: str, bar: Bar, close_ms: int) -> None:
        before, after = self._books[symbol], self._venue.exchange.book(symbol, close_ms)
        first, last = self._update_ids[symbol] + 1, self._venue.update_id(close_ms)
        self._books[symbol], self._update_ids[symbol] = after, last
        for stream in sorted({s for listener in self._listeners for s in listener.streams}):
            name, _, kind = stream.partition("@")
            if name != market_id(symbol).lower():
                continue
            for event in self._events(symbol, kind, bar, close_ms, (before, after), (first, last)):
                self._to_market(stream, event)

    def _events(
        self,
        symbol: str,
        kind: str,
        bar: Bar,
        close_ms: int,
        books: tuple[Book, Book],
        ids: tuple[int, int],
    ) -> Iterable[Json]:
        if kind.startswith("kline_"):
            return self._candle_events(symbol, kind.removeprefix("kline_"), close_ms)
        if kind.startswith("depth"):
            return [depth_event(*books, symbol, *ids, close_ms)]
        if kind in ("trade", "aggTrade"):
            return self._trade_events(symbol, kind, bar)
        if kind == "bookTicker":
            return [_book_ticker(symbol, books[1], ids[1])]
        return []

    def _candle_events(self, symbol: str, interval: str, close_ms: int) -> list[Json]:
        """The candle that just closed, if it did, and the one that is forming."""
        length = timeframe_to_ms(interval)
        events: list[Json] = []
        for row in klines(self._venue, symbol, interval, None, None, 2):
            open_ms = row[0] if isinstance(row, list) and isinstance(row[0], int) else 0
            if isinstance(row, list) and open_ms + length >= close_ms:
                closed = open_ms + length <= close_ms
                events.append(kline_event(row, symbol, interval, closed, close_ms))
        return events

    def _trade_events(self, symbol: str, kind: str, bar: Bar) -> list[Json]:
        id_key = "t" if kind == "trade" else "a"
        return [
            {
                "e": kind,
                "E": trade.ts_ms,
                "s": market_id(symbol),
                id_key: trade_id,
                "p": number(trade.price),
                "q": number(trade.quantity_base),
                "f": trade_id,
                "l": trade_id,
                "T": trade.ts_ms,
                "m": not trade.taker_bought,
                "M": True,
            }
            for trade_id, trade in bar_trades(self._venue, symbol, bar)
        ]

    def _to_market(self, stream: str, event: Json) -> None:
        for listener in [item for item in self._listeners if stream in item.streams]:
            message: Json = {"stream": stream, "data": event} if listener.combined else event
            self._deliver(listener, "ws.market", json.dumps(message))

    def _to_user(self, event: Json, account: str) -> None:
        ours = [item for item in self._listeners if item.user and item.account == account]
        for listener in ours:
            message: Json = event
            if listener.subscription is not None:
                message = {"subscriptionId": listener.subscription, "event": event}
            self._deliver(listener, "ws.user", json.dumps(message))

    def _deliver(self, listener: Listener, op: str, text: str) -> None:
        fault = self._venue.faults.fire(op, STREAM_VERBS)
        verb = fault.verb if fault is not None else ""
        if verb == "mute_ws":
            return
        if verb == "cut_ws":
            self._cut(listener)
            return
        if verb == "reorder" and listener.held_back is None:
            listener.held_back = text
            return
        texts = [text, text] if verb == "dup_event" else [text]
        if listener.held_back is not None:
            texts.append(listener.held_back)
            listener.held_back = None
        for each in texts:
            self.send(listener, each)

    def send(self, listener: Listener, text: str) -> None:
        """Queue one message; a listener that is too far behind is cut off."""
        if listener.queue.full():
            self._cut(listener)
        else:
            listener.queue.put_nowait(text)

    def _cut(self, listener: Listener) -> None:
        self.leave(listener)
        if listener.transport is not None:
            listener.transport.abort()


def known_stream(venue: Venue, stream: str) -> bool:
    """True where the venue has the symbol and can serve the kind of stream."""
    name, _, kind = stream.partition("@")
    if name.upper() not in {market_id(symbol) for symbol in venue.tape.instruments}:
        return False
    if kind.startswith("kline_"):
        try:
            return timeframe_to_ms(kind.removeprefix("kline_")) % venue.tape.timeframe_ms == 0
        except DataError:
            return False
    return kind in {"trade", "aggTrade", "bookTicker", "depth", "depth@100ms", "depth@1000ms"}


def _book_ticker(symbol: str, book: Book, update_id: int) -> Json:
    bid, ask = levels(book.bids, 1), levels(book.asks, 1)
    best_bid = bid[0] if bid and isinstance(bid[0], list) else ["0", "0"]
    best_ask = ask[0] if ask and isinstance(ask[0], list) else ["0", "0"]
    return {
        "u": update_id,
        "s": market_id(symbol),
        "b": best_bid[0],
        "B": best_bid[1],
        "a": best_ask[0],
        "A": best_ask[1],
    }
