"""Phase 6: one probability out of many, and the ensemble's own entry."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.phases.ensemble import combine, hierarchical_weights, propose_ensemble
from engine.types.opinions import Consensus, Missing, Proposal, Side
from tests.engine.books import instrument
from tests.engine.phases.scene import CONFIG, RELIABLE, UNRELIABLE, consensus, market

LONG_ONLY = instrument()
SHORTABLE = instrument(shortable=True)
crowds = st.lists(
    st.tuples(st.floats(0.0, 1.0), st.integers(0, 1), st.floats(0.01, 50.0), st.integers(0, 200)),
    min_size=1,
    max_size=8,
)
Crowd = list[tuple[float, int, float, int]]


def combined(crowd: Crowd) -> Consensus:
    """Everybody kept."""
    n = len(crowd)
    probabilities, groups, skills, settled = ([member[k] for member in crowd] for k in range(4))
    found = combine(
        [f"s{i}" for i in range(n)],
        np.array(probabilities),
        np.ones(n, dtype=np.bool_),
        np.array(groups, dtype=np.int64),
        np.array(skills),
        np.array(settled, dtype=np.int64),
        "reliable",
    )
    assert found is not None
    return found


def of(*values: float, settled: int = 50) -> Consensus:
    return combined([(value, 0, 1.0, settled) for value in values])


@settings(max_examples=200, deadline=None)
@given(crowds, st.floats(0.0, 1.0))
def test_unanimous_opinions_come_out_unchanged(crowd: Crowd, p: float) -> None:
    """ORC-12: to the last digit, whatever the weights."""
    assert combined([(p, *rest) for _, *rest in crowd]).probability_up == p  # type: ignore[misc]


@settings(max_examples=200, deadline=None)
@given(crowds)
def test_weights_sum_to_one_and_the_consensus_stays_between_the_opinions(crowd: Crowd) -> None:
    """ORC-12: over contributors; uncertainty is a standard deviation of a probability."""
    result = combined(crowd)
    assert sum(result.weights) == pytest.approx(1.0)
    assert min(result.weights) > 0.0
    assert len(result.weights) == len(result.contributors) == len(crowd)
    values = [p for p, _, _, _ in crowd]
    assert min(values) <= result.probability_up <= max(values)
    assert 0.0 <= result.uncertainty <= 0.5


def test_many_rules_do_not_outvote_one_predictor_by_number() -> None:
    """ORC-12: hierarchy; each group has half, its members share it."""
    groups = np.array([0, 0, 0, 0, 1])
    weights = hierarchical_weights(np.ones(5, dtype=np.bool_), groups, np.ones(5))
    assert weights == pytest.approx([0.125] * 4 + [0.5])


def test_the_more_skilled_source_weighs_more() -> None:
    """ORC-12: adaptive weights; twice the skill is twice the weight in its group."""
    together = np.zeros(2, dtype=np.int64)
    weights = hierarchical_weights(np.ones(2, dtype=np.bool_), together, np.array([2.0, 1.0]))
    assert weights == pytest.approx([2 / 3, 1 / 3])
    assert combined([(0.8, 0, 9.0, 0), (0.3, 0, 1.0, 0)]).probability_up > 0.7


def test_a_lone_predictor_and_a_crowd_of_none() -> None:
    """ORC-12: a group's number says nothing of how many sources there are."""
    assert combined([(0.7, 1, 1.0, 0)]).probability_up == 0.7
    nobody = np.zeros(1, dtype=np.bool_)
    one, settled = np.ones(1), np.zeros(1, dtype=np.int64)
    assert combine(["s0"], one, nobody, np.ones(1, dtype=np.int64), one, settled, "weak") is None


def test_uncertainty_grows_with_disagreement_and_shrinks_with_evidence() -> None:
    """ORC-12: it is reported and it means something."""
    assert of(0.8, 0.2).uncertainty > of(0.6, 0.4).uncertainty > of(0.5, 0.5).uncertainty > 0.0
    assert of(0.6, 0.6, settled=5).uncertainty > of(0.6, 0.6, settled=150).uncertainty


def test_uncertainty_of_one_source_is_the_sampling_error_of_its_record() -> None:
    """ORC-12: sqrt(p (1 - p) / (n + 1)) by hand."""
    assert of(0.6, settled=99).uncertainty == pytest.approx(sqrt(0.6 * 0.4 / 100))


