"""The layer switched off changes nothing."""

from __future__ import annotations

from engine.policy import BasePolicy
from engine.types.opinions import REGIMES, Missing
from tests.engine.phases.scene import entry, market


def test_the_base_policy_accepts_all_at_a_multiplier_of_one() -> None:
    """OPT-22, D-03: and says that nothing was filtered."""
    policy, proposal = BasePolicy(), entry()
    for view in (market(), Missing("not warm")):
        assessment = policy.assess(proposal, view, 0)
        assert (assessment.accepted, assessment.quality) == (True, None)
        assert assessment.reason_code == "UNFILTERED"
        assert policy.size_multiplier(proposal, assessment, view) == 1.0


def test_the_base_weights_are_the_configured_ones_in_every_regime() -> None:
    given = {"one": 0.3}
    policy = BasePolicy(given)
    given["one"] = 9.0
    assert [policy.weights(regime) for regime in REGIMES] == [{"one": 0.3}] * len(REGIMES)
    assert BasePolicy().weights(REGIMES[0]) == {}
