"""The command ``regimes`` as a script calls it (ORC-89)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

ROOT = Path(__file__).resolve().parents[2]
REGIMES = ["TRENDING", "RANGING", "VOLATILE", "QUIET"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "regimes", *arguments],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_evaluate_prints_one_object_on_the_last_line() -> None:
    """ORC-89"""
    done = run("evaluate", "--seed", "7", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["seeds"] == [7]
    assert 0.8 < found["accuracy"] < 1.0
    assert list(found["confusion_matrix"]) == REGIMES
    for row in found["confusion_matrix"].values():
        assert sum(row.values()) == pytest.approx(1.0)
    assert {case["timeframe"] for case in found["cases"]} == {"1m", "5m", "1h"}
    assert all(
        case["shortest_label_bars"] >= found["minimum_dwell_bars"] for case in found["cases"]
    )


@pytest.mark.parametrize("seed", ["-1", "x", "1.5", ""])
def test_a_seed_that_is_none_is_one_clear_line(seed: str) -> None:
    with pytest.raises(CommandError, match=r"--seed was .*, allowed: a whole number") as caught:
        call_command("regimes", "evaluate", f"--seed={seed}")
    assert caught.value.returncode == 2


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    done = run("dwell", "--data", str(tmp_path / "none.parquet"), "--json")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "none.parquet" in done.stderr


def test_dwell_tells_each_file(market_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """ORC-07"""
    file = market_data / "ohlcv" / "binance_spot_BTCUSDT_1m_2021-09.parquet"
    call_command("regimes", "dwell", "--data", str(file), "--json")
    (row,) = json.loads(capsys.readouterr().out)["files"]
    assert row["shortest_bars"] >= 8
    assert list(row["shares"]) == REGIMES
