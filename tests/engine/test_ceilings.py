"""Limits made stricter by people: never looser than the file's, whatever is stored."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.ceilings import NAMES, Value, as_filed, is_stricter, tightened, value_of
from engine.limits import RiskLimits, apply
from engine.risk import LimitsError
from tests.engine.books import D
from tests.engine.test_limits import request, view

FILED = RiskLimits(max_order_quote=D("1000"))
# what no limit can be, such as a reserve of all the cash, is refused before it is stored
numbers = st.integers(1, 9_900).map(lambda n: Decimal(n) / 10_000)


@given(st.dictionaries(st.sampled_from(NAMES), numbers, max_size=4))
def test_no_override_ever_loosens_a_limit(given: dict[str, Decimal]) -> None:
    """CTL-22, SEC-45: the file's ceiling holds against any stored value."""
    counts = {n for n in NAMES if isinstance(value_of(FILED, n), int)}
    overrides: dict[str, Value] = {
        n: int(v * 10_000) if n in counts else v for n, v in given.items()
    }
    made = tightened(FILED, overrides)
    for name in NAMES:
        assert not is_stricter(name, value_of(FILED, name), value_of(made, name)), name


def test_a_lower_ceiling_holds_and_a_higher_one_is_ignored() -> None:
    """CTL-22: floors are made stricter by raising them."""
    made = tightened(
        FILED,
        {
            "max_position_size": D("0.05"),
            "max_gross_exposure": D("0.9"),
            "cash_reserve": D("0.30"),
            "loss_streak": 3,
            "max_order_quote": D("250"),
        },
    )
    assert (made.max_position_size, made.max_gross_exposure) == (D("0.05"), D("0.60"))
    assert (made.cash_reserve, made.loss_streak, made.max_order_quote) == (D("0.30"), 3, D("250"))
    assert tightened(FILED, {"max_gross_exposure": D("0.9")}) is FILED
    unlimited = replace(FILED, max_order_quote=None)
    assert tightened(unlimited, {"max_order_quote": D("5")}).max_order_quote == 5
    assert as_filed(FILED) is FILED


def test_the_base_risk_falls_with_the_largest_one() -> None:
    """D-01: it could never be above it."""
    made = tightened(FILED, {"max_risk_per_trade": D("0.004")})
    assert (made.risk_per_trade, made.max_risk_per_trade) == (D("0.004"), D("0.004"))


@pytest.mark.parametrize(
    "overrides", [{"max_luck": D("0.1")}, {"max_position_size": D("0")}], ids=["unknown", "zero"]
)
def test_what_is_no_limit_is_refused(overrides: dict[str, Value]) -> None:
    """D-03: a ceiling that cannot be understood must not be passed over."""
    with pytest.raises(LimitsError):
        tightened(FILED, overrides)


def test_a_lowered_ceiling_denies_with_its_code_value_and_limit() -> None:
    """CTL-1, CTL-22: what was asked and what was left are in the denial."""
    lowered = tightened(FILED, {"max_gross_exposure": D("0.01")})
    held = view(gross_exposure_quote=D("100"), exposure_by_symbol={"ETH/USDT": D("100")})
    answer = apply(request(), lowered, held)
    assert answer.denied is not None
    assert (answer.denied.code, answer.denied.value, answer.denied.limit) == ("MAX_GROSS", 1.0, 0.0)
    assert apply(request(), FILED, held).quantity_base > 0
