"""The layer switched off: OPT-06, OPT-22."""

from __future__ import annotations

from engine.policy import BasePolicy
from engine.types.opinions import Missing, Regime
from tests.engine.phases import scene


def test_the_base_policy_accepts_all_and_multiplies_by_exactly_one() -> None:
    """OPT-22"""
    policy, of = BasePolicy({"a": 1.0}), scene.snapshot()
    assessment = policy.assess(scene.entry(of), Missing("none"), 0)
    assert assessment.accepted
    assert assessment.quality is None
    assert policy.size_multiplier(scene.entry(of), assessment, Missing("none")) == 1.0


def test_the_base_policy_gives_the_base_weights_under_every_regime() -> None:
    policy = BasePolicy({"a": 0.7})
    assert all(policy.weights(regime) == {"a": 0.7} for regime in Regime)
    assert BasePolicy().weights(Regime.QUIET) == {}
