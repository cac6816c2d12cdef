"""The two WebSocket doors: market streams, and the WebSocket API with the user stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count

from aiohttp import WSMsgType, web

from market.practice.private import Acted
from market.practice.problems import VenueError
from market.practice.routes import ROUTES, Route
from market.practice.streams import Hub, Listener, known_stream
from market.practice.venue import Venue
from market.practice.wire import Json

_WS_ROUTES: Mapping[str, Route] = {r.ws_method: r for r in ROUTES if r.ws_method}
_HEARTBEAT_S = 30.0


class Sockets:
    """Serves both doors. A listen key of the REST API opens the user stream by its path."""

    def __init__(self, venue: Venue, hub: Hub) -> None:
        self._venue = venue
        self._hub = hub
        self._subscriptions = count()
        # whose user stream each opens
        self.listen_keys: dict[str, str] = {}

    async def market(self, request: web.Request) -> web.StreamResponse:
        """``/ws/NAME`` and ``/stream``: streams by SUBSCRIBE, by path or by ``?streams=``."""
        listener = _listener(request)
        name = request.match_info.get("name", "")
        listener.user = name in self.listen_keys
        listener.account = self.listen_keys.get(name, "")
        listener.combined = "streams" in request.query
        wanted = request.query.get("streams", name if "@" in name else "")
        listener.streams = {s for s in wanted.split("/") if s and known_stream(self._venue, s)}
        return await self._serve(request, listener, self._market_message)

    async def api(self, request: web.Request) -> web.StreamResponse:
        """``/ws-api/v3``: requests by message, and the user stream by signature."""
        listener = _listener(request)
        return await self._serve(request, listener, self._api_message)

    async def _serve(
        self, request: web.Request, listener: Listener, answer: Callable[[Listener, str], Json]
    ) -> web.StreamResponse:
        await listener.socket.prepare(request)
        self._hub.join(listener)
        writer = asyncio.create_task(listener.write())
        try:
            async for message in listener.socket:
                if message.type is WSMsgType.TEXT:
                    reply = answer(listener, message.data)
                    self._hub.send(listener, json.dumps(reply))
        finally:
            self._hub.leave(listener)
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer
        return listener.socket

    def _market_message(self, listener: Listener, text: str) -> Json:
        request = _parsed(text)
        method, request_id = request.get("method"), request.get("id")
        params = request.get("params")
        streams = [str(s) for s in params] if isinstance(params, list) else []
        unknown = [s for s in streams if not known_stream(self._venue, s)]
        if unknown:
            return {"id": request_id, "error": {"code": 2, "msg": f"invalid stream {unknown[0]}"}}
        if method == "SUBSCRIBE":
            listener.streams.update(streams)
        elif method == "UNSUBSCRIBE":
            listener.streams.difference_update(streams)
        elif method == "LIST_SUBSCRIPTIONS":
            return {"id": request_id, "result": [*sorted(listener.streams)]}
        else:
            return {"id": request_id, "error": {"code": 2, "msg": f"unknown method {method}"}}
        return {"id": request_id, "result": None}

    def _api_message(self, listener: Listener, text: str) -> Json:
        request = _parsed(text)
        request_id, method = request.get("id"), str(request.get("method", ""))
        given = request.get("params")
        params = {k: _text(v) for k, v in given.items()} if isinstance(given, dict) else {}
        try:
            result = self._call(listener, method, params)
        except VenueError as error:
            problem: Json = {"code": error.code, "msg": error.message}
            return {"id": request_id, "status": error.status, "error": problem}
        return {"id": request_id, "status": 200, "result": result, "rateLimits": []}

    def _call(self, listener: Listener, method: str, params: dict[str, str]) -> Json:
        if method == "userDataStream.subscribe.signature":
            self._check_signed(params)
            listener.user, listener.account = True, self._seen_by(params).account
            listener.subscription = next(self._subscriptions)
            return {"subscriptionId": listener.subscription}
        if method == "userDataStream.unsubscribe":
            listener.user = False
            return {}
        route = _WS_ROUTES.get(method)
        if route is None:
            raise VenueError(-1000, f"Unknown method {method}.")
        if route.signed:
            self._check_signed(params)
        venue = self._seen_by(params) if route.signed else self._venue
        result = route.handler(venue, params)
        if isinstance(result, Acted):
            self._hub.reported(result.reports, venue)
            if result.refusal is not None:
                raise result.refusal
            return result.answer
        return result

    def _seen_by(self, params: Mapping[str, str]) -> Venue:
        return self._venue.seen_by(params.get("apiKey", ""))

    def _check_signed(self, params: Mapping[str, str]) -> None:
        signed = {k: v for k, v in sorted(params.items()) if k != "signature"}
        payload = "&".join(f"{name}={value}" for name, value in signed.items())
        self._venue.check_signed(params.get("apiKey", ""), payload, params.get("signature", ""))
        self._venue.check_timestamp(params)


def _listener(request: web.Request) -> Listener:
    return Listener(web.WebSocketResponse(heartbeat=_HEARTBEAT_S), request.transport)


def _parsed(text: str) -> dict[str, Json]:
    try:
        request = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return request if isinstance(request, dict) else {}


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