def test_uncertainty_is_about_as_large_as_the_error() -> None:
    """ORC-12: calibrated. Sources that each saw 60 outcomes of a chance nobody was told: the
    consensus is off by less than two uncertainties nearly always, and not by far less."""
    rng = np.random.default_rng(8)
    ratios = []
    for _ in range(2_000):
        chance, n_sources = rng.uniform(0.3, 0.7), int(rng.integers(2, 6))
        seen = rng.binomial(60, chance, n_sources) / 60.0
        found = of(*seen.tolist(), settled=60)
        ratios.append((found.probability_up - chance) / found.uncertainty)
    assert 0.93 < np.mean(np.abs(ratios) < 2.0) <= 1.0
    assert 0.4 < np.std(ratios) < 1.1


def believed(voice: list[float], *values: float) -> Consensus:
    n = len(values)
    found = combine(
        [f"s{i}" for i in range(n)],
        np.array(values),
        np.ones(n, dtype=np.bool_),
        np.zeros(n, dtype=np.int64),
        np.ones(n),
        np.full(n, 50),
        "reliable",
        np.array(voice),
    )
    assert found is not None
    return found


def test_an_opinion_moves_the_consensus_as_far_as_it_is_believed() -> None:
    """ORC-12: 0 leaves even chances, a half leaves half of the lean; confluence still counts it."""
    assert believed([0.0, 0.0], 0.9, 0.8).probability_up == 0.5
    assert believed([0.5, 0.5], 0.7, 0.7).probability_up == pytest.approx(0.6)
    assert believed([1.0, 1.0], 0.7, 0.7).probability_up == 0.7
    assert believed([0.0, 0.0], 0.9, 0.8).confluence(Side.BUY) == 2


def test_confluence_counts_sources_by_the_side_they_lean_to() -> None:
    """OPT-13: one at 0.5 leans nowhere."""
    result = of(0.6, 0.7, 0.5, 0.2)
    assert (result.confluence(Side.BUY), result.confluence(Side.SELL)) == (2, 1)


def own_entry(probability_up: float, **changes: object) -> Proposal | None:
    given: dict[str, object] = {
        "instrument": LONG_ONLY,
        "price": 100.0,
        "market": market(),
        "validation": RELIABLE,
        "consensus": consensus(probability_up),
        "config": CONFIG,
    }
    return propose_ensemble(**{**given, **changes})  # type: ignore[arg-type]


def test_the_ensemble_enters_from_its_threshold_on() -> None:
    """ORC-64"""
    assert own_entry(0.524) is None
    buy = own_entry(0.525)
    assert buy is not None and buy.side is Side.BUY and buy.reason_code == "ENSEMBLE_ENTRY"


def test_it_sells_short_only_what_can_be_sold_short() -> None:
    """ORC-64: stop above, target below."""
    assert own_entry(0.3) is None
    sell = own_entry(0.3, instrument=SHORTABLE)
    assert sell is not None and sell.side is Side.SELL
    assert sell.stop_price is not None and sell.target_price is not None
    assert sell.target_price < 100.0 < sell.stop_price


def test_stop_and_target_are_multiples_of_the_expected_move() -> None:
    """ORC-13: volatility sets the distance, a floor keeps it from vanishing."""
    sigma = 0.001 * sqrt(CONFIG.horizon_bars)
    buy = own_entry(0.6)
    assert buy is not None
    assert buy.stop_price == pytest.approx(100.0 * (1.0 - CONFIG.stop_sigmas * sigma))
    assert buy.target_price == pytest.approx(100.0 * (1.0 + CONFIG.target_sigmas * sigma))
    still = own_entry(0.6, market=market(volatility_bar_fraction=0.0))
    assert still is not None
    assert still.stop_price == pytest.approx(100.0 * (1.0 - CONFIG.min_stop_fraction))


@pytest.mark.parametrize(
    "changes",
    [
        {"consensus": None},
        {"validation": None},
        {"validation": UNRELIABLE},
        {"market": Missing("not warm")},
        {"consensus": consensus(0.6, confluence_up=1)},
    ],
    ids=["no consensus", "not validated", "unreliable", "no market", "alone"],
)
def test_it_does_not_enter_on_less_than_all_it_needs(changes: dict[str, object]) -> None:
    """ORC-11, ORC-58, OPT-13"""
    assert own_entry(0.6) is not None
    assert own_entry(0.6, **changes) is None


def test_confidence_grows_with_probability_and_agreement_up_to_one() -> None:
    def confidence(p: float, agreement: float) -> float:
        validation = replace(RELIABLE, agreement=agreement)
        proposal = own_entry(p, validation=validation)
        assert proposal is not None
        return proposal.confidence

    assert confidence(0.55, 0.2) < confidence(0.6, 0.2) < confidence(0.6, 0.8)
    assert confidence(1.0, 1.0) == 1.0
