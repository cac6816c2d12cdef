"""The platform without the layer's room: three lines of settings away, and everything trades."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from market.sources.synthetic_path import synthetic_bars

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ROOT / "tradeplatform" / "settings.py"
LAYER_LINES = re.compile(r"^.*(INSTALLED_APPS\.append\(\"optimization\"\)|OPTIMIZATION_WIRING|"
                         r"optimization\.tasks\.update_due).*\n", re.M)  # fmt: skip
# what cannot be imported is as good as deleted, and deleting a folder of the tree under test is not
BARRED = """
import sys

class Barred:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "optimization":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Barred())
"""
BOOT = """
import json
import django
django.setup()
from django.core.management import call_command
from django.test import Client
from django.test.utils import setup_test_environment
setup_test_environment()
call_command("check")
call_command("migrate", verbosity=0)
from importlib import import_module
for name in ("urls", "asgi", "running", "run_setup", "tasks", "celery", "shutdown"):
    import_module("tradeplatform." + name)
from monitoring.selectors import overview
from django.contrib.auth.models import User
User.objects.create_superuser("ada", password="correct horse battery")
client = Client()
client.force_login(User.objects.get())
page = client.get("/")
told = {
    "page": page.status_code,
    "mentions": b"/optimization/" in page.content,
    "layer_page": client.get("/optimization/").status_code,
    "layer_api": client.get("/api/v1/optimization/status").status_code,
    "health": client.get("/api/v1/health").status_code,
    "status": import_module("monitoring.layer").layer().status(),
}
print(json.dumps(told))
"""
REPLAY = """
import sys
import django
django.setup()
from django.core.management import call_command
call_command("replay", data=[sys.argv[1]], json=True, layer=sys.argv[2])
"""


def settings_without_the_layer(folder: Path) -> None:
    """Write a copy of the settings without the three lines, as a module of its own."""
    text, removed = LAYER_LINES.subn("", SETTINGS.read_text())
    assert removed == 3
    assert "optimization.tasks.update_due" not in text
    # a manifest would need collectstatic first
    plain = """
STORAGES["staticfiles"] = {
    "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
}
"""
    (folder / "settings_without.py").write_text(text + plain)


def run(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings_without_the_layer(folder)
    (folder / "var").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-c", BARRED + program, *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{folder}",
            "DJANGO_SETTINGS_MODULE": "settings_without",
            "TRADEPLATFORM_ENV": "test",
            "TRADEPLATFORM_VAR": str(folder / "var"),
            "LOG_LEVEL": "ERROR",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )


def write_bars(folder: Path) -> Path:
    bars = synthetic_bars(5, "BTC/USDT", 1_700_000_040_000, 60_000, 1_200)
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    rows = zip(bars.ts_ms.tolist(), *(c.tolist() for c in columns), strict=True)
    path = folder / "binance_spot_BTCUSDT_1m_x.csv"
    lines = ["timestamp,open,high,low,close,volume", *(",".join(map(repr, r)) for r in rows)]
    path.write_text("\n".join(lines))
    return path


def test_without_its_three_lines_and_its_room_the_platform_boots_and_serves(
    tmp_path: Path,
) -> None:
    """OPT-47, OPT-46, OPT-07: checks, migrations, every module, pages and API; no link to the
    layer anywhere, its addresses are unknown, its status says that it is off."""
    done = run(tmp_path, BOOT)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == {
        "page": 200,
        "mentions": False,
        "layer_page": 404,
        "layer_api": 404,
        "health": 200,
        "status": {"enabled": False, "status": "disabled"},
    }


def test_without_its_room_a_replay_gives_the_digest_of_the_layer_off(tmp_path: Path) -> None:
    """OPT-01, OPT-43: the same decisions and fills, byte for byte; asked for, it is one line."""
    bars = write_bars(tmp_path)
    done = run(tmp_path, REPLAY, str(bars), "off")
    assert done.returncode == 0, done.stderr[-2000:]
    without = json.loads(done.stdout.splitlines()[-1])
    beside = subprocess.run(
        [sys.executable, "manage.py", "replay", "--data", str(bars), "--json"],
        cwd=ROOT,
        env={**os.environ, "TRADEPLATFORM_VAR": str(tmp_path / "var")},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    installed = json.loads(beside.stdout.splitlines()[-1])
    assert without["orders"] > 0
    assert (without["digest"], without["final_equity"]) == (
        installed["digest"],
        installed["final_equity"],
    )
    asked = run(tmp_path, REPLAY, str(bars), "on")
    assert asked.returncode != 0
    assert "no adaptive layer is installed" in asked.stderr.splitlines()[-1]
