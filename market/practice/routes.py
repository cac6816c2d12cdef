"""The table of requests: where each is answered, what it weighs, and who may ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from market.practice import private, public
from market.practice.private import Acted
from market.practice.public import Params
from market.practice.venue import Venue
from market.practice.wire import Json

Handler = Callable[[Venue, Params], "Json | Acted"]


@dataclass(frozen=True, slots=True)
class Route:
    """One request. ``op`` is the name that faults are armed for; ``signed`` needs key and HMAC;
    ``ws_method`` is its name on the WebSocket API, empty where it is not there."""

    op: str
    method: str
    path: str
    handler: Handler
    weight: int
    signed: bool
    ws_method: str = ""
    paths: tuple[str, ...] = ()
    """Where it is served instead of ``/api/v3`` and ``/api/v1``."""


ROUTES: tuple[Route, ...] = (
    Route("ping", "GET", "ping", public.ping, 1, False, "ping"),
    Route("time", "GET", "time", public.server_time, 1, False, "time"),
    Route("exchangeInfo", "GET", "exchangeInfo", public.exchange_info, 20, False, "exchangeInfo"),
    Route("klines", "GET", "klines", public.candles, 2, False, "klines"),
    Route("depth", "GET", "depth", public.depth, 5, False, "depth"),
    Route("trades", "GET", "trades", public.trades, 25, False, "trades.recent"),
    Route("trades", "GET", "aggTrades", public.agg_trades, 4, False, "trades.aggregate"),
    Route("ticker", "GET", "ticker/price", public.ticker_price, 2, False, "ticker.price"),
    Route("ticker", "GET", "ticker/bookTicker", public.ticker_book, 2, False, "ticker.book"),
    Route("ticker", "GET", "ticker/24hr", public.ticker_day, 2, False, "ticker.24hr"),
    Route(
        "key.rights",
        "GET",
        "account/apiRestrictions",
        private.key_rights,
        1,
        True,
        paths=("/sapi/v1/account/apiRestrictions",),
    ),
    Route(
        "deposits",
        "GET",
        "capital/deposit/hisrec",
        private.deposits,
        1,
        True,
        paths=("/sapi/v1/capital/deposit/hisrec",),
    ),
    Route(
        "withdrawals",
        "GET",
        "capital/withdraw/history",
        private.withdrawals,
        1,
        True,
        paths=("/sapi/v1/capital/withdraw/history",),
    ),
    Route("account", "GET", "account", private.account_info, 20, True, "account.status"),
    Route("order.create", "POST", "order", private.create_order, 1, True, "order.place"),
    Route("order.test", "POST", "order/test", private.check_order, 1, True, "order.test"),
    Route("order.query", "GET", "order", private.query_order, 4, True, "order.status"),
    Route("order.cancel", "DELETE", "order", private.cancel_order, 1, True, "order.cancel"),
    Route(
        "order.cancel",
        "DELETE",
        "openOrders",
        private.cancel_open_orders,
        1,
        True,
        "openOrders.cancelAll",
    ),
    Route("openOrders", "GET", "openOrders", private.open_orders, 6, True, "openOrders.status"),
    Route("allOrders", "GET", "allOrders", private.all_orders, 20, True, "allOrders"),
    Route("myTrades", "GET", "myTrades", private.my_trades, 20, True, "myTrades"),
)
