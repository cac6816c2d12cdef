"""The socket over a real network stack: what one bad client costs the others."""

from __future__ import annotations

import asyncio
import http.cookiejar
import socket
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import orjson
import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from monitoring.hub import SOCKETS_PER_CALLER
from monitoring.publish import StreamPublisher
from tests.monitoring.factories import PASSWORD
from tests.monitoring.server import Platform, running_platform
from tradeplatform_client import Client

pytestmark = pytest.mark.slow
# more than the socket's queue and the kernel's buffers hold together
N_FRAMES = 7_000
FRAME_BYTES = 4_000


@pytest.fixture(scope="module")
def platform(redis_process) -> Iterator[Platform]:
    with (
        tempfile.TemporaryDirectory(prefix="tp") as folder,
        running_platform(Path(folder), redis_process) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def cookie(platform) -> str:
    _, jar = logged_in(platform)
    return "; ".join(f"{c.name}={c.value}" for c in jar)


def logged_in(platform: Platform, username: str = "vera"):
    """Log in as a person would; returns what keeps the cookies, and them."""
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    opener.open(f"{platform.address}/login/").read()
    token = next(c.value for c in jar if c.name == "csrftoken")
    form = {"username": username, "password": PASSWORD, "csrfmiddlewaretoken": token}
    opener.open(f"{platform.address}/login/", urllib.parse.urlencode(form).encode()).read()
    return opener, jar


def token_of(platform: Platform) -> str:
    """Make a token as an administrator would."""
    opener, jar = logged_in(platform, "ada")
    headers = {
        "Content-Type": "application/json",
        "X-CSRFToken": next(c.value for c in jar if c.name == "csrftoken"),
    }
    body = orjson.dumps({"name": "script", "scope": "read"})
    asked = urllib.request.Request(f"{platform.address}/api/v1/tokens/", body, headers)
    return str(orjson.loads(opener.open(asked).read())["token"])


def client(platform: Platform, cookie: str = "", origin: str = "", **options):
    headers = {"Cookie": cookie} if cookie else {}
    return connect(
        platform.address.replace("http", "ws", 1) + "/ws/stream/",
        origin=origin or platform.address,
        additional_headers=headers,
        proxy=None,
        **options,
    )


def mute_client(platform: Platform, cookie: str) -> socket.socket:
    """A client that shakes hands and then never reads; a library would go on reading for it,
    and so would the kernel but for the small buffer."""
    host = platform.address.removeprefix("http://")
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
    end.settimeout(20)
    end.connect(("127.0.0.1", int(host.rsplit(":", 1)[1])))
    end.sendall(
        (
            f"GET /ws/stream/ HTTP/1.1\r\nHost: {host}\r\nOrigin: {platform.address}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: {cookie}\r\n\r\n"
        ).encode()
    )
    return end


def read_to_the_end(end: socket.socket) -> tuple[int, bytes]:
    """Return how many bytes came until the server closed, and the last of them."""
    n_bytes, last = 0, b""
    while chunk := end.recv(65_536):
        n_bytes, last = n_bytes + len(chunk), (last + chunk)[-4:]
    return n_bytes, last


async def test_a_foreign_page_gets_403_at_the_handshake(platform, cookie):
    """SEC-14"""
    with pytest.raises(InvalidStatus) as refused:
        await client(platform, cookie, origin="http://evil.test")
    assert refused.value.response.status_code == 403


async def test_a_stranger_reads_4401_from_the_close_frame(platform):
    """SEC-15: the code reaches a real client, so the page can show the login."""
    async with client(platform) as stranger:
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(stranger.recv(), 5)
    assert closed.value.rcvd.code == 4401


async def closing_code(end) -> int:
    """Read to the close frame and return its code."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            await asyncio.wait_for(end.recv(), 15)
    return int(closed.value.rcvd.code)


async def test_a_message_of_more_than_eight_kibibytes_closes_its_socket(platform, cookie):
    """SEC-16: whatever comes before our own look at it, no larger message is taken in."""
    async with client(platform, cookie) as end:
        await end.recv()
        await end.send("x" * (8 * 1024 + 1))
        assert await closing_code(end) == 1009


async def test_a_flood_closes_its_socket_and_the_servers_memory_stays(platform, cookie):
    """SEC-16: ten messages a second; a thousand sockets' worth of them leaves nothing behind."""
    server = psutil.Process(platform.pid)
    before = server.memory_info().rss
    for _ in range(20):
        async with client(platform, cookie) as end:
            with suppress(ConnectionClosed):
                for i in range(200):
                    await end.send(f'{{"ping": {i}, "pad": "{"x" * 8000}"}}')
            assert await closing_code(end) == 4429
    grown = server.memory_info().rss - before
    assert grown < 32 * 1024 * 1024, f"memory grew by {grown / 1e6:.0f} MB"


async def test_the_twenty_first_socket_of_a_person_is_refused(platform, cookie):
    """SEC-16"""
    async with AsyncExitStack() as open_ones:
        for _ in range(SOCKETS_PER_CALLER):
            end = await open_ones.enter_async_context(client(platform, cookie))
            await end.recv()
        async with client(platform, cookie) as one_more:
            assert await closing_code(one_more) == 4408


async def test_logging_out_closes_the_open_socket_at_once(platform):
    """SEC-17, SEC-18: not at the next check of the minute."""
    opener, jar = logged_in(platform)
    own = "; ".join(f"{c.name}={c.value}" for c in jar)
    async with client(platform, own) as end:
        await end.recv()
        token = next(c.value for c in jar if c.name == "csrftoken")
        form = urllib.parse.urlencode({"csrfmiddlewaretoken": token}).encode()
        began = time.monotonic()
        await asyncio.to_thread(opener.open, f"{platform.address}/logout/", form)
        assert await closing_code(end) == 4401
        assert time.monotonic() - began < 20


async def test_a_client_that_never_reads_is_dropped_and_costs_the_others_nothing(platform, cookie):
    """F-099: bounded buffers; the reader gets every frame in order, memory stays."""
    publisher = StreamPublisher(platform.redis_url)
    text = "x" * FRAME_BYTES
    server = psutil.Process(platform.pid)
    async with client(platform, cookie, max_queue=None) as fast:
        slow = mute_client(platform, cookie)
        assert orjson.loads(await fast.recv())["topic"] == "snapshot"
        before = server.memory_info().rss
        numbers: list[int] = []

        async def read_all() -> None:
            while len(numbers) < N_FRAMES:
                numbers.append(orjson.loads(await fast.recv())["seq"])

        def publish_all() -> None:
            for i in range(N_FRAMES):
                publisher.publish("bars", {"i": i, "text": text})
                if i % 100 == 99:
                    time.sleep(0.06)

        reader = asyncio.create_task(read_all())
        await asyncio.to_thread(publish_all)
        await asyncio.wait_for(reader, 60)
        grown = server.memory_info().rss - before
        assert publisher.failures == 0
        assert numbers == list(range(numbers[0], numbers[0] + N_FRAMES))
        assert grown < 96 * 1024 * 1024, f"memory grew by {grown / 1e6:.0f} MB"
        n_bytes, last = await asyncio.to_thread(read_to_the_end, slow)
        assert n_bytes < N_FRAMES * FRAME_BYTES / 2
        assert last == b"\x88\x02" + (1013).to_bytes(2, "big"), "closed as too slow"
        slow.close()


def test_the_python_client_misses_nothing_when_its_connection_is_cut(platform):
    """D-35: each frame once and in order, also those that came while it was away."""
    publisher = StreamPublisher(platform.redis_url)

    def publish(*numbers: int) -> None:
        for number in numbers:
            publisher.publish("equity", {"not": "asked for"})
            publisher.publish("trades", {"n": number})

    with Client(platform.address, token_of(platform)).stream("trades") as stream:
        frames = iter(stream)
        assert next(frames).topic == "snapshot"
        publish(1, 2)
        seen = [next(frames).data["n"] for _ in range(2)]
        stream._connection.close()
        publish(3, 4)
        seen += [next(frames).data["n"] for _ in range(2)]
        publish(5)
        seen.append(next(frames).data["n"])
    assert seen == [1, 2, 3, 4, 5]
    assert publisher.failures == 0
