"""The optimization layer seen from phase 7: it may reduce or refuse, and it may fail."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.failsafe import FailSafePolicy
from engine.ports import Assessment, StrategyStatus
from tests.engine.phases.scene import (
    Gate,
    Incidents,
    fail_safe,
)
from tests.engine.phases.sizing import Layer, ask, denial_of, raising, size, times

ABSURD: list[Callable[[], Any]] = [
    raising,
    lambda: nan,
    lambda: inf,
    lambda: -inf,
    lambda: -1,
    lambda: 1e9,
    lambda: "0.9",
    lambda: None,
]


@pytest.mark.parametrize("answer", ABSURD)
def test_an_absurd_multiplier_is_the_base_size_and_an_incident(
    answer: Callable[[], Any],
) -> None:
    """OPT-76, F-075, D-03: rejected before it is clamped; m = 1, never 2 and never 0.1."""
    incidents = Incidents()
    policy = FailSafePolicy(Layer(answer), fail_safe(incidents))
    sizing = ask(policy=policy).sizing
    assert sizing.quantity_base == size() > 0
    assert (sizing.multiplier_raw, sizing.multiplier_applied) == (1.0, 1.0)
    assert incidents.places == ["policy.size_multiplier"]


@pytest.mark.parametrize(
    "answer",
    [
        raising,
        lambda: None,
        lambda: Assessment(True, nan, "Q", "quality nan"),
        lambda: Assessment(False, 1.5, "Q", "quality 1.5"),
        lambda: Assessment(True, -1.0, "Q", "quality -1"),
        lambda: Assessment(False, inf, "Q", "quality inf"),
    ],
)
def test_a_scorer_that_fails_leaves_signals_unfiltered(answer: Callable[[], Any]) -> None:
    """OPT-76, F-076, D-03: base behaviour at m = 1, counted and told."""
    incidents = Incidents()
    safe = fail_safe(incidents)
    result = ask(policy=FailSafePolicy(Layer(assessment=answer), safe))
    assert result.sizing.quantity_base == size() > 0
    assert result.policy is not None and result.policy["reason_code"] == "UNFILTERED"
    assert incidents.places == ["policy.assess"]
    assert safe.fallbacks == {"policy.assess": 1}
    assert safe.degraded == ("policy.assess",)


@pytest.mark.parametrize("answer", ABSURD)
@pytest.mark.parametrize("status", [StrategyStatus.SUSPENDED, StrategyStatus.RETIRED])
def test_a_failing_layer_readmits_nobody(answer: Callable[[], Any], status: StrategyStatus) -> None:
    """OPT-76, D-03: status is the gate's, not the layer's."""
    policy = FailSafePolicy(Layer(answer, answer), fail_safe())
    assert denial_of(ask(policy=policy, gatekeeper=Gate(status=status))).startswith("STRATEGY_")


def test_a_bare_policy_that_answers_no_number_is_one_and_noted() -> None:
    """D-03: a second line behind the fail-safe."""
    answer = ask(policy=times(nan))
    assert answer.sizing.quantity_base == size()
    assert (answer.sizing.multiplier_raw, answer.sizing.multiplier_applied) == (1.0, 1.0)
    assert answer.notes[0].code == "MULTIPLIER_NOT_FINITE"


@settings(max_examples=100, deadline=None)
@given(st.booleans(), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_filter_can_only_reduce_or_block(accepted: bool, quality: float, m: float) -> None:
    """OPT-14: side and prices are the proposal's; never larger than without it."""
    layer = Layer(lambda: m, lambda: Assessment(accepted, quality, "QUALITY", "scored"))
    answer, without = ask(policy=layer), ask()
    assert answer.sizing.quantity_base <= without.sizing.quantity_base
    assert (answer.sizing.quantity_base > 0) <= accepted
    if accepted:
        assert (answer.stop_price, answer.target_price) == (
            without.stop_price,
            without.target_price,
        )
        assert answer.sizing.quality == quality


def test_a_refused_signal_keeps_its_quality_and_the_policys_words() -> None:
    """OPT-14, ORC-59"""
    layer = Layer(assessment=lambda: Assessment(False, 0.4, "LOW_QUALITY", "quality was 0.4"))
    answer = ask(policy=layer)
    assert denial_of(answer) == "LOW_QUALITY"
    assert answer.sizing.quality == 0.4
    told = answer.sizing
    assert (told.base_quantity, told.multiplier_raw, told.multiplier_applied) == (0.0, 1.0, 1.0)
    assert answer.policy is not None and answer.policy["confluence"] == 2


def test_without_a_consensus_the_policy_hears_of_no_confluence() -> None:
    """OPT-13, ORC-58: nobody agreed, and nobody is made up."""
    answer = ask(seen={"consensus": None})
    assert answer.policy is not None and answer.policy["confluence"] == 0
    assert answer.sizing.quantity_base > 0


def test_the_multiplier_is_asked_once_for_what_may_be_entered_and_for_nothing_else() -> None:
    """OPT-17: after the gates and the filter, and never for what either of them stopped."""
    asked: list[str] = []

    def counted(what: str, answer: Any) -> Callable[[], Any]:
        return lambda: (asked.append(what), answer)[1]

    def of(accepted: bool, **changes: Any) -> list[str]:
        asked.clear()
        said = Assessment(accepted, 0.7, "QUALITY", "scored")
        layer = Layer(counted("size", 1.5), counted("score", said))
        assert (ask(policy=layer, **changes).sizing.quantity_base > 0) is (asked[-1:] == ["size"])
        return list(asked)

    assert of(True) == ["score", "size"]
    assert of(False) == ["score"]
    assert of(True, gatekeeper=Gate(status=StrategyStatus.SUSPENDED)) == []
