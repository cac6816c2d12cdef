"""Phase 5: do the opinions agree, and who is out of line?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.phases.cross_validation import NO_OPINION, cross_validate, outliers, sentence
from engine.types.opinions import Opinion, Side, Validation
from tests.engine.phases.scene import CONFIG, Rule, pipeline, proven, snapshot

leaning = st.floats(0.0, 1.0).filter(lambda p: abs(p - 0.5) >= CONFIG.opinion_margin)
probabilities = st.lists(leaning, min_size=1, max_size=9)


def validated(*values: float, performance: float = 0.5) -> Validation:
    """All selected, all equally good; who is kept is told twice and must agree."""
    n = len(values)
    opinions = [Opinion(f"s{i}", value) for i, value in enumerate(values)]
    found = cross_validate(
        opinions, np.array(values), np.arange(n), np.full(n, performance), CONFIG
    )
    kept = [opinion for opinion, keep in zip(opinions, found.kept, strict=True) if keep]
    assert found.validation.kept == tuple(kept)
    return found.validation


def far_off(values: list[float]) -> set[float]:
    everybody = np.ones(len(values), dtype=np.bool_)
    return set(np.array(values)[outliers(np.array(values), everybody, 0.05, 3.0)].tolist())


def test_the_odd_one_of_three_is_excluded() -> None:
    """ORC-11: an ordinary z-score of three values cannot exceed 1.15 and would keep it."""
    validation = validated(0.62, 0.60, 0.10)
    assert validation.outliers == ("s2",)
    assert [opinion.source for opinion in validation.kept] == ["s0", "s1"]
    assert "2 kept, 1 outliers" in sentence(validation)


def test_opinions_that_merely_differ_are_kept() -> None:
    """ORC-11: three spread evenly hold no outlier, two never do."""
    assert validated(0.45, 0.55, 0.65).outliers == ()
    assert validated(0.05, 0.95).outliers == ()


def test_an_excluded_outlier_visibly_changes_the_decision() -> None:
    """ORC-11: the ensemble enters without it and would not with it."""
    rules = [Rule("a", 0.62), Rule("b", 0.60), Rule("wild", 0.02)]

    def ensemble_enters(outlier_limit: float) -> bool:
        phases = pipeline(
            rules,
            config=replace(CONFIG, outlier_limit=outlier_limit),
            scoreboard=proven("a", "b", "wild"),
        )
        at = snapshot()
        proposals = phases.proposals(at, phases.analyse(at), {})
        return [(p.strategy, p.side) for p in proposals] == [("ensemble", Side.BUY)]

    assert ensemble_enters(3.0)
    assert not ensemble_enters(1e9)


def test_agreement_is_the_net_lean_over_the_gross() -> None:
    """ORC-11: 0.2 up against 0.1 down leaves a third."""
    assert validated(0.7, 0.4).agreement == pytest.approx(1.0 / 3.0)
    assert validated(0.7, 0.6).agreement == pytest.approx(1.0)
    assert validated(0.6, 0.4).agreement == pytest.approx(0.0)


def test_opinions_that_cancel_out_are_unreliable_and_agreeing_ones_are_reliable() -> None:
    """ORC-11: all three verdicts are reached."""
    assert validated(0.6, 0.4).verdict == "unreliable"
    assert validated(0.6, 0.6).verdict == "reliable"
    assert validated(0.6, 0.6, performance=0.3).verdict == "weak"


def test_one_opinion_alone_is_at_most_weak() -> None:
    """ORC-11: it agrees with itself, nobody confirmed it."""
    assert validated(0.9, performance=0.9).verdict == "weak"


def test_no_opinion_is_no_reliability() -> None:
    """Nobody asked, or nobody who leans."""
    assert validated() is NO_OPINION
    assert validated(0.5, 0.501) is NO_OPINION


def test_those_left_out_by_phase_four_have_no_say() -> None:
    """ORC-10, ORC-11"""
    values = np.array([0.56, 0.20, 0.58])
    opinions = [Opinion(f"s{i}", value) for i, value in enumerate(values.tolist())]
    found = cross_validate(opinions, values, np.array([0, -1, 1]), np.full(3, 0.5), CONFIG)
    assert [opinion.source for opinion in found.validation.kept] == ["s0", "s2"]
    assert found.validation.outliers == ()


@settings(max_examples=200, deadline=None)
@given(probabilities)
def test_measures_stay_in_their_ranges_and_somebody_is_always_kept(values: list[float]) -> None:
    """ORC-11: whatever is said; kept and outliers are everybody, once each."""
    validation = validated(*values)
    assert validation.kept
    assert 0.0 <= validation.agreement <= 1.0 + 1e-12
    assert 0.0 <= validation.reliability <= validation.agreement
    said = [opinion.source for opinion in validation.kept] + list(validation.outliers)
    assert sorted(said) == sorted(f"s{i}" for i in range(len(values)))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.4, 0.6), min_size=3, max_size=3), st.sampled_from([0.0, 1.0]))
def test_the_order_of_opinions_does_not_matter(values: list[float], far: float) -> None:
    """ORC-11"""
    assert far_off([*values, far]) == far_off([far, *values[::-1]])


def test_near_agreement_does_not_make_an_outlier_of_a_small_difference() -> None:
    """ORC-11: the deviation has a floor, or equal opinions would exclude all that differ."""
    assert validated(0.56, 0.56, 0.56, 0.60).outliers == ()
    assert validated(0.56, 0.56, 0.56, 0.90).outliers == ("s3",)
