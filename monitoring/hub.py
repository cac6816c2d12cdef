"""One reader a web process: follows the stream and fans encoded frames out to its sockets.

Sockets never read Redis themselves: five hundred of them cost one read. Everything here runs on
one event loop, so registering a socket and replaying what it missed happen without a gap.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from monitoring.publish import STREAM_LENGTH, TOPICS, StreamKeys

logger = logging.getLogger(__name__)

# Longer than the log, so that a full replay fits; frames are shared, a place costs a pointer.
QUEUE_LENGTH = STREAM_LENGTH + 500
SOCKETS_PER_CALLER = 20
SNAPSHOT_FRESH_S = 1.0
_READ_COUNT = 500
_BLOCK_MS = 2000
_RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Frame:
    seq: int
    topic: str
    text: str


@dataclass(slots=True, eq=False)
class Subscriber:
    """One socket's place in the fan-out. ``dropped`` is set when it could not keep up."""

    caller: str
    topics: frozenset[str] = frozenset(TOPICS)
    frames: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(QUEUE_LENGTH))
    dropped: asyncio.Event = field(default_factory=asyncio.Event)
    recheck: asyncio.Event = field(default_factory=asyncio.Event)
    is_joined: bool = False

    def offer(self, text: str) -> None:
        """Queue a frame; a full queue drops the socket, nobody waits for it (F-099)."""
        try:
            self.frames.put_nowait(text)
        except asyncio.QueueFull:
            self.dropped.set()


