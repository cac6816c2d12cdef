"""Phase 5: ORC-11."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.phases.config import PipelineConfig
from engine.phases.cross_validation import NO_OPINION, cross_validate, outliers, sentence
from engine.types.opinions import Opinion, Validation

CONFIG = PipelineConfig()


def validate(
    values: Sequence[float], trust: float = 0.5, selected: Sequence[bool] | None = None
) -> Validation:
    n = len(values)
    opinions = [
        Opinion(f"s{i}", value) if abs(value - 0.5) >= CONFIG.opinion_margin else None
        for i, value in enumerate(values)
    ]
    flags = [True] * n if selected is None else selected
    place = np.array([i if flag else -1 for i, flag in enumerate(flags)], dtype=np.int64)
    found = cross_validate(opinions, np.array(values), place, np.full(n, trust), CONFIG)
    named = [f"s{i}" for i, keep in enumerate(found.kept.tolist()) if keep]
    assert [o.source for o in found.validation.kept] == named
    return found.validation


def test_one_of_three_that_is_far_off_is_an_outlier() -> None:
    """ORC-11: an ordinary z-score of three values never exceeds 1.15."""
    found = validate([0.55, 0.56, 0.95])
    assert found.outliers == ("s2",)
    assert [o.source for o in found.kept] == ["s0", "s1"]


@pytest.mark.parametrize("values", [[0.55, 0.56, 0.60], [0.52, 0.95], [0.56, 0.56, 0.56]])
def test_close_values_and_pairs_have_no_outlier(values: list[float]) -> None:
    """ORC-11: two that differ cannot say which is wrong; a floor keeps equals from excluding."""
    assert validate(values).outliers == ()


@settings(deadline=None)  # the first example compiles a kernel
@given(st.lists(st.integers(0, 1024), min_size=3, max_size=16), st.integers(-4096, 4096))
def test_outliers_are_never_a_majority_and_do_not_depend_on_where_the_crowd_stands(
    steps: list[int], shift: int
) -> None:
    """ORC-11: values on a binary grid, so that shifting them is exact."""
    values, everyone = np.array(steps) / 1024.0, np.ones(len(steps), dtype=np.bool_)
    found = outliers(values, everyone, 0.05, 3.0)
    assert found.sum() <= len(steps) / 2
    assert (outliers(values + shift / 1024.0, everyone, 0.05, 3.0) == found).all()


def test_unanimous_opinions_are_reliable() -> None:
    """ORC-11"""
    found = validate([0.56, 0.58, 0.60])
    assert (found.verdict, found.agreement) == ("reliable", 1.0)


def test_opinions_that_cancel_out_are_unreliable() -> None:
    """ORC-11"""
    found = validate([0.55, 0.45])
    assert found.verdict == "unreliable"
    assert found.agreement == pytest.approx(0.0)


def test_partial_agreement_is_weak() -> None:
    """ORC-11: the verdict in between is reached too. Net 0.05 of gross 0.07."""
    found = validate([0.53, 0.53, 0.49])
    assert found.agreement == pytest.approx(0.05 / 0.07)
    assert found.verdict == "weak"


def test_one_opinion_alone_is_at_most_weak() -> None:
    """ORC-11: nobody confirmed it, whatever its record."""
    assert validate([0.6], trust=0.95).verdict == "weak"


def test_unanimous_opinions_of_poor_sources_are_not_reliable() -> None:
    """ORC-11: reliability is agreement times performance."""
    assert validate([0.56, 0.58], trust=0.30).verdict == "weak"
    assert validate([0.56, 0.58], trust=0.15).verdict == "unreliable"


def test_without_an_opinion_the_verdict_is_unreliable() -> None:
    assert validate([0.5, 0.501]) is NO_OPINION


def test_those_not_selected_have_no_say() -> None:
    """ORC-10, ORC-11"""
    found = validate([0.56, 0.20, 0.58], selected=[True, False, True])
    assert [o.source for o in found.kept] == ["s0", "s2"]
    assert found.outliers == ()


def test_the_sentence_has_the_numbers() -> None:
    """ORC-59"""
    text = sentence(validate([0.55, 0.56, 0.95]))
    assert "2 kept, 1 outliers, agreement 1.00, reliability 0.50" in text
