"""``/ws/stream/``: a snapshot first, then deltas. Reads only; no message changes any state."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from typing import Any

import orjson
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from monitoring.callers import CallerWithoutRole, Credentials, UnknownCaller, caller_name
from monitoring.hub import SOCKETS_PER_CALLER, Hub, Subscriber
from monitoring.publish import TOPICS

CLOSE_LOGIN_NEEDED = 4401
CLOSE_NO_ROLE = 4403
CLOSE_TOO_MANY_SOCKETS = 4408
CLOSE_TOO_FAST = 4429
CLOSE_TOO_SLOW = 1013
CLOSE_TOO_BIG = 1009
CLOSE_BAD_MESSAGE = 1007

MAX_INBOUND_BYTES = 8 * 1024
MAX_INBOUND_A_SECOND = 10
CALLER_CHECK_S = 60.0


class BadMessage(ValueError):
    """A message that is not ``{"subscribe": [...], "since": seq, "epoch": text}`` or a ping."""


class StreamConsumer(AsyncWebsocketConsumer):
    """One socket of one user or token.

    The connection is accepted before an anonymous one is closed with 4401: a browser can read
    a close code only from an open socket, and the page needs it to send the person to the login.
    """

    hub: Hub
    # no channel layer: the hub is the only reader of Redis in this process
    channel_layer_alias = "none"
    caller_check_s = CALLER_CHECK_S

    def __init__(self, *args: Any, hub: Hub, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.hub = hub
        self.subscriber: Subscriber | None = None
        self.tasks: list[asyncio.Task[None]] = []
        self.inbound_at: deque[float] = deque(maxlen=MAX_INBOUND_A_SECOND)

    async def connect(self) -> None:
        await self.accept()
        credentials = Credentials.of(self.scope)
        try:
            caller = await database_sync_to_async(caller_name)(credentials)
        except UnknownCaller:
            await self.close(code=CLOSE_LOGIN_NEEDED)
            return
        except CallerWithoutRole:
            await self.close(code=CLOSE_NO_ROLE)
            return
        if self.hub.n_sockets_of(caller) >= SOCKETS_PER_CALLER:
            await self.close(code=CLOSE_TOO_MANY_SOCKETS)
            return
        self.subscriber = Subscriber(caller)
        self.hub.add(self.subscriber)
        await self.hub.ensure_started()
        await self.hub.join_with_snapshot(self.subscriber)
        self.tasks = [
            asyncio.create_task(self._send_frames(self.subscriber)),
            asyncio.create_task(self._drop_when_slow(self.subscriber)),
            asyncio.create_task(self._check_caller(self.subscriber, credentials)),
        ]

    async def disconnect(self, code: int) -> None:
        self._stop_sending()

    async def _end(self, code: int, reason: str = "") -> None:
        """Close from our side: nothing may be sent after the close frame."""
        self._stop_sending()
        await self.close(code=code, reason=reason or None)

    def _stop_sending(self) -> None:
        if self.subscriber is not None:
            self.hub.remove(self.subscriber)
            self.subscriber = None
        for task in self.tasks:
            if task is not asyncio.current_task():
                task.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.subscriber is None:
            return
        raw = bytes_data if text_data is None else text_data.encode()
        if raw is None or len(raw) > MAX_INBOUND_BYTES:
            await self._end(CLOSE_TOO_BIG)
            return
        if self._is_too_fast():
            await self._end(CLOSE_TOO_FAST)
            return
        try:
            await self._obey(self.subscriber, orjson.loads(raw))
        except ValueError as error:
            await self._end(CLOSE_BAD_MESSAGE, str(error)[:120])

    def _is_too_fast(self) -> bool:
        now = time.monotonic()
        is_full = len(self.inbound_at) == MAX_INBOUND_A_SECOND
        is_fast = is_full and now - self.inbound_at[0] < 1.0
        self.inbound_at.append(now)
        return is_fast

    async def _obey(self, subscriber: Subscriber, message: Any) -> None:
        if not isinstance(message, dict):
            raise BadMessage("message was not an object")
        if "ping" in message:
            subscriber.offer(orjson.dumps({"pong": message["ping"], "seq": self.hub.seq}).decode())
            return
        topics = _topics(message.get("subscribe", sorted(subscriber.topics)))
        since, epoch = message.get("since"), message.get("epoch")
        if since is not None and (not isinstance(since, int) or isinstance(since, bool)):
            raise BadMessage(f"since was {since!r}, a whole number is needed")
        if epoch is not None and not isinstance(epoch, str):
            raise BadMessage("epoch was not text")
        subscriber.topics = topics
        if since is not None:
            await self.hub.join_since(subscriber, since, epoch)

    async def _send_frames(self, subscriber: Subscriber) -> None:
        while True:
            await self.send(text_data=await subscriber.frames.get())

    async def _drop_when_slow(self, subscriber: Subscriber) -> None:
        """A dropped socket may be stuck inside a send; ending cancels that one first."""
        await subscriber.dropped.wait()
        await self._end(CLOSE_TOO_SLOW)

    async def _check_caller(self, subscriber: Subscriber, credentials: Credentials) -> None:
        """Logout, a new password, a lost role, a revoked token or a deactivated account end the
        socket within a minute (F-105), and at once where it was done in this process. So does a
        session's age or idleness: a socket does not outlive it."""
        while True:
            # nobody told us anything for a minute: look anyway
            with suppress(TimeoutError):
                await asyncio.wait_for(subscriber.recheck.wait(), self.caller_check_s)
            subscriber.recheck.clear()
            try:
                await database_sync_to_async(caller_name)(credentials)
            except (UnknownCaller, CallerWithoutRole):
                await self._end(CLOSE_LOGIN_NEEDED)
                return


def _topics(value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise BadMessage("subscribe was not a list of topics")
    if unknown := sorted(set(value) - set(TOPICS)):
        raise BadMessage(f"topic was {unknown[0]!r}, allowed: {', '.join(TOPICS)}")
    return frozenset(value)
