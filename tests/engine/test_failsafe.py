"""Falling back: what failed, how often, and for how long it is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest

from engine.failsafe import CoolingOff, FailSafe, FailSafePolicy, Failure, attempt, fall_back
from engine.policy import BasePolicy
from engine.ports import Assessment
from engine.types.opinions import Regime
from tests.engine.phases.scene import Clock, Incidents, entry, market

BASE = BasePolicy({"one": 1.0})


def broken() -> int:
    raise ValueError("no luck")


def guarded(
    clock: Clock | None = None, incidents: Incidents | None = None, **changes: Any
) -> FailSafe:
    return FailSafe((incidents or Incidents()).incident, clock or Clock(), **changes)


def test_a_failure_says_where_and_what() -> None:
    """ORC-17"""
    failure = attempt(broken, "here")
    assert isinstance(failure, Failure)
    assert (failure.where, failure.text) == ("here", "ValueError: no luck")
    assert attempt(lambda: 3, "here") == 3


def test_a_person_who_stops_the_program_is_not_survived() -> None:
    def stop() -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(stop, "here")


def test_the_fallback_is_returned_and_the_failure_reported() -> None:
    """ORC-17, ORC-19"""
    incidents = Incidents()
    assert fall_back(broken, 7, where="here", report=incidents.incident) == 7
    assert fall_back(lambda: 3, 7, where="here", report=incidents.incident) == 3
    assert incidents.places == ["here"]


def test_a_place_that_keeps_failing_is_left_alone_and_then_tried_once() -> None:
    """ORC-17, F-074: five in a row, a minute of rest, one try, the next minute."""
    clock, incidents, calls = Clock(), Incidents(), []
    safe = guarded(clock, incidents)

    def call() -> int:
        calls.append(1)
        return broken()

    for _ in range(8):
        failure = safe.attempt(call, where="here")
    assert isinstance(failure, Failure) and isinstance(failure.error, CoolingOff)
    assert "skipped after 5 failures in a row, allowed was 5" in failure.text
    assert (len(calls), len(incidents.seen)) == (5, 5)
    clock.now_s = 60.0
    for _ in range(3):
        safe.attempt(call, where="here")
    assert len(calls) == 6


def test_fallbacks_are_counted_with_those_that_were_skipped() -> None:
    """ORC-19"""
    safe = guarded(max_failures=2)
    for _ in range(5):
        safe.fall_back(broken, 0, where="here")
    assert safe.fallbacks == {"here": 5}
    assert safe.degraded == ("here",)


def test_a_success_closes_the_matter() -> None:
    """D-03: the banner goes, the count in a row starts anew, the total stays."""
    safe = guarded(max_failures=3)
    for _ in range(4):
        safe.fall_back(broken, 0, where="here")
        safe.fall_back(broken, 0, where="here")
        assert safe.fall_back(lambda: 5, 0, where="here") == 5
    assert safe.degraded == ()
    assert safe.fallbacks == {"here": 8}


def test_places_do_not_share_their_failures() -> None:
    """ORC-58"""
    safe = guarded(max_failures=1)
    safe.fall_back(broken, 0, where="a")
    assert safe.fall_back(lambda: 3, 0, where="b") == 3
    assert safe.fall_back(lambda: 3, 0, where="a") == 0


def test_what_must_always_be_tried_is_never_skipped() -> None:
    """ORC-17: an exit."""
    safe = guarded(max_failures=1)
    for _ in range(3):
        safe.attempt(broken, where="here", always=True)
    assert safe.attempt(lambda: 3, where="here", always=True) == 3


def test_each_item_has_its_turn_whatever_becomes_of_the_others() -> None:
    """ORC-17: once each; a place counts its own failures, and a success closes the matter."""
    incidents, done = Incidents(), []
    safe = guarded(incidents=incidents)

    def take(item: int) -> None:
        done.append(item)
        if item < 0:
            raise ValueError(f"no luck with {item}")

    def where(item: int) -> str:
        return f"item {abs(item)}"

    failures = safe.each(take, [1, -2, 3, -4], where=where)
    assert done == [1, -2, 3, -4]
    assert [f.where for f in failures] == ["item 2", "item 4"]
    assert list(incidents.places) == ["item 2", "item 4"]
    assert safe.degraded == ("item 2", "item 4")
    assert safe.each(take, [2, -4], where=where)[0].text == "ValueError: no luck with -4"
    assert safe.degraded == ("item 4",)


@pytest.mark.parametrize("bad", [{"max_failures": 0}, {"cool_off_s": -1.0}, {"cool_off_s": nan}])
def test_settings_that_make_no_sense_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="allowed"):
        guarded(**bad)


def test_without_a_rest_the_next_call_is_made() -> None:
    """ORC-17: a cool-off of 0 is allowed and is none."""
    safe = guarded(max_failures=1, cool_off_s=0.0)
    safe.attempt(broken, where="here")
    assert safe.attempt(lambda: 3, where="here") == 3


# -- the policy seam -------------------------------------------------------------------------------


class Layer(BasePolicy):
    """Every method answers what it is told to."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        super().__init__()
        self._answer = answer

    def weights(self, *given: Any) -> Any:
        return self._answer()

    def assess(self, *given: Any) -> Any:
        return self._answer()

    def size_multiplier(self, *given: Any) -> Any:
        return self._answer()

    def record_outcome(self, *given: Any) -> Any:
        return self._answer()

    def refresh(self, *given: Any) -> Any:
        return self._answer()


