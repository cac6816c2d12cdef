"""Small factories for instruments, intents, fills and bars."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

from engine.types.bars import Bar, Book, EventKind, Instrument, MarketEvent
from engine.types.opinions import Side
from engine.types.orders import Fill, OrderIntent, OrderType, Purpose

D = Decimal
BTC = "BTC/USDT"
_ids = itertools.count(1)


def instrument(**changes: Any) -> Instrument:
    fields: dict[str, Any] = {
        "symbol": BTC,
        "base": "BTC",
        "quote": "USDT",
        "tick_size": D("0.01"),
        "lot_size": D("0.0001"),
        "min_notional_quote": D("5"),
        "min_quantity_base": D("0.0001"),
        "maker_fee_fraction": D("0.001"),
        "taker_fee_fraction": D("0.001"),
    }
    return Instrument(**{**fields, **changes})


def intent(side: Side = Side.BUY, quantity: str = "1", **changes: Any) -> OrderIntent:
    fields: dict[str, Any] = {
        "client_order_id": f"order{next(_ids)}",
        "strategy": "ema-trend",
        "symbol": BTC,
        "side": side,
        "purpose": Purpose.ENTRY,
        "order_type": OrderType.MARKET,
        "quantity_base": D(quantity),
        "limit_price": None,
        "stop_price": None,
        "target_price": None,
        "reference_price": D("100"),
        "decided_at_ms": 0,
        "regime": "TRENDING",
    }
    return OrderIntent(**{**fields, **changes})


def fill(of: OrderIntent, price: str, quantity: str | None = None, **changes: Any) -> Fill:
    fields: dict[str, Any] = {
        "trade_id": f"t{next(_ids)}",
        "client_order_id": of.client_order_id,
        "symbol": of.symbol,
        "side": of.side,
        "price": D(price),
        "quantity_base": D(quantity) if quantity is not None else of.quantity_base,
        "fee": D(0),
        "fee_asset": "USDT",
        "ts_ms": 0,
    }
    return Fill(**{**fields, **changes})


def bar(ohlc: tuple[float, float, float, float], ts_ms: int = 0) -> Bar:
    return Bar(ts_ms, *ohlc, volume=10.0)


def bar_event(of: Bar, book: Book | None = None, symbol: str = BTC) -> MarketEvent:
    close_ms = of.ts_ms + 60_000
    return MarketEvent(EventKind.BAR, symbol, close_ms, close_ms, bar=of, book=book)
