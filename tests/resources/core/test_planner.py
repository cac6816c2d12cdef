"""What is done about a trigger, in which order, and how often."""

import math

import pytest

from resources.core.config import OptimizerConfig
from resources.core.planner import (
    LADDERS,
    Act,
    Attempt,
    Escalate,
    Situation,
    Trait,
    Wait,
    ladder_of,
    plan,
)
from resources.core.triggers import Kind, Rule, Trigger
from resources.core.verdicts import Verdict

CONFIG = OptimizerConfig()
TRAITS = {
    code: Trait(code, CONFIG.cool_down_s, touches_trading=code == "cheaper-decisions")
    for code in dict.fromkeys(code for ladder in LADDERS.values() for code in ladder)
}


def trigger(code="cpu", key="host.cpu"):
    return Trigger(Rule(code, Kind.THRESHOLD, key, 0.8, 0.76, "busy"), 0.95, 0)


def planned(code="cpu", config=CONFIG, **situation):
    return plan(trigger(code), Situation(**{"now_ms": 0} | situation), TRAITS, config)


def vain(*codes):
    return [Attempt(code, Verdict.NO_EFFECT) for code in codes]


def test_research_goes_first_and_decisions_go_last():
    """ORC-50"""
    assert planned() == Act("shed-research")
    assert ladder_of("cpu")[-1] == ladder_of("slow-decision")[-1] == "cheaper-decisions"
    done = frozenset({"shed-research", "lengthen-sampling", "shrink-pool"})
    assert planned(in_effect=done) == Act("cheaper-decisions")


def test_nothing_that_reaches_the_trading_loop_is_done_with_an_order_in_flight():
    done = frozenset({"shed-research", "lengthen-sampling", "shrink-pool"})
    said = planned(in_effect=done, orders_in_flight=2)
    assert said == Wait("cheaper-decisions: 2 orders are in flight")


def test_one_action_is_measured_before_the_next_begins():
    """ORC-57: else nobody could tell which of them helped."""
    assert planned(is_measuring=True) == Wait("an action is being measured")


def test_an_action_rests_for_its_cool_down():
    """ORC-50"""
    situation = {"now_ms": 299_999, "last_ms": {"clean-temp": 0}}
    only = OptimizerConfig(disabled_actions=("compress-logs", "trim-disk-cache"))
    said = planned("disk", only, **situation)
    assert isinstance(said, Wait)
    assert "cooling down" in said.why
    assert planned("disk", only, **situation | {"now_ms": 300_000}) == Act("clean-temp")


def test_what_was_tried_in_vain_twice_is_left_and_then_a_person_is_told():
    """ORC-50"""
    once = vain("clean-temp", "compress-logs", "trim-disk-cache")
    assert planned("disk", attempts=once) == Act("clean-temp")
    assert planned("disk", attempts=once + once[:2]) == Act("trim-disk-cache")
    said = planned("disk", attempts=once + once)
    assert said == Escalate("tried in vain: clean-temp, compress-logs, trim-disk-cache")


def test_a_recovery_procedure_runs_once_an_incident():
    """ORC-42"""
    traits = {"restart-worker": Trait("restart-worker", 300.0, once_per_incident=True)}
    ran = Situation(now_ms=10**9, attempts=[Attempt("restart-worker", Verdict.SUCCESS)])
    said = plan(trigger("errors-task", "work:task.errors"), ran, traits, CONFIG)
    assert isinstance(said, Escalate)


def test_each_action_can_be_switched_off():
    """ORC-46"""
    off = OptimizerConfig(disabled_actions=("shed-research",))
    assert planned(config=off) == Act("lengthen-sampling")


@pytest.mark.parametrize("rule", ["rss-trading", "rss-general", "queue-io", "errors-venue"])
def test_every_rule_has_a_ladder_of_known_actions(rule):
    assert ladder_of(rule)
    assert set(ladder_of(rule)) <= set(TRAITS)


@pytest.mark.parametrize("cool_down_s", [300.0, 420.0, 900.0])
@pytest.mark.parametrize("verdict", [Verdict.SUCCESS, Verdict.NO_EFFECT])
@pytest.mark.parametrize("code", ["cpu", "memory", "disk"])
def test_an_hour_of_overload_runs_each_action_at_most_once_a_cool_down(cool_down_s, verdict, code):
    """ORC-50: at most ceil(1 h / cool-down), whatever came of it; virtual time."""
    config = OptimizerConfig(cool_down_s=cool_down_s)
    traits = {c: Trait(c, cool_down_s) for c in TRAITS}
    last, attempts, runs, escalated = {}, [], {}, 0
    for now_ms in range(0, 3_600_000, 10_000):
        situation = Situation(now_ms=now_ms, attempts=attempts, last_ms=last)
        said = plan(trigger(code), situation, traits, config)
        if isinstance(said, Act):
            last[said.action] = now_ms
            attempts.append(Attempt(said.action, verdict))
            runs[said.action] = runs.get(said.action, 0) + 1
        escalated += isinstance(said, Escalate)
    assert runs
    assert max(runs.values()) <= math.ceil(3_600.0 / cool_down_s)
    assert max(runs.values()) <= 2 or verdict is Verdict.SUCCESS
    assert bool(escalated) is (verdict is Verdict.NO_EFFECT)
