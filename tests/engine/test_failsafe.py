"""Falling back: OPT-76, ORC-17, D-03, the table of what fails and who is told."""

from __future__ import annotations

import math

import pytest

from engine.failsafe import CoolingOff, FailSafe, FailSafePolicy, Failure, fall_back
from engine.types.opinions import Missing, Regime
from tests.engine.phases import scene


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def broken() -> int:
    raise RuntimeError("broken")


def test_a_failing_call_gives_the_fallback_and_is_reported() -> None:
    incidents = scene.Incidents()
    assert fall_back(broken, 7, where="here", report=incidents.incident) == 7
    assert incidents.places == ["here"]


def test_a_good_call_gives_its_own_value_and_no_report() -> None:
    incidents = scene.Incidents()
    assert fall_back(lambda: 3, 7, where="here", report=incidents.incident) == 3
    assert incidents.seen == []


def test_an_interrupt_is_not_survived() -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fall_back(interrupted, 7, where="here", report=scene.Incidents().incident)


def test_after_five_failures_in_a_row_a_place_is_left_alone_until_the_cool_off_ends() -> None:
    """ORC-58, ORC-19: skipped calls are counted as fallbacks but not reported again."""
    clock, incidents = Clock(), scene.Incidents()
    safe = FailSafe(incidents.incident, clock, max_failures=5, cool_off_s=60.0)
    calls = 0

    def counted() -> int:
        nonlocal calls
        calls += 1
        raise RuntimeError("broken")

    for _ in range(8):
        assert safe.fall_back(counted, 1, where="p") == 1
    assert calls == 5
    assert len(incidents.seen) == 5
    assert safe.fallbacks == {"p": 8}
    skipped = safe.attempt(counted, where="p")
    assert isinstance(skipped, Failure)
    assert isinstance(skipped.error, CoolingOff)
    clock.now_s = 60.0
    safe.attempt(counted, where="p")
    assert calls == 6, "one try when the cool-off is over"
    safe.attempt(counted, where="p")
    assert calls == 6, "and its failure starts the next one"
    clock.now_s = 120.0
    assert safe.attempt(lambda: 9, where="p") == 9
    assert safe.degraded == ()
    assert safe.attempt(lambda: 9, where="p") == 9


def test_a_success_in_between_starts_the_count_anew() -> None:
    safe = FailSafe(scene.Incidents().incident, Clock(), max_failures=2)
    for _ in range(3):
        safe.attempt(broken, where="p")
        assert safe.degraded == ("p",)
        assert safe.attempt(lambda: 1, where="p") == 1


def test_one_place_cools_off_without_the_others() -> None:
    safe = FailSafe(scene.Incidents().incident, Clock(), max_failures=1)
    safe.attempt(broken, where="a")
    assert isinstance(safe.attempt(lambda: 1, where="a"), Failure)
    assert safe.attempt(lambda: 1, where="b") == 1


def test_what_must_always_be_tried_is_tried_in_a_cool_off() -> None:
    safe = FailSafe(scene.Incidents().incident, Clock(), max_failures=1)
    safe.attempt(broken, where="a")
    assert safe.attempt(lambda: 1, where="a", always=True) == 1


@pytest.mark.parametrize("changes", [{"max_failures": 0}, {"cool_off_s": math.nan}])
def test_settings_out_of_range_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="was"):
        FailSafe(scene.Incidents().incident, Clock(), **changes)  # type: ignore[arg-type]


def guarded(policy: scene.Policy) -> tuple[FailSafePolicy, scene.Incidents]:
    incidents = scene.Incidents()
    return FailSafePolicy(policy, FailSafe(incidents.incident, Clock())), incidents


def ask(policy: FailSafePolicy, method: str) -> object:
    of = scene.snapshot()
    proposal, market = scene.entry(of), Missing("none")
    assessment = scene.Policy().assess(proposal, market, 1)
    answers = {
        "weights": lambda: policy.weights(Regime.QUIET),
        "assess": lambda: policy.assess(proposal, market, 1).accepted,
        "size_multiplier": lambda: policy.size_multiplier(proposal, assessment, market),
        "record_outcome": lambda: policy.record_outcome(None),  # type: ignore[arg-type, func-returns-value]
        "refresh": lambda: policy.refresh(0),  # type: ignore[func-returns-value]
    }
    return answers[method]()


@pytest.mark.parametrize(
    ("method", "base"),
    [
        ("weights", {}),
        ("assess", True),
        ("size_multiplier", 1.0),
        ("record_outcome", None),
        ("refresh", None),
    ],
)
def test_each_failing_method_answers_as_the_base_policy_and_reports(
    method: str, base: object
) -> None:
    """OPT-76, D-03"""
    policy, incidents = guarded(
        scene.Policy(multiplier=2.0, accepted=False, fails=frozenset({method}))
    )
    assert ask(policy, method) == base
    assert incidents.places == [f"policy.{method}"]


@pytest.mark.parametrize("multiplier", [math.nan, math.inf, -math.inf, -0.5])
def test_a_multiplier_that_is_no_number_to_multiply_with_becomes_one(multiplier: float) -> None:
    """OPT-18, OPT-76"""
    policy, incidents = guarded(scene.Policy(multiplier=multiplier))
    assert ask(policy, "size_multiplier") == 1.0
    assert incidents.places == ["policy.size_multiplier"]


@pytest.mark.parametrize("quality", [math.nan, -0.1, 1.1])
def test_an_assessment_out_of_range_accepts_as_the_base_policy_does(quality: float) -> None:
    """OPT-76"""
    policy, incidents = guarded(scene.Policy(accepted=False, quality=quality))
    assert ask(policy, "assess") is True
    assert incidents.places == ["policy.assess"]


def test_good_answers_pass_through_unchanged() -> None:
    policy, incidents = guarded(scene.Policy(multiplier=1.7, accepted=False, quality=0.4))
    assert ask(policy, "size_multiplier") == 1.7
    assert ask(policy, "assess") is False
    assert ask(policy, "weights") == {"rule-a": 1.5}
    assert incidents.seen == []
