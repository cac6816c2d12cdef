"""Phase 6: ORC-12, ORC-85, OPT-13, and the ensemble's own proposals (D-46)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.phases.config import PipelineConfig
from engine.phases.ensemble import combine, propose_ensemble
from engine.types.opinions import Consensus, Missing, Proposal, Side
from tests.engine.phases import scene

CONFIG = PipelineConfig()


def combined(
    values: list[float],
    skills: list[float] | None = None,
    groups: list[int] | None = None,
    settled: int = 100,
    kept: list[bool] | None = None,
    verdict: str = "reliable",
) -> Consensus | None:
    n = len(values)
    return combine(
        [f"s{i}" for i in range(n)],
        np.array(values),
        np.array(kept if kept is not None else [True] * n),
        np.array(groups if groups is not None else [0] * n, dtype=np.int64),
        np.array(skills if skills is not None else [1.0] * n),
        np.full(n, settled, dtype=np.int64),
        verdict,
    )


def certain(values: list[float], **changes: Any) -> Consensus:
    found = combined(values, **changes)
    assert found is not None
    return found


opinions = st.floats(0.0, 1.0)
crowd = st.integers(1, 16).flatmap(
    lambda n: st.tuples(
        st.lists(opinions, min_size=n, max_size=n),
        st.lists(st.floats(0.01, 100.0), min_size=n, max_size=n),
        st.lists(st.integers(0, 1), min_size=n, max_size=n),
    )
)


@settings(deadline=None)  # the first example compiles a kernel
@given(st.floats(0.0, 1.0), st.integers(1, 16), st.lists(st.floats(0.01, 100.0), min_size=16))
def test_unanimous_opinions_come_out_unchanged_to_the_last_digit(
    probability: float, n: int, skills: list[float]
) -> None:
    """ORC-12"""
    groups = [i % 2 for i in range(n)]
    assert certain([probability] * n, skills=skills[:n], groups=groups).probability_up == (
        probability
    )


@settings(deadline=None)  # the first example compiles a kernel
@given(crowd)
def test_weights_are_positive_and_sum_to_one_and_the_result_lies_between_the_opinions(
    of: tuple[list[float], list[float], list[int]],
) -> None:
    """ORC-12"""
    values, skills, groups = of
    found = certain(values, skills=skills, groups=groups)
    assert math.isclose(sum(found.weights), 1.0, rel_tol=1e-12)
    assert min(found.weights) > 0.0
    assert min(values) <= found.probability_up <= max(values)
    assert 0.0 <= found.uncertainty <= 0.5
    assert found.confluence_up + found.confluence_down == len(values)


def test_two_opinions_are_averaged_as_log_odds() -> None:
    """ORC-12: stacking. Odds of 4 and 1 with equal weights make odds of 2."""
    assert certain([0.8, 0.5]).probability_up == pytest.approx(2.0 / 3.0)


def test_skill_under_the_regime_moves_the_weight() -> None:
    """ORC-12: adaptive."""
    found = certain([0.6, 0.4], skills=[3.0, 1.0])
    assert found.weights == pytest.approx((0.75, 0.25))
    assert found.probability_up > 0.5


def test_a_lone_predictor_is_not_outvoted_by_the_number_of_rules() -> None:
    """ORC-12: hierarchical. Five rules and one predictor of equal skill share half and half."""
    found = certain([0.6] * 5 + [0.4], groups=[0] * 5 + [1])
    assert found.weights[-1] == pytest.approx(0.5)
    assert found.probability_up == pytest.approx(0.5)


def test_disagreement_and_thin_evidence_raise_uncertainty() -> None:
    """ORC-12"""
    agreed = certain([0.6, 0.6]).uncertainty
    assert certain([0.8, 0.4]).uncertainty > agreed
    assert certain([0.6, 0.6], settled=0).uncertainty > agreed
    # no disagreement: sum of w^2 p (1 - p) / (n + 1)
    assert agreed == pytest.approx(math.sqrt(2 * 0.25 * 0.24 / 101))


def test_only_those_kept_contribute() -> None:
    """ORC-11, ORC-12"""
    found = certain([0.6, 0.99, 0.6], kept=[True, False, True])
    assert found.contributors == ("s0", "s2")
    assert found.probability_up == 0.6


def test_nobody_kept_gives_no_consensus() -> None:
    assert combined([0.6, 0.7], kept=[False, False]) is None


def test_confluence_counts_the_sources_that_lean_each_way() -> None:
    """OPT-13"""
    found = certain([0.6, 0.55, 0.4])
    assert (found.confluence(Side.BUY), found.confluence(Side.SELL)) == (2, 1)


def test_a_consensus_is_reliable_only_by_the_verdict() -> None:
    assert certain([0.6], verdict="reliable").reliable
    assert not certain([0.6], verdict="weak").reliable


# -- the ensemble's own proposals ----------------------------------------------------------------


def proposed(up: float = 0.6, **changes: Any) -> Proposal | None:
    fields: dict[str, Any] = {
        "instrument": scene.instrument(),
        "price": 100.0,
        "market": scene.market_view(volatility_bar_fraction=0.004),
        "validation": scene.validation(),
        "consensus": scene.consensus(up, confluence_up=2, confluence_down=2),
        "config": CONFIG,
    }
    return propose_ensemble(**{**fields, **changes})


def test_it_enters_where_probability_and_confluence_reach_their_thresholds() -> None:
    """D-46"""
    found = proposed(CONFIG.entry_probability)
    assert found is not None
    assert (found.strategy, found.side, found.reason_code) == (
        "ensemble",
        Side.BUY,
        "ENSEMBLE_ENTRY",
    )
    assert proposed(CONFIG.entry_probability - 0.001) is None
    assert proposed(consensus=scene.consensus(0.6, confluence_up=1)) is None


def test_its_stop_and_target_follow_volatility_over_the_horizon() -> None:
    found = proposed()
    assert found is not None
    assert found.stop_price is not None
    assert found.target_price is not None
    sigma = 0.004 * math.sqrt(CONFIG.horizon_bars)
    assert found.stop_price == pytest.approx(100.0 * (1.0 - CONFIG.stop_sigmas * sigma))
    assert found.target_price == pytest.approx(100.0 * (1.0 + CONFIG.target_sigmas * sigma))


def test_its_stop_keeps_a_least_distance_in_a_still_market() -> None:
    found = proposed(market=scene.market_view(volatility_bar_fraction=0.0))
    assert found is not None
    assert found.stop_price == pytest.approx(100.0 * (1.0 - CONFIG.min_stop_fraction))


def test_it_stays_out_where_opinions_are_unreliable_or_the_market_is_unknown() -> None:
    """ORC-11: the verdict visibly changes what is done."""
    assert proposed(validation=scene.validation("unreliable")) is None
    assert proposed(market=Missing("none")) is None
    assert proposed(consensus=None) is None


def test_it_sells_short_only_where_that_is_possible() -> None:
    """ORC-64"""
    assert proposed(0.4) is None
    found = proposed(0.4, instrument=scene.instrument(shortable=True))
    assert found is not None
    assert found.side is Side.SELL
    assert found.stop_price is not None
    assert found.stop_price > 100.0
