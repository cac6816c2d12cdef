"""Condition changes: each type reproduced, noise not told (ORC-84)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from engine.conditions import CLEAR_SENTIMENT, Feelings, clear_sentiment, condition_changes
from engine.phases.market_analysis import analyse_market, changes_since, describe
from engine.types.bars import BarColumns, ColumnStore, TradeFlow
from engine.types.opinions import (
    ConditionChange,
    ConditionKind,
    Level,
    MarketView,
    Missing,
    Regime,
)
from tests.bar_factory import cut, from_close, labelled_regimes, random_walk, real_bars
from tests.engine.phases.scene import context, market, pipeline, snapshot

LATE_MS = 1_700_000_000_000


def between(previous: MarketView | Missing, current: MarketView | Missing, **given: Any) -> Any:
    options: dict[str, Any] = {"felt": None, "at_ms": LATE_MS, "missing_bars": 0} | given
    return condition_changes(previous, current, **options)


def test_nothing_new_is_no_change() -> None:
    assert between(market(), market()) == ()


def test_regime_change_names_both_and_how_sure_it_is() -> None:
    before = market(regime=Regime.RANGING)
    after = market(regime=Regime.VOLATILE, regime_probabilities=(0.05, 0.15, 0.75, 0.05))
    (change,) = between(before, after)
    assert change == ConditionChange(
        ConditionKind.REGIME_CHANGE, pytest.approx(0.6), "RANGING", "VOLATILE", LATE_MS
    )


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("volatility", ConditionKind.VOLATILITY_SHIFT),
        ("liquidity", ConditionKind.LIQUIDITY_SHIFT),
        ("risk", ConditionKind.RISK_SHIFT),
    ],
)
def test_levels_shift_by_their_steps(field: str, kind: ConditionKind) -> None:
    low, medium, extreme = (
        market(**{field: level}) for level in (Level.LOW, Level.MEDIUM, Level.EXTREME)
    )
    (up,) = between(medium, extreme)
    assert (up.kind, up.was, up.now) == (kind, "medium", "extreme")
    (small,) = between(medium, low)
    assert up.magnitude == pytest.approx(2 * small.magnitude) == pytest.approx(2 / 3)


def test_sentiment_flips_between_clear_sides_only() -> None:
    up, down, weak = (market(sentiment=value) for value in (0.5, -0.3, -0.1))
    (flip,) = between(up, down, felt=0.5)
    assert (flip.kind, flip.magnitude) == (ConditionKind.SENTIMENT_FLIP, pytest.approx(0.4))
    assert (flip.was, flip.now) == ("+0.50", "-0.30")
    assert between(up, weak, felt=0.5) == ()
    assert between(up, market(sentiment=Missing("no trade flow")), felt=0.5) == ()
    assert between(up, market(sentiment=0.9), felt=0.5) == ()
    assert clear_sentiment(market(sentiment=CLEAR_SENTIMENT)) == CLEAR_SENTIMENT


def test_a_weak_spell_does_not_hide_the_flip_that_follows_it() -> None:
    feelings = Feelings()
    for value in (0.6, 0.1, -0.1):
        feelings.note("A", market(sentiment=value))
    assert feelings.last("A") == 0.6
    (flip,) = between(market(), market(sentiment=-0.4), felt=feelings.last("A"))
    assert flip.kind is ConditionKind.SENTIMENT_FLIP
    again = Feelings()
    again.restore(feelings.state())
    assert again.last("A") == 0.6 and again.last("B") is None
    again.restore(None)
    assert again.last("A") is None


def test_gap_counts_the_bars_that_never_came() -> None:
    (gap,) = between(market(), market(), missing_bars=3)
    assert (gap.kind, gap.magnitude, gap.now) == (ConditionKind.GAP, 0.05, "3 bars missing")
    (long,) = between(Missing("not warm"), Missing("not warm"), missing_bars=9_999)
    assert long.magnitude == 1.0


def test_becoming_known_is_no_change() -> None:
    assert between(Missing("not warm"), market()) == between(market(), Missing("failed")) == ()


# -- from bars -------------------------------------------------------------------------------------


def walked(bars: BarColumns, first: int) -> list[ConditionChange]:
    """Every change from row ``first`` on, as bars come."""
    store, found = ColumnStore(bars), []
    for row in range(first, len(bars)):
        at = snapshot(row, bars=bars, store=store)
        found += changes_since(at, analyse_market(at), None)
    return found


def test_every_type_that_bars_can_tell_happens_on_a_labelled_market() -> None:
    """ORC-84: each type from realistic input; sentiment needs flow and has its own test."""
    bars, _ = labelled_regimes(7, cycles=3)
    keep = np.r_[0:3_000, 3_007 : len(bars)]
    parts = {name: getattr(bars, name)[keep] for name in ("ts_ms", "open", "high", "low", "close")}
    thinner = np.where(np.arange(len(keep)) % 1_500 < 300, 0.1, 1.0) * bars.volume[keep]
    counts = Counter(
        c.kind for c in walked(BarColumns(**parts, volume=thinner, timeframe_ms=60_000), 2_000)
    )
    assert counts[ConditionKind.GAP] == 1
    for kind in ConditionKind:
        if kind is not ConditionKind.SENTIMENT_FLIP:
            assert counts[kind] >= 1, kind
    assert counts[ConditionKind.REGIME_CHANGE] < 40


def test_two_symbols_flip_from_what_each_of_them_felt_and_a_restart_remembers() -> None:
    """ORC-84, D-18: through the pipeline, applied between events."""
    phases, store = pipeline(), ColumnStore(random_walk(11, 700))
    for row, flow in ((640, TradeFlow(9.0, 1.0, 5)), (641, TradeFlow(5.0, 5.0, 5))):
        now = snapshot(row, store=store, flow=flow)
        analysis = phases.analyse(now)
        assert ConditionKind.SENTIMENT_FLIP not in {c.kind for c in analysis.conditions}
        phases.apply_learning(phases.after(now, analysis, []))
    later = pipeline()
    later.restore(phases.state())
    for session in (phases, later):
        now = snapshot(642, store=store, flow=TradeFlow(1.0, 9.0, 5))
        analysis = session.analyse(now)
        (flip,) = (c for c in analysis.conditions if c.kind is ConditionKind.SENTIMENT_FLIP)
        assert (flip.was, flip.now, flip.at_ms) == ("+0.80", "-0.80", now.event.ts_ms)
        told = analysis.records[0].output["changes"]
        assert isinstance(told, list) and len(told) == len(analysis.conditions)
    assert context().pending == ()


def test_noise_at_an_edge_makes_no_flood() -> None:
    """F-080: a market that stays what it is changes its condition less than once in 20 bars."""
    rng = np.random.default_rng(5)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.001, 6_000)))
    found = walked(from_close(close, wick=0.02, volume=rng.lognormal(0.0, 0.5, 6_000)), 2_000)
    regimes = [c for c in found if c.kind is ConditionKind.REGIME_CHANGE]
    assert len(regimes) < 4_000 / 50
    assert len(found) < 4_000 / 10


def test_changes_on_real_bars_come_no_faster_than_their_hysteresis() -> None:
    """ORC-84, on a real file."""
    bars = real_bars("binance_spot_BTCUSDT_1m_2021-09.parquet", 60_000, 6_000)
    found = walked(bars, 2_000)
    at = [c.at_ms for c in found if c.kind is ConditionKind.REGIME_CHANGE]
    assert len(at) > 5
    assert np.diff(at).min() >= 8 * 60_000
    assert len(found) < 4_000 / 8


def test_the_same_bars_tell_the_same_changes_whatever_was_asked_before() -> None:
    """ORC-84: a pure function of two views; a session built anew misses none."""
    bars = cut(random_walk(9, 1_200), 0, 1_200)
    assert walked(bars, 800) == walked(bars, 600)[-len(walked(bars, 800)) :]


def test_what_is_recorded_has_type_size_and_both_sides() -> None:
    """ORC-73"""
    change = ConditionChange(ConditionKind.RISK_SHIFT, 1 / 3, "low", "medium", LATE_MS)
    assert describe(market(), (change,))["changes"] == [
        {
            "type": "risk_shift",
            "magnitude": 1 / 3,
            "from": "low",
            "to": "medium",
            "at_ms": LATE_MS,
        }
    ]
