"""Insights: left, read, expired in venue time, and never about oneself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.insights import MAX_INSIGHTS, InsightBoard, trust_factors
from engine.types.learned import Insight

NOTE = Insight(
    source="range-reversion",
    kind="BREAKOUT_FAILED",
    value=1.0,
    text="did not hold",
    at_ms=1_000,
    expires_ms=5_000,
    symbol="BTC/USDT",
    about="breakout",
    trust=0.5,
)


def board(*insights: Insight) -> InsightBoard:
    made = InsightBoard()
    made.leave(insights, 1_000)
    return made


def test_an_insight_holds_for_its_symbol_and_regime_until_it_expires() -> None:
    """ORC-82: TTL in venue time."""
    held = board(NOTE, replace(NOTE, kind="OTHER", symbol="", regime="QUIET"))
    assert [i.kind for i in held.current("BTC/USDT", "TRENDING", 4_999)] == ["BREAKOUT_FAILED"]
    assert [i.kind for i in held.current("ETH/USDT", "QUIET", 4_999)] == ["OTHER"]
    assert held.current("BTC/USDT", "QUIET", 5_000) == ()


def test_a_newer_one_replaces_and_expired_ones_are_forgotten() -> None:
    held = board(NOTE, replace(NOTE, kind="OLD", expires_ms=2_000))
    held.leave([replace(NOTE, value=-1.0, at_ms=3_000, expires_ms=9_000)], 3_000)
    assert len(held) == 1
    assert [i.value for i in held.current("BTC/USDT", "", 8_000)] == [-1.0]


def test_what_is_held_is_bounded() -> None:
    """ORC-20"""
    held = board(*(replace(NOTE, kind=f"K{i}") for i in range(MAX_INSIGHTS + 50)))
    assert len(held) == MAX_INSIGHTS
    assert held.current("BTC/USDT", "", 2_000)[0].kind == "K50"


def test_nobody_reports_on_itself() -> None:
    """ORC-82: an echo of one's own confidence is no insight."""
    held = InsightBoard()
    with pytest.raises(ValueError, match="somebody else"):
        held.leave([NOTE, replace(NOTE, source="breakout")], 1_000)
    assert len(held) == 0


def test_an_insight_about_a_source_lowers_trust_in_it_alone() -> None:
    """ORC-82"""
    names = ("breakout", "ema-trend", "range-reversion")
    factors = trust_factors([NOTE, replace(NOTE, kind="B")], names, np.array([0.7, 0.7, 0.3]))
    assert factors.tolist() == [0.25, 1.0, 1.0]


def test_a_direction_is_held_against_those_who_lean_the_other_way_but_its_own_source() -> None:
    """ORC-82: consensus on opinions, not on confidences: only the lean's side counts."""
    upward = replace(NOTE, source="microstructure", about="", direction=1, trust=0.8)
    names = ("a", "b", "c", "microstructure")
    factors = trust_factors([upward], names, np.array([0.4, 0.5, 0.9, 0.1]))
    assert factors.tolist() == [0.8, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "change", [{"trust": 0.0}, {"trust": 1.5}, {"direction": 2}, {"expires_ms": 1_000}]
)
def test_numbers_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        board(replace(NOTE, **change))


def test_insights_survive_a_restart_and_strangers_are_refused() -> None:
    """I-26"""
    held, restored = board(NOTE), InsightBoard()
    restored.restore(json.loads(json.dumps(held.state())))
    assert restored.current("BTC/USDT", "", 2_000) == (NOTE,)
    for bad in ("x", [1], [{"source": "a"}]):
        with pytest.raises(ValueError, match="must"):
            restored.restore(bad)  # type: ignore[arg-type]
    assert len(restored) == 1
