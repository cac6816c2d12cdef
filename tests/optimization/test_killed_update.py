"""SIGKILL in the middle of an update: all of its weights, or none of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def step(database: Path, name: str, failpoints: str = "") -> tuple[int, dict[str, Any]]:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings_test",
        "DATABASE_URL": f"sqlite:///{database}",
        "TRADEPLATFORM_FAILPOINTS": failpoints,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.optimization.update_process", name],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-2000:]
    return done.returncode, json.loads(done.stdout) if done.returncode == 0 else {}


def test_update_killed_half_way_leaves_no_weight_and_the_next_period_takes_it_up(
    tmp_path: Path,
) -> None:
    """F-078, I-12: two weights were due; the process died between them and the health edges."""
    database = tmp_path / "db.sqlite3"
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "-v", "0"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": f"sqlite:///{database}"},
        check=True,
    )
    code, _ = step(database, "begin", "opt.mid_update=kill9")
    assert code == -signal.SIGKILL, "the update never came by its failpoint"
    _, after = step(database, "again")
    assert after["outcome"] == "not due"
    assert after["weights"] == {"ema-trend": 1.0, "fair-value-gap": 1.0}
    assert (after["history"], after["periods"]) == (0, ["FAILED"])
    _, caught_up = step(database, "later")
    assert (caught_up["outcome"], caught_up["periods"]) == ("done", ["FAILED", "DONE"])
    assert 1.0 < caught_up["weights"]["ema-trend"] <= 1.15
    assert 0.85 <= caught_up["weights"]["fair-value-gap"] < 1.0
