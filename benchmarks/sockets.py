"""Many sockets on one web process: ``python -m benchmarks.sockets``.

Frames are published as trading publishes them; how long each took to each socket is measured with
one clock, publisher and clients in processes of their own. Then the same with clients that shake
hands and never read: what they cost the others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.figures import ROOT, BenchmarkFailed, Figure, Options, percentile
from benchmarks.web_server import Served, served
from monitoring.hub import SOCKETS_PER_CALLER
from monitoring.publish import StreamPublisher

TEXT = "x" * 300
N_MUTE = 20
# a socket that says nothing for so long after the last frame will say nothing more
LAST_S = 30.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One phase. Milliseconds from publishing to the client's hands; processor time and memory
    are the web process's."""

    sockets: int
    mute_sockets: int
    frames_a_second: float
    delivered: int
    expected: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_share: float
    rss_mb: float


def publish(redis_url: str, *, rate: float, seconds: float) -> None:
    """Publish at an even pace; each frame carries when it was handed over."""
    publisher, began = StreamPublisher(redis_url), time.monotonic()
    for number in range(round(rate * seconds)):
        time.sleep(max(began + number / rate - time.monotonic(), 0.0))
        publisher.publish("bars", {"sent_ns": time.monotonic_ns(), "text": TEXT})
    if publisher.failures:
        raise BenchmarkFailed(f"{publisher.failures} frames could not be published")


async def deliver(
    running: Served, ends: Sequence[ClientConnection], *, rate: float, seconds: float, mute: int
) -> Delivery:
    """Publish for ``seconds`` and wait until every socket has every frame."""
    server = psutil.Process(running.platform.pid)
    expected = round(rate * seconds)
    cpu, began = sum(server.cpu_times()[:2]), time.monotonic()
    publisher = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.sockets", "--publish", running.platform.redis_url),
        *("--rate", str(rate), "--seconds", str(seconds)),
        cwd=ROOT,
    )
    took = await asyncio.gather(*(_receive(end, expected) for end in ends))
    if await publisher.wait():
        raise BenchmarkFailed("the publisher ended with an error")
    elapsed = time.monotonic() - began
    every = [one for some in took for one in some]
    if not every:
        raise BenchmarkFailed("no frame arrived")
    return Delivery(
        sockets=len(ends),
        mute_sockets=mute,
        frames_a_second=rate,
        delivered=len(every),
        expected=expected * len(ends),
        p50_ms=round(percentile(every, 0.5), 1),
        p99_ms=round(percentile(every, 0.99), 1),
        max_ms=round(max(every), 1),
        cpu_share=round((sum(server.cpu_times()[:2]) - cpu) / elapsed, 3),
        rss_mb=round(server.memory_info().rss / 1e6, 1),
    )


async def _receive(end: ClientConnection, n_frames: int) -> list[float]:
    took: list[float] = []
    with suppress(TimeoutError):
        while len(took) < n_frames:
            text = await asyncio.wait_for(end.recv(), LAST_S)
            now = time.monotonic_ns()
            frame = orjson.loads(text)
            if frame["topic"] == "bars":
                took.append((now - frame["data"]["sent_ns"]) / 1e6)
    return took


async def phases(
    running: Served, *, sockets: int, rates: Sequence[float], seconds: float
) -> dict[str, Any]:
    """Measure each rate, then the first again beside clients that never read."""
    server = psutil.Process(running.platform.pid)
    before = server.memory_info().rss
    url = running.platform.address.replace("http", "ws", 1) + "/ws/stream/"
    tokens = list(running.tokens.values())
    async with AsyncExitStack() as open_ones:
        ends = []
        for number in range(sockets):
            headers = {"Authorization": f"Bearer {tokens[number // SOCKETS_PER_CALLER]}"}
            opened = connect(
                url, additional_headers=headers, proxy=None, compression=None, open_timeout=120
            )
            ends.append(await open_ones.enter_async_context(opened))
            # the snapshot: it is joined from here on
            await ends[-1].recv()
        held_mb = (server.memory_info().rss - before) / 1e6
        found = [await deliver(running, ends, rate=rate, seconds=seconds, mute=0) for rate in rates]
        mutes = [_mute(running.platform.address, tokens[-1]) for _ in range(N_MUTE)]
        await asyncio.sleep(2.0)
        found.append(await deliver(running, ends, rate=rates[0], seconds=seconds, mute=len(mutes)))
        for one in mutes:
            one.close()
    return {
        "phases": [asdict(one) for one in found],
        "kb_a_socket": round(held_mb * 1000 / sockets, 1),
    }


def _mute(address: str, token: str) -> socket.socket:
    """A client that shakes hands and never reads, with a small buffer of its own."""
    host, _, port = address.removeprefix("http://").partition(":")
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
    end.connect((host, int(port)))
    end.sendall(
        (
            f"GET /ws/stream/ HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {token}\r\n\r\n"
        ).encode()
    )
    return end


def run(folder: Path, *, sockets: int, rates: Sequence[float], seconds: float) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    # one more for the clients that never read
    callers = -(-sockets // SOCKETS_PER_CALLER) + 1
    with served(folder, {f"caller-{i}": "read" for i in range(callers)}) as running:
        return asyncio.run(phases(running, sockets=sockets, rates=rates, seconds=seconds))


def sockets(options: Options) -> Sequence[Figure]:
    n, seconds = (50, 5.0) if options.quick else (500, 20.0)
    found = run(options.folder / "sockets", sockets=n, rates=(1_000 / n,), seconds=seconds)
    alone, beside = found["phases"]
    lost = sum(one["expected"] - one["delivered"] for one in found["phases"])
    words = "p50 {p50_ms} ms, processor {cpu_share} of a core, {rss_mb} MB"
    return [
        Figure(
            name=f"{n} sockets, 1,000 messages a second, p99",
            value=alone["p99_ms"],
            unit="ms",
            target=50.0,
            detail=words.format(**alone),
        ),
        Figure(
            name=f"the same beside {N_MUTE} clients that never read",
            value=beside["p99_ms"],
            unit="ms",
            target=50.0,
            detail=words.format(**beside),
        ),
        Figure(name="frames that did not arrive", value=lost, unit="frames", target=0),
    ]


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sockets", description=__doc__)
    parser.add_argument("--sockets", type=int, default=500)
    parser.add_argument("--rates", type=float, nargs="+", default=[2.0, 10.0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--publish", metavar="REDIS_URL", help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, default=2.0, help=argparse.SUPPRESS)
    asked = parser.parse_args(argv)
    if asked.publish:
        publish(asked.publish, rate=asked.rate, seconds=asked.seconds)
        return 0
    load = psutil.getloadavg()[0] / (psutil.cpu_count() or 1)
    with tempfile.TemporaryDirectory(prefix="tp-sockets-") as folder:
        found = run(Path(folder), sockets=asked.sockets, rates=asked.rates, seconds=asked.seconds)
    print(json.dumps(found | {"load_per_core_before": round(load, 1)}))
    lost = any(one["delivered"] < one["expected"] for one in found["phases"])
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
