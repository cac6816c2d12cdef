"""What a signal was scored on, out to JSON and back."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from math import inf, nan
from typing import Any

import pytest

from optimization.core.config import QualitySettings
from optimization.core.errors import StateError
from optimization.core.outcome import LARGEST_R, QualityInputs, unsound
from optimization.core.quality.formula import reachable
from tests.optimization.core.outcomes import trade

INPUTS = QualityInputs(0.0, 0.5, 0.25, 1.0)


def test_inputs_come_back_as_they_went() -> None:
    """OPT-80: both ends of the range belong to it."""
    assert QualityInputs.from_json(INPUTS.as_json()) == INPUTS


@pytest.mark.parametrize("value", [True, "high", None, 1.01, -0.01, float("nan")])
def test_a_stored_input_that_is_no_fraction_is_refused_by_name(value: Any) -> None:
    """OPT-80: what was damaged in the database is not learned from."""
    with pytest.raises(StateError, match="quality inputs: history must be"):
        QualityInputs.from_json({**INPUTS.as_json(), "history": value})


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"pnl_quote": Decimal("NaN")}, "finite"),
        ({"fees_quote": Decimal("Infinity")}, "finite"),
        ({"r_multiple": nan}, "within"),
        ({"r_multiple": -inf}, "within"),
        ({"r_multiple": LARGEST_R + 1.0}, "within"),
    ],
)
def test_a_trade_with_a_number_that_is_none_is_no_evidence(
    changes: dict[str, Any], word: str
) -> None:
    """F-081: each of its three numbers alone is enough."""
    why = unsound(trade(1, 1.0, 0, **changes))
    assert why is not None and why.startswith("trade t1 must be") and word in why


@pytest.mark.parametrize("r", [None, 0.0, LARGEST_R, -LARGEST_R])
def test_a_trade_without_r_or_with_the_largest_is_sound(r: float | None) -> None:
    """F-081: no stop, no R: that is no fault."""
    assert unsound(replace(trade(1, 1.0, 0), r_multiple=r)) is None


def test_the_reachable_range_is_the_documented_one() -> None:
    """OPT-13, D-04: the first and the last cell of the table in docs/health-detectors.md."""
    assert reachable(QualitySettings(), 0.5, 0.85) == pytest.approx((0.3125, 0.8625))
    assert reachable(QualitySettings(), 0.875, 0.05) == pytest.approx((0.1875, 0.7375))
