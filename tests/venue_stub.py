"""A local HTTP stub that stands for a venue: records what was asked, answers from a table.

It knows just enough of each venue's protocol for one market, BTC/USDT, and one account. What it
shows is the form of our requests; what the venue makes of them only the venue can show.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from market.ccxt_client import build_client

Answer = Any
Reply = Answer | Callable[["Asked"], Answer]
BTC = "BTC/USDT"
NOW_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Asked:
    """One request as it arrived: parameters of query, form or JSON body together."""

    method: str
    path: str
    params: dict[str, Any]
    headers: dict[str, str]


@dataclass
class VenueStub:
    port: int = 0
    replies: dict[str, Reply] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def to(self, path: str) -> list[Asked]:
        """Return the requests for one path, oldest first."""
        return [one for one in self.asked if one.path == path]

    def client(self, exchange_id: str, **options: Any) -> Any:
        arguments = {"key": "k", "secret": "c2VjcmV0", "passphrase": "p", "timeout_s": 5.0}
        url = f"http://127.0.0.1:{self.port}"
        return build_client(exchange_id, practice_url=url, **{**arguments, **options})


@contextmanager
def venue_stub(exchange_id: str, **replies: Reply) -> Iterator[VenueStub]:
    """Serve one venue's market list and clock, and ``replies`` by path (with ``/`` as ``__``)."""
    stub = VenueStub(replies={**MARKETS[exchange_id]})
    stub.replies.update({f"/{path.replace('__', '/')}": reply for path, reply in replies.items()})

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            params: dict[str, Any] = dict(parse_qsl(url.query))
            if body[:1] in ("{", "["):
                sent = json.loads(body)
                params.update(sent[0] if isinstance(sent, list) else sent)
            else:
                params.update(parse_qsl(body))
            one = Asked(self.command, url.path, params, dict(self.headers))
            stub.asked.append(one)
            reply = stub.replies.get(url.path)
            found = reply(one) if callable(reply) else reply
            status = stub.status if found is not None else 404
            text = json.dumps({"unserved": url.path} if found is None else found).encode()
            self.send_response(status)
            for name, value in stub.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = handle_any

        def log_message(self, *args: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def bybit(result: Any, code: int = 0, text: str = "OK") -> dict[str, Any]:
    return {"retCode": code, "retMsg": text, "result": result, "retExtInfo": {}, "time": NOW_MS}


def okx(data: list[Any], code: str = "0", text: str = "") -> dict[str, Any]:
    return {"code": code, "data": data, "msg": text}


def kraken(result: Any, *errors: str) -> dict[str, Any]:
    return {"error": list(errors), **({} if errors else {"result": result})}


_BYBIT_MARKET = {
    "symbol": "BTCUSDT",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "innovation": "0",
    "status": "Trading",
    "marginTrading": "none",
    "lotSizeFilter": {
        "basePrecision": "0.000001",
        "quotePrecision": "0.00000001",
        "minOrderQty": "0.000048",
        "maxOrderQty": "71.7",
        "minOrderAmt": "5",
        "maxOrderAmt": "2000000",
    },
    "priceFilter": {"tickSize": "0.01"},
}
_OKX_MARKET = {
    "instType": "SPOT",
    "instId": "BTC-USDT",
    "baseCcy": "BTC",
    "quoteCcy": "USDT",
    "lotSz": "0.00000001",
    "minSz": "0.00001",
    "tickSz": "0.1",
    "state": "live",
    "lever": "10",
    "listTime": "1548133413000",
    "maxLmtSz": "9999",
    "maxMktSz": "1000000",
}
_KRAKEN_MARKET = {
    "altname": "XBTUSDT",
    "wsname": "XBT/USDT",
    "aclass_base": "currency",
    "base": "XXBT",
    "aclass_quote": "currency",
    "quote": "USDT",
    "lot": "unit",
    "cost_decimals": 6,
    "pair_decimals": 1,
    "lot_decimals": 8,
    "lot_multiplier": 1,
    "fees": [[0, 0.4]],
    "fees_maker": [[0, 0.25]],
    "ordermin": "0.0001",
    "costmin": "0.5",
    "tick_size": "0.1",
    "status": "online",
}
_BINANCE_MARKET = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "baseAsset": "BTC",
    "baseAssetPrecision": 8,
    "quoteAsset": "USDT",
    "quotePrecision": 8,
    "quoteAssetPrecision": 8,
    "orderTypes": ["LIMIT", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT"],
    "isSpotTradingAllowed": True,
    "isMarginTradingAllowed": False,
    "permissions": ["SPOT"],
    "filters": [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": "0.01",
            "maxPrice": "1000000",
            "tickSize": "0.01",
        },
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
        {"filterType": "NOTIONAL", "minNotional": "5", "applyMinToMarket": True},
    ],
}
_KRAKEN_ASSETS = {
    "XXBT": {"aclass": "currency", "altname": "XBT", "decimals": 10, "display_decimals": 5},
    "USDT": {"aclass": "currency", "altname": "USDT", "decimals": 8, "display_decimals": 4},
}
MARKETS: dict[str, dict[str, Reply]] = {
    "binance": {
        "/api/v3/time": {"serverTime": NOW_MS},
        "/api/v3/exchangeInfo": {
            "timezone": "UTC",
            "serverTime": NOW_MS,
            "symbols": [_BINANCE_MARKET],
        },
    },
    "bybit": {
        "/v5/market/time": bybit({"timeSecond": str(NOW_MS // 1000)}),
        "/v5/market/instruments-info": bybit({"category": "spot", "list": [_BYBIT_MARKET]}),
        "/v5/user/query-api": bybit({"uta": 1, "unified": 0}),
        "/v5/account/info": bybit({"unifiedMarginStatus": 5}),
    },
    "okx": {
        "/api/v5/public/time": okx([{"ts": str(NOW_MS)}]),
        "/api/v5/public/instruments": okx([_OKX_MARKET]),
    },
    "kraken": {
        "/0/public/Time": kraken({"unixtime": NOW_MS // 1000}),
        "/0/public/Assets": kraken(_KRAKEN_ASSETS),
        "/0/public/AssetPairs": kraken({"XBTUSDT": _KRAKEN_MARKET}),
    },
}
