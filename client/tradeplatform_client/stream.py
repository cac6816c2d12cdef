"""``/ws/stream/``: a snapshot, then numbered frames; after a cut it goes on where it was."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from tradeplatform_client.errors import ClientError, Unreachable

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
LARGEST_FRAME_BYTES = 2**24
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
# what no new try mends
_FINAL = {
    4401: "the token was not accepted",
    4403: "the token may not read",
    4408: "too many sockets of this token are open",
    1007: "the message was not understood",
}


class StreamRefused(ClientError):
    """The socket was closed for a reason that asking again does not change."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason or _FINAL.get(code, '')}")
        self.code = code


class ConnectionCut(Exception):
    """The connection ended; ``code`` is the close code, 1006 where there was none."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Connection(Protocol):
    """A socket: both raise ConnectionCut when it has ended."""

    def send(self, text: str) -> None: ...
    def receive(self) -> str: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Frame:
    """``topic`` is ``snapshot`` or the one it belongs to; ``at_ms`` when it was published."""

    seq: int
    topic: str
    at_ms: int
    data: dict[str, Any]


class Stream:
    """Frames of one installation, for ever, each once and in order.

    The first is a snapshot of the overview, unless ``since`` and ``epoch`` (of an earlier
    ``Stream``) say where to go on. After a cut it connects again and asks for what it missed;
    where the platform does not have that any more, a new snapshot comes instead. ``seq`` and
    ``epoch`` always say where it is. No topics means all of them.

    Raises, while iterating:
        StreamRefused: token, scope, number of sockets or a topic were not accepted.
        Unreachable: nobody answered ``patience`` times in a row.
    """

    def __init__(
        self,
        address: str,
        token: str,
        *,
        topics: Sequence[str] = (),
        since: int | None = None,
        epoch: str | None = None,
        patience: int = 10,
        connect: Callable[[], Connection] | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.seq = since
        self.epoch = epoch
        self._topics = tuple(topics)
        self._patience = patience
        self._connect = connect or (lambda: _WebSocket(address, token))
        self._pause = pause
        self._connection: Connection | None = None
        self._is_closed = False

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it; whoever iterates stops. Safe from another thread."""
        self._is_closed = True
        if self._connection is not None:
            self._connection.close()

    def __iter__(self) -> Iterator[Frame]:
        failures = 0
        while not self._is_closed:
            try:
                self._connection = self._connect()
                for frame in self._frames(self._connection):
                    failures = 0
                    yield frame
            except ConnectionCut as cut:
                if self._is_closed:
                    return
                if cut.code in _FINAL:
                    raise StreamRefused(cut.code, cut.reason) from None
                failures += 1
                if failures > self._patience:
                    raise Unreachable(f"the stream could not be followed: {cut}") from cut
            finally:
                if self._connection is not None:
                    self._connection.close()
            self._pause(min(FIRST_PAUSE_S * 2 ** max(failures - 1, 0), LONGEST_PAUSE_S))

    def _frames(self, connection: Connection) -> Iterator[Frame]:
        if self.seq is None:
            if self._topics:
                connection.send(json.dumps({"subscribe": self._topics}))
        else:
            yield from self._missed(connection, self.seq)
        while True:
            raw = json.loads(connection.receive())
            if "pong" not in raw and self._is_next(raw):
                yield self._taken(raw)

    def _missed(self, connection: Connection, since: int) -> Iterator[Frame]:
        """Yield what came after ``since``.

        A socket begins with a snapshot of now, and frames of now may stand before the missed
        ones. The ping comes back behind all of them, so what arrives until then is put in order.
        A second snapshot means that the log no longer reaches back: it replaces what was missed.
        """
        asked: dict[str, Any] = {"since": since}
        if self._topics:
            asked["subscribe"] = self._topics
        # empty before anything was ever published: then the number alone says where it was
        if self.epoch:
            asked["epoch"] = self.epoch
        connection.send(json.dumps(asked))
        connection.send(json.dumps({"ping": "resumed"}))
        frames: dict[int, Any] = {}
        snapshots: list[Any] = []
        while "pong" not in (raw := json.loads(connection.receive())):
            if raw["topic"] == "snapshot":
                snapshots.append(raw)
            else:
                frames[raw["seq"]] = raw
        if len(snapshots) > 1:
            yield self._taken(snapshots[-1])
        for _, raw in sorted(frames.items()):
            if self._is_next(raw):
                yield self._taken(raw)

    def _is_next(self, raw: dict[str, Any]) -> bool:
        """A snapshot always counts: the platform sends one when numbering starts anew."""
        if raw["topic"] == "snapshot":
            return True
        is_wanted = not self._topics or raw["topic"] in self._topics
        return is_wanted and (self.seq is None or raw["seq"] > self.seq)

    def _taken(self, raw: dict[str, Any]) -> Frame:
        self.seq = int(raw["seq"])
        if "epoch" in raw:
            self.epoch = raw["epoch"]
        return Frame(self.seq, raw["topic"], int(raw["at"]), raw["data"])


class _WebSocket:
    """A Connection by the package ``websockets``."""

    def __init__(self, address: str, token: str) -> None:
        # imported here: whoever does not stream needs no package besides Python
        from websockets.exceptions import ConnectionClosed, InvalidHandshake
        from websockets.sync.client import connect

        self._closed = ConnectionClosed
        parts = urlsplit(address)
        url = f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}/ws/stream/"
        # what runs on this machine is asked without the proxy that the environment names
        proxy: Literal[True] | None = None if parts.hostname in LOOPBACK else True
        headers = {"Authorization": f"Bearer {token}"}
        try:
            self._opened = connect(
                url, additional_headers=headers, max_size=LARGEST_FRAME_BYTES, proxy=proxy
            )
            self._socket = self._opened.__enter__()
        except (OSError, InvalidHandshake) as error:
            raise ConnectionCut(1006, str(error)) from error

    def send(self, text: str) -> None:
        try:
            self._socket.send(text)
        except self._closed as error:
            raise _cut(error) from error

    def receive(self) -> str:
        try:
            # a quiet market sends nothing for long; pings of the library notice a dead connection
            return str(self._socket.recv())
        except self._closed as error:
            raise _cut(error) from error

    def close(self) -> None:
        self._opened.__exit__(None, None, None)


def _cut(error: Any) -> ConnectionCut:
    return ConnectionCut(error.rcvd.code, error.rcvd.reason) if error.rcvd else ConnectionCut(1006)
