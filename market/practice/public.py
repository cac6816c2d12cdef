"""Public market data: what anybody may ask."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from engine.types.bars import Bar, Instrument
from market.practice.candles import klines
from market.practice.problems import VenueError, invalid, missing
from market.practice.tape import last_bar
from market.practice.venue import Venue
from market.practice.wire import Json, levels, market_id, number, symbol_info
from market.sources.history import iterate_bars
from market.sources.synthetic import SyntheticTrade, synthetic_trades

DAY_MS = 86_400_000
MAX_ROWS = 1_000
DEFAULT_ROWS = 500
TRADE_IDS_PER_BAR = 64
Params = Mapping[str, str]


def whole(params: Params, name: str) -> int | None:
    """Return a whole number, None where absent; raises VenueError where it is not one."""
    text = params.get(name, "")
    if not text:
        return None
    if not text.lstrip("-").isdigit():
        raise invalid(name)
    return int(text)


def limit_of(params: Params, most: int = MAX_ROWS, default: int = DEFAULT_ROWS) -> int:
    return max(1, min(most, whole(params, "limit") or default))


def instrument_of(venue: Venue, params: Params) -> Instrument:
    symbol = params.get("symbol", "")
    if not symbol:
        raise missing("symbol")
    return venue.exchange.instrument(symbol)


def ping(venue: Venue, params: Params) -> Json:
    return {}


def server_time(venue: Venue, params: Params) -> Json:
    return {"serverTime": venue.issue_time()}


def exchange_info(venue: Venue, params: Params) -> Json:
    return {
        "timezone": "UTC",
        "serverTime": venue.now_ms(),
        "rateLimits": [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": 6000,
            }
        ],
        "exchangeFilters": [],
        "symbols": [
            symbol_info(instrument, symbol in venue.exchange.halted)
            for symbol, instrument in venue.exchange.instruments.items()
        ],
    }


def candles(venue: Venue, params: Params) -> Json:
    if not params.get("interval"):
        raise missing("interval")
    return klines(
        venue,
        instrument_of(venue, params).symbol,
        params["interval"],
        whole(params, "startTime"),
        whole(params, "endTime"),
        limit_of(params),
    )


def depth(venue: Venue, params: Params) -> Json:
    instrument = instrument_of(venue, params)
    close_ms = venue.clock.close_ms
    book = venue.exchange.book(instrument.symbol, close_ms)
    limit = limit_of(params, 5_000, 100)
    return {
        "lastUpdateId": venue.update_id(close_ms),
        "bids": levels(book.bids, limit),
        "asks": levels(book.asks, limit),
    }


def bar_trades(venue: Venue, symbol: str, bar: Bar) -> list[tuple[int, SyntheticTrade]]:
    """Return the trades of one closed bar with ids that follow from the bar's open time."""
    instrument = venue.tape.instruments[symbol]
    first_id = bar.ts_ms // venue.tape.timeframe_ms * TRADE_IDS_PER_BAR
    trades = synthetic_trades(venue.settings.seed, instrument, bar, venue.tape.timeframe_ms)
    return [(first_id + i, trade) for i, trade in enumerate(trades)]


def _trades(venue: Venue, params: Params) -> list[tuple[int, SyntheticTrade]]:
    """Return the newest trades up to ``limit``, or those from ``startTime`` on, oldest first."""
    symbol, limit = instrument_of(venue, params).symbol, limit_of(params)
    tape, start_ms = venue.tape, whole(params, "startTime")
    end_ms = whole(params, "endTime") or venue.clock.close_ms
    count = tape.count(symbol, venue.clock.close_ms)
    first = max(0, count - limit) if start_ms is None else tape.count(symbol, start_ms)
    last = min(count, first + limit)
    found: list[tuple[int, SyntheticTrade]] = []
    for bar in iterate_bars(tape.rows(symbol, first, last), 0, max(0, last - first)):
        found += bar_trades(venue, symbol, bar)
    if start_ms is None:
        return found[-limit:]
    return [entry for entry in found if start_ms <= entry[1].ts_ms <= end_ms][:limit]


