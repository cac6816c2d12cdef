"""The multiplier: monotone in each part, 1 in the middle, both ends within reach."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimization.core.config import SizingSettings
from optimization.core.sizing import Multiplier, multiplier

SETTINGS = SizingSettings()
WEIGHT, SHARE = st.floats(0.1, 2.0), st.floats(0.0, 1.0)


def m(weight: float = 1.0, quality: float = 0.6, alignment: float = 0.5) -> Multiplier:
    return multiplier(
        weight=weight,
        quality=quality,
        alignment=alignment,
        quality_threshold=0.6,
        settings=SETTINGS,
    )


def test_at_the_threshold_with_neutral_alignment_and_weight_one_it_is_one() -> None:
    """OPT-22: exactly 1, so the sizer's size is left to the last digit."""
    assert (m().raw, m().clipped) == (1.0, 1.0)


@given(WEIGHT, WEIGHT, SHARE, SHARE, SHARE, SHARE)
def test_it_never_falls_as_weight_quality_or_alignment_rise(
    w1: float, w2: float, q1: float, q2: float, a1: float, a2: float
) -> None:
    """OPT-18, OPT-19, OPT-20, OPT-21"""
    low = m(min(w1, w2), min(q1, q2), min(a1, a2))
    high = m(max(w1, w2), max(q1, q2), max(a1, a2))
    assert 0.0 < low.raw <= high.raw
    assert 0.1 <= low.clipped <= high.clipped <= 2.0


@pytest.mark.parametrize("part", ["weight", "quality", "alignment"])
def test_a_real_difference_in_one_part_changes_it(part: str) -> None:
    """OPT-19, OPT-20, OPT-21: strictly, away from the ends."""
    assert m(**{part: 0.3}).clipped < m(**{part: 0.9}).clipped


def test_both_ends_are_reached_and_what_was_clipped_is_known() -> None:
    """OPT-18, D-01: raw and clipped are both kept."""
    low, high = m(0.1, 0.6, 0.0), m(2.0, 1.0, 1.0)
    assert (low.clipped, high.clipped) == (0.1, 2.0)
    assert low.raw < 0.1 and high.raw > 2.0


def test_it_is_the_product_of_its_parts() -> None:
    """OPT-19: 0.8 x (1 + 0.2) x (1 + 0.5 x 0.3), by hand."""
    found = m(0.8, 0.8, 0.8)
    assert found.raw == pytest.approx(0.8 * 1.2 * 1.15)
    assert found.raw == found.weight * found.quality_factor * found.alignment_factor