class Hub:
    """Follows one stream for as long as the event loop lives."""

    def __init__(
        self,
        url: str,
        snapshot: Callable[[], Awaitable[dict[str, Any]]],
        *,
        keys: StreamKeys | None = None,
    ) -> None:
        self._url = url
        self._keys = keys or StreamKeys.of()
        self._read_snapshot = snapshot
        self._ring: deque[Frame] = deque(maxlen=STREAM_LENGTH)
        self._subscribers: set[Subscriber] = set()
        self._snapshot_lock = asyncio.Lock()
        self._snapshot: tuple[float, int, str] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._caught_up = asyncio.Event()
        self.epoch = ""
        self.seq = 0

    @property
    def n_sockets(self) -> int:
        return len(self._subscribers)

    def n_sockets_of(self, caller: str) -> int:
        return sum(1 for s in self._subscribers if s.caller == caller)

    def recheck_soon(self) -> None:
        """Let every socket ask again whether its caller may still read; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._recheck)

    def _recheck(self) -> None:
        for subscriber in self._subscribers:
            subscriber.recheck.set()

    async def ensure_started(self) -> None:
        """Start the reader once; wait for its first look at the log, but never for a dead Redis."""
        self._loop = asyncio.get_running_loop()
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._follow(), name="stream-hub")
        try:
            await asyncio.wait_for(self._caught_up.wait(), timeout=2.0)
        except TimeoutError:
            logger.warning("stream unreachable, socket starts from the database alone")

    async def stop(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
            self._reader = None

    def add(self, subscriber: Subscriber) -> None:
        self._subscribers.add(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        self._subscribers.discard(subscriber)

    async def join_with_snapshot(self, subscriber: Subscriber) -> None:
        """Send the state of the database, then every frame since the moment it was read.

        The number is taken before the read: a frame may repeat what the snapshot already holds
        (clients apply by id), but none can be missing.
        """
        subscriber.is_joined = False
        seq, text = await self._fresh_snapshot()
        subscriber.offer(text)
        self._replay(subscriber, seq)

    async def join_since(self, subscriber: Subscriber, since: int, epoch: str | None) -> None:
        """Continue after ``since``; where that is no longer in the log, send a snapshot."""
        oldest = self._ring[0].seq if self._ring else self.seq + 1
        is_known = oldest - 1 <= since <= self.seq
        if not is_known or (epoch is not None and epoch != self.epoch):
            await self.join_with_snapshot(subscriber)
            return
        self._replay(subscriber, since)

    def _replay(self, subscriber: Subscriber, since: int) -> None:
        """Queue what came after ``since`` and go live, without giving up the loop in between."""
        for frame in self._ring:
            if frame.seq > since and frame.topic in subscriber.topics:
                subscriber.offer(frame.text)
        subscriber.is_joined = True

    async def _fresh_snapshot(self) -> tuple[int, str]:
        """Return (seq, frame); a storm of reconnects shares one read a second (F-101)."""
        async with self._snapshot_lock:
            now = time.monotonic()
            if self._snapshot is not None and now - self._snapshot[0] < SNAPSHOT_FRESH_S:
                return self._snapshot[1], self._snapshot[2]
            seq, epoch = self.seq, self.epoch
            data = await self._read_snapshot()
            frame = {
                "seq": seq,
                "topic": "snapshot",
                "at": time.time_ns() // 1_000_000,
                "epoch": epoch,
                "data": data,
            }
            text = orjson.dumps(frame, default=str).decode()
            self._snapshot = (time.monotonic(), seq, text)
            return seq, text

    async def _follow(self) -> None:
        failures = 0
        while True:
            client = redis.asyncio.Redis.from_url(
                self._url, socket_timeout=30, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)
            )
            try:
                await self._catch_up(client)
                failures = 0
                while True:
                    await self._read_once(client)
            except (redis.RedisError, OSError) as error:
                pause_s = _RETRY_S[min(failures, len(_RETRY_S) - 1)]
                failures += 1
                logger.warning("stream lost error=%s retry_s=%.1f", type(error).__name__, pause_s)
                await asyncio.sleep(pause_s)
            finally:
                await client.aclose()

    async def _catch_up(self, client: redis.asyncio.Redis) -> None:
        """After a (re)connect: the same numbering continues, or everyone gets a snapshot."""
        epoch = _text(await client.get(self._keys.epoch))
        if epoch != self.epoch:
            is_first = not self._caught_up.is_set()
            self._ring.clear()
            self.epoch, self._snapshot = epoch, None
            if epoch:
                for entry in await client.xrange(self._keys.log):
                    self._ring.append(_frame(entry))
            if self._ring:
                self.seq = self._ring[-1].seq
            if not is_first:
                await self._resynchronise()
        self._caught_up.set()

    async def _resynchronise(self) -> None:
        for subscriber in list(self._subscribers):
            if subscriber.is_joined:
                await self.join_with_snapshot(subscriber)

    async def _read_once(self, client: redis.asyncio.Redis) -> None:
        """Wait for new entries. The blocking read is the poke: there is none that can be lost."""
        answer = await client.xread(
            {self._keys.log: f"{self.seq}-0"}, count=_READ_COUNT, block=_BLOCK_MS
        )
        if not answer:
            await self._check_epoch(client)
            return
        entries = answer[0][1] if isinstance(answer, list) else next(iter(answer.values()))[0]
        frames = [_frame(entry) for entry in entries]
        if not self.epoch:
            self.epoch = _text(await client.get(self._keys.epoch))
        elif frames[0].seq != self.seq + 1:
            await self._mend_gap(client, frames[0].seq)
        for frame in frames:
            if frame.seq > self.seq:
                self._fan_out(frame)

    async def _mend_gap(self, client: redis.asyncio.Redis, next_seq: int) -> None:
        """Entries are missing: the log was emptied, or trimmed faster than we read."""
        if await self._check_epoch(client):
            return
        logger.warning("stream trimmed before it was read from=%d to=%d", self.seq, next_seq)
        self._ring.clear()
        self.seq, self._snapshot = next_seq - 1, None
        await self._resynchronise()

    async def _check_epoch(self, client: redis.asyncio.Redis) -> bool:
        if _text(await client.get(self._keys.epoch)) == self.epoch:
            return False
        await self._catch_up(client)
        return True

    def _fan_out(self, frame: Frame) -> None:
        self.seq = frame.seq
        self._ring.append(frame)
        for subscriber in self._subscribers:
            if subscriber.is_joined and frame.topic in subscriber.topics:
                subscriber.offer(frame.text)


def _frame(entry: tuple[bytes, dict[bytes, bytes]]) -> Frame:
    entry_id, fields = entry
    seq = int(entry_id.split(b"-")[0])
    return Frame(seq, fields[b"topic"].decode(), f'{{"seq":{seq},' + fields[b"tail"].decode())


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode()
