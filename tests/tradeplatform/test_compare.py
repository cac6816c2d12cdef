"""The command that replays the same candles without and with the layer (OPT-83, OPT-88, OPT-90)."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from market.sources.synthetic_path import synthetic_bars
from research.core.comparison import METRICS

N_BARS = 4_000


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bars = synthetic_bars(
        5, "BTC/USDT", 1_700_000_000_000 // 3_600_000 * 3_600_000, 3_600_000, N_BARS
    )
    path = tmp_path_factory.mktemp("bars") / "binance_spot_BTCUSDT_1h_walk.csv"
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    rows = zip(bars.ts_ms.tolist(), *(c.tolist() for c in columns), strict=True)
    lines = ["timestamp,open,high,low,close,volume"]
    path.write_text("\n".join(lines + [",".join(map(repr, row)) for row in rows]))
    return path


def asked(command: str, *words: str) -> dict[str, Any]:
    out = StringIO()
    call_command(command, *words, "--json", stdout=out)
    document: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return document


@pytest.fixture(scope="module")
def document(candles: Path) -> dict[str, Any]:
    return asked("compare", "--data", str(candles), "--predictors", "none")


def test_both_results_the_differences_and_a_verdict_for_each_are_printed(
    document: dict[str, Any],
) -> None:
    """OPT-83, OPT-88, OPT-96: with intervals, and what was kept out by reason."""
    names = [name for name, _, _ in METRICS]
    assert list(document["comparison"]["differences"]) == names
    assert list(document["verdict"]) == names
    allowed = {"better", "worse", "not enough evidence"}
    assert set(document["verdict"].values()) <= allowed
    for side in ("off", "on"):
        differences = document["comparison"]["differences"]
        for name in ("expectancy_r", "win_rate_fraction", "profit_factor"):
            assert differences[name][side] == pytest.approx(document[side][name], rel=1e-9)
        assert differences["return_fraction"][side] == pytest.approx(
            document[side]["return_fraction"], abs=1e-6
        )
    assert document["off"]["layer"] is None and document["on"]["layer"]["assessed"] > 0


def test_without_the_layer_the_run_is_the_replay_that_never_had_one(
    document: dict[str, Any], candles: Path
) -> None:
    """OPT-01"""
    alone = asked("replay", "--data", str(candles), "--predictors", "none")
    assert document["off"]["digest"] == alone["digest"]


def test_the_layer_breaks_no_cap_and_no_limit(document: dict[str, Any]) -> None:
    """OPT-90"""
    for side in ("off", "on"):
        assert document[side]["cap_breaches"] == 0
        assert document[side]["exposure_max_fraction"] <= 0.60 + 1e-9


def test_what_the_filter_kept_out_is_part_of_what_it_filtered(document: dict[str, Any]) -> None:
    """OPT-83: only signals that the run without the layer ordered count as saved or missed."""
    kept_out = document["comparison"]["filtering"]["LOW_QUALITY"]
    assert 0 < kept_out["traded"] <= kept_out["signals"]
    assert kept_out["signals"] <= document["on"]["layer"]["filtered"]["LOW_QUALITY"]
    assert kept_out["net_quote"] == pytest.approx(
        kept_out["saved_quote"] - kept_out["missed_quote"]
    )


def test_the_same_seed_prints_the_same_document(document: dict[str, Any], candles: Path) -> None:
    again = asked("compare", "--data", str(candles), "--predictors", "none")
    assert again["comparison"] == document["comparison"]


def test_a_file_that_is_not_there_is_one_line() -> None:
    with pytest.raises(CommandError, match=r"nowhere\.csv") as refused:
        call_command("compare", "--data", "nowhere.csv")
    assert refused.value.returncode == 2
    assert "\n" not in str(refused.value)
