"""The uniform policy: the reference that learns nothing."""

from __future__ import annotations

from optimization.core.evidence import strategy_evidence
from optimization.core.performance import Decomposition
from optimization.core.weighting import UniformPolicy
from tests.optimization.core.trades import every


def test_whatever_was_earned_the_wish_is_the_base_weight_and_one_where_there_is_none() -> None:
    """OPT-79: what the other policies are compared with."""
    performance = Decomposition()
    for trade in every([3.0] * 40):
        performance.add(trade)
    evidence = {"ema-trend": strategy_evidence(performance, "ema-trend", None)}
    policy = UniformPolicy(base_weights={"ema-trend": 0.5})
    assert policy.propose({"ema-trend": 1.7, "breakout": 0.3}, evidence) == {
        "ema-trend": 0.5,
        "breakout": 1.0,
    }