ACCEPTED = BASE.assess(entry(), market(), 2)


def asked(policy: Any, method: str) -> Any:
    if method == "weights":
        return policy.weights(Regime.QUIET)
    if method == "assess":
        return policy.assess(entry(), market(), 2)
    if method == "size_multiplier":
        return policy.size_multiplier(entry(), ACCEPTED, market())
    return policy.refresh(0) if method == "refresh" else policy.record_outcome(None)


METHODS = ["weights", "assess", "size_multiplier", "record_outcome", "refresh"]


@pytest.mark.parametrize("method", METHODS)
def test_each_method_that_raises_answers_as_the_base_policy(method: str) -> None:
    """OPT-76, D-03, F-076: with an incident and a count."""
    incidents = Incidents()
    safe = guarded(incidents=incidents)
    policy = FailSafePolicy(Layer(broken), safe, BASE)
    assert asked(policy, method) == asked(BASE, method)
    assert incidents.places == [f"policy.{method}"]
    assert safe.degraded == (f"policy.{method}",)


@pytest.mark.parametrize("absurd", [nan, inf, -inf, -1, -1e-9, 10.1, 1e9, "0.9", None])
def test_an_absurd_multiplier_is_one(absurd: Any) -> None:
    """F-075, I-11, OPT-76: rejected before any clamp could make a size of it."""
    policy = FailSafePolicy(Layer(lambda: absurd), guarded())
    assert asked(policy, "size_multiplier") == 1.0


@pytest.mark.parametrize("fair", [0.0, 0.1, 1.0, 2.0, 3.0, 10.0])
def test_a_fair_multiplier_is_handed_on_as_it_is(fair: float) -> None:
    """OPT-18: raw and applied are told apart, so the clamp is not here."""
    policy = FailSafePolicy(Layer(lambda: fair), guarded())
    assert asked(policy, "size_multiplier") == fair


@pytest.mark.parametrize(
    "weights", [{"one": nan}, {"one": inf}, {"one": 0.0}, {"one": -1.0}, {"one": "1"}, None]
)
def test_absurd_weights_are_the_base_weights(weights: Any) -> None:
    """OPT-76, F-075"""
    policy = FailSafePolicy(Layer(lambda: weights), guarded(), BASE)
    assert asked(policy, "weights") == {"one": 1.0}
    fair = FailSafePolicy(Layer(lambda: {"one": 0.3}), guarded(), BASE)
    assert asked(fair, "weights") == {"one": 0.3}


@pytest.mark.parametrize("quality", [nan, inf, -0.1, 1.1, "0.9"])
def test_an_absurd_quality_is_unfiltered_even_where_it_would_have_refused(quality: Any) -> None:
    """F-075, F-076"""
    layer = Layer(lambda: Assessment(False, quality, "LOW", "too low"))
    answer = asked(FailSafePolicy(layer, guarded()), "assess")
    assert (answer.accepted, answer.reason_code) == (True, "UNFILTERED")


@pytest.mark.parametrize(
    "odd",
    [
        {"detail": {"learned": nan}},
        {"detail": {"inputs": {"history": inf}}},
        {"detail": {"signal": object()}},
        {"detail": None},
        {"accepted": "no"},
        {"reason_code": 7},
        {"signal_id": None},
    ],
)
def test_an_assessment_that_cannot_be_stored_is_unfiltered(odd: dict[str, Any]) -> None:
    """OPT-76: stored with the decision it would roll the event back, exits and all."""
    reporter = Incidents()
    policy = FailSafePolicy(
        Layer(lambda: replace(ACCEPTED, **odd)), FailSafe(reporter.incident, lambda: 0.0)
    )
    assert policy.assess(entry(), market(), 2) == ACCEPTED
    assert reporter.places == ["policy.assess"]


@pytest.mark.parametrize("quality", [0.0, 0.3, 1.0])
def test_a_fair_refusal_stands(quality: float) -> None:
    """OPT-14: a fall-back is for failures only; both ends of the range are fair."""
    refusal = Assessment(False, quality, "LOW", "too low")
    assert asked(FailSafePolicy(Layer(lambda: refusal), guarded()), "assess") == refusal


def test_a_layer_that_keeps_failing_is_left_alone_and_trading_goes_on() -> None:
    """OPT-76: base behaviour all along."""
    calls: list[int] = []

    def call() -> Any:
        calls.append(1)
        raise RuntimeError("down")

    policy = FailSafePolicy(Layer(call), guarded())
    assert {asked(policy, "size_multiplier") for _ in range(50)} == {1.0}
    assert len(calls) == 5
