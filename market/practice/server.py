"""The REST door: weights, faults, signatures, answers."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl
from uuid import uuid4

from aiohttp import web

from market.practice.faults import TRANSPORT_VERBS, Fault
from market.practice.private import Acted
from market.practice.problems import VenueError, bad_signature, missing
from market.practice.routes import ROUTES, Route
from market.practice.sockets import Sockets
from market.practice.streams import Hub
from market.practice.venue import Venue
from market.practice.wire import Json

logger = logging.getLogger(__name__)
WEIGHT_LIMIT = 6_000
_MINUTE_S = 60.0
_HOLD_S = 60.0
_BAN_S = 120.0
_SERVED_FIRST = frozenset({"accept_then_timeout", "empty", "truncate", "delay"})
_HTML = "<html><head><title>{0}</title></head><body><h1>{0} Bad Gateway</h1></body></html>"


@dataclass(slots=True)
class Throttle:
    """Request weight of the current wall-clock minute, as the venue counts it."""

    minute: int = 0
    used: int = 0

    def add(self, weight: int, wall_s: float, limit: float) -> bool:
        """Count a request; False where it is one too many."""
        minute = int(wall_s // _MINUTE_S)
        if minute != self.minute:
            self.minute, self.used = minute, 0
        self.used += weight
        return self.used <= limit


class RestDoor:
    """Answers every route of the table."""

    def __init__(self, venue: Venue, hub: Hub, sockets: Sockets) -> None:
        self._venue = venue
        self._hub = hub
        self._sockets = sockets
        self._throttle = Throttle()

    def application(self) -> web.Application:
        """Return the web application of the venue's public port."""
        app = web.Application()
        for route in ROUTES:
            for path in route.paths or (f"/api/v3/{route.path}", f"/api/v1/{route.path}"):
                app.router.add_route(route.method, path, self._handler(route))
        for method in ("POST", "PUT", "DELETE"):
            app.router.add_route(method, "/api/v3/userDataStream", self._listen_key)
        for path in ("/ws/{name}", "/stream/ws/{name}", "/ws", "/stream/ws", "/stream"):
            app.router.add_get(path, self._sockets.market)
        for path in ("/ws-api/v3", "/ws-api/ws-api/v3"):
            app.router.add_get(path, self._sockets.api)
        return app

    def _handler(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            response = await self._with_faults(route, request)
            response.headers["X-MBX-USED-WEIGHT-1M"] = str(self._throttle.used)
            return response

        return handle

    def _limit(self) -> float:
        """Request weight allowed in a wall-clock minute: the venue's own, once a venue minute.

        A clock that runs sixty times as fast must allow sixty times the requests, or no client
        could do at speed what it may do on a real venue. A clock stepped by hand has no minute.
        """
        speed = self._venue.clock.speed
        if speed <= 0:
            return math.inf
        return WEIGHT_LIMIT * max(1.0, speed * self._venue.tape.timeframe_ms / 1000)

    async def _with_faults(self, route: Route, request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        if not self._throttle.add(route.weight, self._venue.wall_ms() / 1000, self._limit()):
            return _too_many(429, _MINUTE_S)
        fault = self._venue.faults.fire(route.op, TRANSPORT_VERBS)
        if fault is None:
            return self._answer(route, request, body)
        if fault.verb == "delay":
            await asyncio.sleep(fault.number("ms", 1000) / 1000)
        response = None
        if fault.verb in _SERVED_FIRST or fault.args.get("accept"):
            response = self._answer(route, request, body)
        return await self._spoiled(fault, request, response)

    async def _spoiled(
        self, fault: Fault, request: web.Request, served: web.Response | None
    ) -> web.Response:
        verb = fault.verb
        if verb in ("accept_then_timeout", "drop"):
            await asyncio.sleep(fault.number("hold_s", _HOLD_S if served is not None else 0.0))
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        if verb in ("429", "418"):
            default = 1.0 if verb == "429" else _BAN_S
            return _too_many(int(verb), fault.number("retry_after_s", default))
        if verb == "5xx":
            return web.Response(status=int(fault.number("status", 503)), text="")
        if verb == "html":
            status = int(fault.number("status", 502))
            return web.Response(status=status, text=_HTML.format(status), content_type="text/html")
        if verb == "reject":
            code = int(fault.number("code", -2010))
            text = fault.text("msg", "Order was rejected by an armed fault.")
            return _problem(VenueError(code, text, int(fault.number("status", 400))))
        if verb == "empty":
            return web.Response(text="", content_type="application/json")
        if verb == "truncate" and served is not None and served.text is not None:
            return web.Response(
                text=served.text[: len(served.text) // 2], content_type="application/json"
            )
        return served if served is not None else web.Response()

    def _answer(self, route: Route, request: web.Request, body: str) -> web.Response:
        try:
            params = _params(request.query_string, body)
            venue = self._venue
            if route.signed:
                self._check(request, body, params)
                venue = venue.seen_by(_key_of(request))
            result = route.handler(venue, params)
        except VenueError as error:
            return _problem(error)
        if isinstance(result, Acted):
            self._hub.reported(result.reports, venue)
            return _problem(result.refusal) if result.refusal else _json(result.answer)
        return _json(result)

    def _check(self, request: web.Request, body: str, params: dict[str, str]) -> None:
        """The signature covers query and body as they were sent, without itself."""
        api_key = _key_of(request)
        if not api_key:
            raise VenueError(-2014, "API-key format invalid.", 401)
        signature = params.get("signature")
        if not signature:
            raise missing("signature")
        sent = request.url.raw_query_string + body
        payload, separator, _ = sent.partition("&signature=")
        if not separator:
            raise bad_signature()
        self._venue.check_signed(api_key, payload, signature)
        self._venue.check_timestamp(params)

    async def _listen_key(self, request: web.Request) -> web.StreamResponse:
        """Open, keep or close a user stream by listen key."""
        try:
            self._venue.check_key(_key_of(request))
        except VenueError as error:
            return _problem(error)
        params = _params(request.query_string, (await request.read()).decode())
        if request.method == "POST":
            key = uuid4().hex
            self._sockets.listen_keys[key] = self._venue.seen_by(_key_of(request)).account
            return _json({"listenKey": key})
        if request.method == "DELETE":
            self._sockets.listen_keys.pop(params.get("listenKey", ""), None)
        return _json({})


def _key_of(request: web.Request) -> str:
    return request.headers.get("X-MBX-APIKEY", "")


def _params(query: str, body: str) -> dict[str, str]:
    return dict(parse_qsl(query, keep_blank_values=True) + parse_qsl(body, keep_blank_values=True))


def _json(value: Json, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(value), status=status, content_type="application/json")


def _problem(error: VenueError) -> web.Response:
    return _json({"code": error.code, "msg": error.message}, error.status)


def _too_many(status: int, retry_after_s: float) -> web.Response:
    text = "Too much request weight used; please use WebSocket Streams for live updates."
    response = _json({"code": -1003, "msg": text}, status)
    response.headers["Retry-After"] = f"{retry_after_s:g}"
    return response
