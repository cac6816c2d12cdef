"""The platform with a layer that is installed and cannot be imported: everything else goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from monitoring import layer as layers
from tests.tradeplatform.test_absent_layer import ROOT
from tradeplatform.management.commands.ensure_run import layer_line

# as after an update that left half of the room behind; its models stay, its learning does not
BROKEN = """
import sys

class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "optimization.core.update":
            raise ImportError("cannot import name 'next_state'", name=name)

sys.meta_path.insert(0, Broken())
"""
BOOT = """
import json
import django
django.setup()
from importlib import import_module
from django.core.management import call_command
from django.urls import Resolver404, resolve
from monitoring.layer import layer
from tradeplatform.celery import app
call_command("check")
for name in ("urls", "asgi", "running", "run_setup", "tasks", "shutdown"):
    import_module("tradeplatform." + name)
app.loader.import_default_modules()

unknown = resolve("/api/v1/no/such").func

def is_there(path):
    try:
        return resolve(path).func is not unknown
    except Resolver404:
        return False

paths = ("/", "/api/v1/health", "/optimization/", "/api/v1/optimization/status")
told = {
    "paths": [path for path in paths if is_there(path)],
    "status": layer().status(),
    "tasks": sorted({name.partition(".")[0] for name in app.tasks}),
}
print(json.dumps(told))
"""


def test_a_layer_that_cannot_be_imported_leaves_a_platform_that_boots_and_serves(
    tmp_path: Path,
) -> None:
    """F-077: checks, pages, API and tasks of all rooms but its own; its status says why."""
    done = subprocess.run(
        [sys.executable, "-c", BROKEN + BOOT],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tradeplatform.settings",
            "TRADEPLATFORM_ENV": "test",
            "TRADEPLATFORM_VAR": str(tmp_path / "var"),
            "LOG_LEVEL": "ERROR",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["paths"] == ["/", "/api/v1/health"]
    assert told["status"] == {
        "enabled": False,
        "status": "unavailable",
        "reason": "ImportError: cannot import name 'next_state'",
    }
    assert {"trades", "strategies", "tradeplatform"} <= set(told["tasks"])
    assert "optimization" not in told["tasks"]


class Told:
    def __init__(self) -> None:
        self.incidents: list[tuple[str, str]] = []

    def incident(self, where: str, error: BaseException) -> None:
        self.incidents.append((where, str(error)))


def test_each_session_without_its_layer_is_an_incident_and_trades_at_base_weights(
    settings: Any,
) -> None:
    """F-077: the policy of the layer off, and somebody hears of it."""
    settings.OPTIMIZATION_WIRING = "optimization.no_such_module"
    broken, reporter, announcer = layers.layer(), Told(), SimpleNamespace()
    policy = broken.live_policy(
        base_weights={"ema-trend": 0.7},
        favourable={},
        run=None,  # type: ignore[arg-type]
        fail_safe=None,  # type: ignore[arg-type]
    )
    assert policy.weights("TREND_UP")["ema-trend"] == 0.7  # type: ignore[arg-type]
    assert broken.live_announcer(announcer, reporter) is announcer  # type: ignore[arg-type]
    ((where, said),) = reporter.incidents
    assert where == "optimization layer"
    assert "no_such_module" in said


@pytest.mark.parametrize("is_wanted", [True, False])
def test_the_start_says_why_there_is_no_layer_only_where_one_was_wanted(
    settings: Any, is_wanted: bool
) -> None:
    """F-077, OPT-06."""
    settings.OPTIMIZATION_WIRING = "optimization.no_such_module"
    assert ("no_such_module" in layer_line(layers.layer(), is_wanted)) is is_wanted
