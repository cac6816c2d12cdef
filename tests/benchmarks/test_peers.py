"""Other engines beside ours: a ratio counts only where they traded the same thing."""

from __future__ import annotations

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


def measured(monkeypatch: pytest.MonkeyPatch, folder: Path, **extra: int) -> list[Any]:
    """Run with a peer that finds ``extra`` trades by name; one not named is not there."""

    def answer(environment: Path, name: str, candles: Path) -> dict[str, Any] | str:
        if name not in extra:
            return f"No module named {name!r}"
        return {**OURS, "version": "1.0", "bars_per_s": 4_000.0, "trades": expected + extra[name]}

    expected = 3
    monkeypatch.setattr(peers, "round_trips", lambda bars: expected)
    monkeypatch.setattr(peers, "replay", lambda path, *arguments: OURS)
    monkeypatch.setattr(peers, "_peer", answer)
    monkeypatch.setattr(peers, "_columns", lambda path: {**OURS, "trades": expected})
    monkeypatch.setattr(peers, "QUICK_BARS", 600)
    return list(peers.peers(Options(quick=True, folder=folder, peers=folder)))


def test_a_peer_is_told_by_its_ratio_and_one_that_is_not_there_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    figures = measured(monkeypatch, tmp_path, vectorbt=1)
    told = {figure.name: figure for figure in figures}
    assert told["peers, vectorbt 1.0, 600 bars"].detail.startswith("4.00 times our full pipeline")
    absent = told["peers not measured"]
    assert (absent.value, "No module named 'backtrader'" in absent.detail) == (5, True)


def test_a_peer_that_traded_something_else_is_no_measure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(BenchmarkFailed, match="backtrader closed 6 trades, expected 3"):
        measured(monkeypatch, tmp_path, backtrader=3)
    with pytest.raises(BenchmarkFailed, match="allowed: --peers FOLDER"):
        peers.peers(Options(quick=True, folder=tmp_path))
