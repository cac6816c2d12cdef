"""The command ``predictors evaluate``: names of its answer, planted and shuffled, bad input."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from market.sources.synthetic_path import synthetic_bars
from strategies.core.registry import CONTROLS, PREDICTORS

FIGURES = {"n", "log_loss", "brier", "accuracy", "auc", "ece", "information_coefficient"}


def bar_file(folder: Path, seed: int, symbol: str) -> Path:
    bars = synthetic_bars(seed, symbol, 1_700_000_040_000, 60_000, 2_600)
    path = folder / f"binance_spot_{symbol.replace('/', '')}_1m_x.csv"
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    rows = zip(bars.ts_ms.tolist(), *(c.tolist() for c in columns), strict=True)
    lines = ["timestamp,open,high,low,close,volume", *(",".join(map(repr, r)) for r in rows)]
    path.write_text("\n".join(lines))
    return path


def run(*words: str) -> str:
    out = StringIO()
    call_command("predictors", "evaluate", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def answer(*words: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run(*words, "--json").splitlines()[-1])
    return document


def test_every_source_has_every_figure_by_file_and_together(tmp_path: Path) -> None:
    """ORC-83: the names scripts rely on."""
    paths = [str(bar_file(tmp_path, n, s)) for n, s in ((5, "BTC/USDT"), (6, "ETH/USDT"))]
    found = answer("--data", *paths, "--predictors", "online-linear,forest", "--horizon", "6")
    assert [file["symbol"] for file in found["files"]] == ["BTC/USDT", "ETH/USDT"]
    assert found["n"] == sum(file["n"] for file in found["files"])
    for sources in (found["sources"], *(file["sources"] for file in found["files"])):
        assert {"online-linear", "forest", "ensemble", *CONTROLS} <= set(sources)
        assert not set(sources) & (set(PREDICTORS) - {"online-linear", "forest"})
        for source in sources.values():
            assert set(source) >= FIGURES | {"intervals", "verdict", "sentence"}
            assert set(source["intervals"]) == FIGURES - {"n"}
    assert found["sources"]["base-rate"]["log_loss_difference"] == 0.0
    assert (found["horizon_bars"], found["shuffled"], found["planted"]) == (6, False, None)
    assert found["peak_rss_mb"] > 0.0 < found["elapsed_s"]


def test_planted_signal_is_found() -> None:
    """D-55"""
    words = ("--planted", "0.9", "--rows", "5000", "--horizon", "4", "--predictors", "forest")
    found = answer(*words)["sources"]
    assert found["forest"]["verdict"] == found["ensemble"]["verdict"] == "beats"
    assert found["forest"]["p_better"] < 0.025
    assert found["forest"]["even_chances_difference_interval"][1] < 0.0


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_shuffled_it_is_not(seed: str) -> None:
    """D-55: whichever way the bars fall."""
    words = ("--planted", "0.9", "--rows", "3000", "--horizon", "4", "--predictors", "forest")
    lost = answer(*words, "--shuffle", "--seed", seed)
    assert lost["shuffled"] is True
    for source in lost["sources"].values():
        assert source["verdict"] != "beats"


def test_people_read_a_table_and_a_sentence_a_source() -> None:
    text = run(
        "--planted", "0.9", "--rows", "3000", "--horizon", "4", "--predictors", "online-linear"
    )
    assert "planted 0.9, " in text
    assert "online-linear beats the base rate (log loss difference -0." in text
    assert "base-rate is the base rate" in text


def test_rows_and_dates_narrow_what_is_measured(tmp_path: Path) -> None:
    path = str(bar_file(tmp_path, 7, "BTC/USDT"))
    few = ("--predictors", "online-linear", "--horizon", "6")
    whole = answer("--data", path, *few)["files"][0]
    last = answer("--data", path, *few, "--rows", "2000")["files"][0]
    until = answer("--data", path, *few, "--to", "2023-11-16T10:00")["files"][0]
    assert (whole["bars"], last["bars"]) == (2_600, 2_000)
    assert last["last_ts_ms"] == whole["last_ts_ms"]
    assert until["last_ts_ms"] < whole["last_ts_ms"]
    assert until["last_ts_ms"] <= 1_700_128_800_000


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--data", "nowhere.parquet"), "nowhere.parquet: no such file, allowed: a parquet, csv"),
        (("--planted", "2"), r"--planted was 2, allowed: a number in 0..1"),
        (("--planted", "nan"), r"--planted was nan, allowed: a number in 0..1"),
        (("--planted", "x"), "--planted was 'x', allowed: a number"),
        (
            ("--planted", "1", "--horizon", "0"),
            "--horizon was 0, allowed: a whole number in 1..500",
        ),
        (("--planted", "1", "--horizon", "2.5"), "--horizon was '2.5', allowed: a whole number"),
        (("--planted", "1", "--retrain", "5"), "--retrain was 5, allowed: a whole number in 100"),
        (("--planted", "1", "--window", "5"), "--window was 5, allowed: a whole number in 500"),
        (("--planted", "1", "--seed", "-1"), "--seed was -1, allowed: a whole number in 0.."),
        (("--planted", "1", "--rows", "0"), "--rows was 0, allowed: a whole number in 1.."),
        (("--planted", "1", "--rows", "600"), "labelled rows were .*, needed are at least"),
        (("--planted", "1", "--predictors", "oracle"), "--predictors was 'oracle', allowed: onl"),
        (("--planted", "1", "--predictors", " , "), "--predictors was ' , ', allowed: online"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(words: tuple[str, ...], line: str) -> None:
    with pytest.raises(CommandError, match=line) as caught:
        run(*words)
    assert caught.value.returncode == 2
    assert "\n" not in str(caught.value)


def test_impossible_moment_is_one_line(tmp_path: Path) -> None:
    path = str(bar_file(tmp_path, 8, "BTC/USDT"))
    with pytest.raises(CommandError, match="--from was 'soon', allowed: an ISO date") as caught:
        run("--data", path, "--from", "soon")
    assert caught.value.returncode == 2