def trades(venue: Venue, params: Params) -> Json:
    return [
        {
            "id": trade_id,
            "price": number(trade.price),
            "qty": number(trade.quantity_base),
            "quoteQty": f"{trade.quantity_base * Decimal(repr(trade.price)):.8f}",
            "time": trade.ts_ms,
            "isBuyerMaker": not trade.taker_bought,
            "isBestMatch": True,
        }
        for trade_id, trade in _trades(venue, params)
    ]


def agg_trades(venue: Venue, params: Params) -> Json:
    return [
        {
            "a": trade_id,
            "p": number(trade.price),
            "q": number(trade.quantity_base),
            "f": trade_id,
            "l": trade_id,
            "T": trade.ts_ms,
            "m": not trade.taker_bought,
            "M": True,
        }
        for trade_id, trade in _trades(venue, params)
    ]


def _asked(venue: Venue, params: Params) -> list[str]:
    if params.get("symbol"):
        return [instrument_of(venue, params).symbol]
    return list(venue.exchange.instruments)


def _one_or_all(params: Params, rows: list[Json]) -> Json:
    return rows[0] if params.get("symbol") else rows


def ticker_price(venue: Venue, params: Params) -> Json:
    rows: list[Json] = []
    for symbol in _asked(venue, params):
        bar = _last(venue, symbol)
        rows.append({"symbol": market_id(symbol), "price": number(bar.close)})
    return _one_or_all(params, rows)


def ticker_book(venue: Venue, params: Params) -> Json:
    rows: list[Json] = []
    for symbol in _asked(venue, params):
        rows.append({"symbol": market_id(symbol), **_best(venue, symbol)})
    return _one_or_all(params, rows)


def ticker_day(venue: Venue, params: Params) -> Json:
    return _one_or_all(params, [_day(venue, symbol) for symbol in _asked(venue, params)])


def _best(venue: Venue, symbol: str) -> dict[str, Json]:
    book = venue.exchange.book(symbol, venue.clock.close_ms)
    (bid, bid_quantity), (ask, ask_quantity) = book.bids[0], book.asks[0]
    return {
        "bidPrice": number(bid),
        "bidQty": number(bid_quantity),
        "askPrice": number(ask),
        "askQty": number(ask_quantity),
    }


def _day(venue: Venue, symbol: str) -> Json:
    """Statistics over the bars closed within the last 24 hours."""
    tape, close_ms = venue.tape, venue.clock.close_ms
    last = tape.count(symbol, close_ms)
    first = min(tape.count(symbol, close_ms - DAY_MS), max(0, last - 1))
    bars = list(iterate_bars(tape.rows(symbol, first, last), 0, last - first))
    if not bars:
        raise VenueError(-1013, "Market is closed.")
    opened, closed = Decimal(repr(bars[0].open)), Decimal(repr(bars[-1].close))
    volume = sum((Decimal(repr(bar.volume)) for bar in bars), Decimal(0))
    turnover = sum(bar.volume * (bar.high + bar.low + bar.close) / 3 for bar in bars)
    mean = turnover / float(volume) if volume else bars[-1].close
    return {
        "symbol": market_id(symbol),
        "priceChange": number(closed - opened),
        "priceChangePercent": f"{(closed / opened - 1) * 100:.3f}",
        "weightedAvgPrice": f"{mean:.8f}",
        "prevClosePrice": number(opened),
        "lastPrice": number(closed),
        "lastQty": "0.00000000",
        **_best(venue, symbol),
        "openPrice": number(opened),
        "highPrice": number(max(bar.high for bar in bars)),
        "lowPrice": number(min(bar.low for bar in bars)),
        "volume": number(volume),
        "quoteVolume": f"{turnover:.8f}",
        "openTime": bars[0].ts_ms,
        "closeTime": close_ms,
        "firstId": 0,
        "lastId": 0,
        "count": len(bars),
    }


def _last(venue: Venue, symbol: str) -> Bar:
    bar = last_bar(venue.tape, symbol, venue.clock.close_ms)
    if bar is None:
        raise VenueError(-1013, "Market is closed.")
    return bar
