"""The practice exchange inside this process: its real routes and ledger, ccxt unmodified, no wire.

For tests that need thousands of requests. What a request would suffer on the wire (silence, a
server's error, half an answer) is done here; what the venue itself gets wrong, its faults do.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from market.ccxt_client import build_client
from market.practice.faults import TRANSPORT_VERBS, Fault
from market.practice.private import Acted
from market.practice.problems import VenueError
from market.practice.routes import ROUTES
from market.practice.tape import SyntheticTape
from market.practice.venue import OtherAccount, Venue, VenueSettings
from tests.practice_process import KEY, SECRET

START_MS = 1_700_000_040_000
BAR_MS = 60_000
BTC = "BTC/USDT"
_ROUTE = {(r.method, p): r for r in ROUTES for p in (r.paths or (f"/api/v3/{r.path}",))}
_SERVED_FIRST = frozenset({"accept_then_timeout", "empty", "truncate", "delay"})


class LocalVenue(requests.adapters.BaseAdapter):
    """One venue; ``client`` is the ccxt client that talks to it and ``now_s`` its wall clock."""

    def __init__(
        self,
        state: Path,
        *,
        seed: int = 1,
        cash: str = "10000",
        others: Sequence[OtherAccount] = (),
    ) -> None:
        super().__init__()
        self.now_s = 0.0
        tape = SyntheticTape(seed, [BTC], START_MS, BAR_MS)
        settings = VenueSettings(
            state,
            seed=seed,
            speed=0.0,
            cash_quote=Decimal(cash),
            keys={KEY: SECRET},
            others=others,
        )
        self.venue = Venue(settings, tape, monotonic=lambda: self.now_s)
        self.client: Any = build_client(
            "binance", key=KEY, secret=SECRET, practice_url="http://127.0.0.1:9", timeout_s=1.0
        )
        self.client.session.mount("http://", self)
        self.step()

    def step(self, bars: int = 1) -> None:
        for _ in range(bars):
            self.venue.step()

    @property
    def now_ms(self) -> int:
        return self.venue.clock.now_ms()

    def fault(self, op: str, verb: str, nth: int | None = 1, **args: Any) -> None:
        self.venue.faults.arm({"op": op, "verb": verb, "nth": nth, "args": args})

    def accepted(self, client_order_id: str) -> list[Any]:
        """Return what the venue's own ledger has under one client id."""
        orders = self.venue.ledger.orders()
        return [order for order in orders if order.client_id == client_order_id]

    def trade_ids(self) -> list[str]:
        return sorted(str(fill.trade_id) for fill in self.venue.ledger.fills())

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Answer a request of the client's session in the place of the wire."""
        parts = urlsplit(str(request.url))
        route = _ROUTE[str(request.method), parts.path]
        seen = self.venue.seen_by(request.headers.get("X-MBX-APIKEY", ""))
        body = request.body.decode() if isinstance(request.body, bytes) else request.body or ""
        params = dict(parse_qsl(parts.query) + parse_qsl(body))
        fault = self.venue.faults.fire(route.op, TRANSPORT_VERBS)
        if fault is None:
            return self._served(route.handler, seen, params)
        served = None
        if fault.verb in _SERVED_FIRST or fault.args.get("accept"):
            served = self._served(route.handler, seen, params)
        return _spoiled(fault, served)

    def close(self) -> None:
        return None

    def _served(self, handler: Any, seen: Venue, params: dict[str, str]) -> requests.Response:
        try:
            result = handler(seen, params)
        except VenueError as error:
            return _refused(error)
        if isinstance(result, Acted):
            return _refused(result.refusal) if result.refusal else _response(result.answer)
        return _response(result)


def _spoiled(fault: Fault, served: requests.Response | None) -> requests.Response:
    verb = fault.verb
    if verb in ("accept_then_timeout", "drop"):
        raise requests.exceptions.ReadTimeout("the venue was silent")
    if verb == "5xx":
        return _response("", 503)
    if verb == "html":
        return _response("<html><body><h1>502 Bad Gateway</h1></body></html>", 502)
    if verb in ("429", "418"):
        refused = _response({"code": -1003, "msg": "Too much request weight used."}, int(verb))
        refused.headers["Retry-After"] = f"{fault.number('retry_after_s', 1.0):g}"
        return refused
    if verb == "reject":
        return _refused(VenueError(int(fault.number("code", -2010)), "refused by a fault"))
    if verb == "empty":
        return _response("")
    if served is None:
        raise AssertionError(f"{verb} has nothing to spoil")
    if verb == "truncate":
        return _response(served.text[: len(served.text) // 2])
    return served


def _refused(error: VenueError) -> requests.Response:
    return _response({"code": error.code, "msg": error.message}, error.status)


def _response(value: Any, status: int = 200) -> requests.Response:
    answer = requests.Response()
    answer.status_code = status
    answer.reason = "OK" if status == 200 else "Error"
    answer.headers["Content-Type"] = "application/json"
    text = value if isinstance(value, str) else json.dumps(value)
    answer._content = text.encode()
    return answer
