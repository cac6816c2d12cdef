"""Other engines beside ours: a ratio counts only where they traded the same thing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import peers
from benchmarks.figures import BenchmarkFailed, Options
from tests.bar_factory import random_walk

OURS = {"bars_per_s": 1_000.0, "peak_rss_mb": 300.0, "trades": 5}


def by_hand(close: list[float]) -> int:
    fast = slow = close[0]
    was, held, closed = False, False, 0
    for row, price in enumerate(close):
        fast += (price - fast) * 2.0 / 13.0
        slow += (price - slow) * 2.0 / 27.0
        above, fills = fast > slow, row < len(close) - 1
        if above and not was:
            held = True
        elif was and not above and held:
            held = False
            closed += fills
        was = above
    return closed


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_peers_must_find_is_every_round_trip_that_could_be_filled(seed: int) -> None:
    bars = random_walk(seed, 2_000, sigma=0.002)
    expected = by_hand(bars.close.tolist())
    assert expected > 10
    assert peers.round_trips(bars) == expected


def measured(monkeypatch: pytest.MonkeyPatch, folder: Path, **extra: int) -> dict[str, Any]:
    """Run with peers that find ``extra`` trades by name; return figures by name."""

    def answer(environment: Path, name: str, candles: Path) -> dict[str, Any] | str:
        return {**OURS, "bars_per_s": 4_000.0, "trades": expected + extra[name]}

    expected = 3
    monkeypatch.setattr(peers, "round_trips", lambda bars: expected)
    monkeypatch.setattr(peers, "replay", lambda path, *arguments: OURS)
    monkeypatch.setattr(peers, "_homes", lambda given: dict.fromkeys(extra, (given[0], "1.0")))
    monkeypatch.setattr(peers, "_peer", answer)
    monkeypatch.setattr(peers, "_columns", lambda path: {**OURS, "trades": expected})
    monkeypatch.setattr(peers, "QUICK_BARS", 600)
    figures = peers.peers(Options(quick=True, folder=folder, peers=(folder,)))
    return {figure.name: figure for figure in figures}


def test_a_peer_is_told_by_its_ratio_and_one_that_is_not_there_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = measured(monkeypatch, tmp_path, vectorbt=1)
    assert told["peers, vectorbt 1.0, 600 bars"].detail.startswith("4.00 times our full pipeline")
    absent = told["peers not measured"]
    assert (absent.value, "jesse (in no environment)" in absent.detail) == (5, True)


def test_a_peer_that_traded_something_else_is_no_measure_and_the_others_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = measured(monkeypatch, tmp_path, freqtrade=2, backtrader=3)
    assert "peers, freqtrade 1.0, 600 bars" in told
    assert "peers, backtrader 1.0, 600 bars" not in told
    assert "backtrader (closed 6 trades, expected 3)" in told["peers not measured"].detail


def environment(folder: Path, versions: dict[str, str]) -> Path:
    """Make an environment whose Python answers that it has these engines."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\necho '{json.dumps(versions)}'\n")
    python.chmod(0o755)
    return folder


def test_each_engine_is_run_by_the_first_environment_that_has_it(tmp_path: Path) -> None:
    first = environment(tmp_path / "one", {"jesse": "3.5"})
    second = environment(tmp_path / "two", {"jesse": "1.0", "vectorbt": "1.2"})
    assert peers._homes([first, second]) == {"vectorbt": (second, "1.2"), "jesse": (first, "3.5")}


def test_a_folder_that_is_no_environment_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match=r"--peers was .*nowhere: No such file"):
        peers._homes([tmp_path / "nowhere"])
    with pytest.raises(BenchmarkFailed, match=r"allowed: --peers FOLDER"):
        peers.peers(Options(quick=True, folder=tmp_path))
