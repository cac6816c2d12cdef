"""The score of a signal: what it is made of, what it can reach, and when the model takes over."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.types.opinions import REGIMES, Missing, Regime
from optimization.core.config import LayerSettings, QualitySettings
from optimization.core.errors import UnknownRegime
from optimization.core.outcome import QualityInputs
from optimization.core.quality.formula import formula_score, reachable
from optimization.core.quality.inputs import (
    HOUR_MS,
    alignment,
    confluence_share,
    history_score,
    parse_regime,
)
from optimization.core.quality.learned import (
    LearnedState,
    Verdict,
    break_even_probability,
    formula_probability,
    learn,
    learned_score,
    win_probability,
)
from tests.engine.phases.scene import market

SETTINGS = QualitySettings()
THRESHOLD = LayerSettings().quality_threshold
SHARE = st.floats(0.0, 1.0)
INPUTS = st.builds(QualityInputs, SHARE, SHARE, SHARE, SHARE)
NAMES = ("confidence", "confluence", "alignment", "history")


@given(INPUTS, st.sampled_from(NAMES), SHARE)
def test_the_formula_lies_in_its_range_and_never_falls_as_an_input_rises(
    inputs: QualityInputs, name: str, other: float
) -> None:
    """OPT-09"""
    low, high = sorted((getattr(inputs, name), other))
    below = formula_score(replace(inputs, **{name: low}), SETTINGS)
    above = formula_score(replace(inputs, **{name: high}), SETTINGS)
    assert 0.0 <= below <= above <= 1.0
    if high - low > 1e-9:
        assert below < above


def test_the_formula_by_hand() -> None:
    """OPT-09: 0.30 c + 0.20 k + 0.25 a + 0.25 h."""
    assert formula_score(QualityInputs(0.8, 0.75, 0.6, 0.4), SETTINGS) == pytest.approx(0.64)
    assert formula_score(QualityInputs(0.0, 0.0, 0.0, 0.0), SETTINGS) == 0.0
    assert formula_score(QualityInputs(1.0, 1.0, 1.0, 1.0), SETTINGS) == pytest.approx(1.0)


@pytest.mark.parametrize("sources", [1, 2, 3])
@pytest.mark.parametrize("regime", REGIMES)
def test_the_threshold_can_be_passed_and_missed_in_each_regime_with_each_confluence(
    regime: Regime, sources: int
) -> None:
    """OPT-13, D-04: confluence 1 passes where the rest is strong, 3 sources save nothing weak."""
    shares = tuple(0.7 if one is regime else 0.1 for one in REGIMES)
    aligned = alignment(market(regime=regime, regime_probabilities=shares), {regime})
    assert aligned == pytest.approx(0.7)
    won, lost = [(0, 1.0)] * 30, [(0, -1.0)] * 30
    strong = QualityInputs(0.9, confluence_share(sources), aligned, history_score(won, 0, SETTINGS))
    weak = QualityInputs(0.5, confluence_share(sources), 0.1, history_score(lost, 0, SETTINGS))
    assert formula_score(strong, SETTINGS) >= THRESHOLD > formula_score(weak, SETTINGS)
    low, high = reachable(SETTINGS, confluence_share(sources), aligned)
    assert low < THRESHOLD < high


def test_each_source_that_agrees_halves_the_doubt() -> None:
    """OPT-13"""
    assert [confluence_share(k) for k in (-1, 0, 1, 2, 3)] == [0.0, 0.0, 0.5, 0.75, 0.875]


def test_alignment_is_the_probability_of_the_regimes_it_was_made_for() -> None:
    """OPT-09, OPT-21: by declared regimes, never by the strategy's name (AW-13)."""
    view = market(regime_probabilities=(0.5, 0.3, 0.15, 0.05))
    assert alignment(view, {Regime.TRENDING, Regime.VOLATILE}) == pytest.approx(0.65)
    assert alignment(view, {Regime.QUIET}) == pytest.approx(0.05)
    assert alignment(view, frozenset()) == 0.5
    assert alignment(Missing("not warm"), {Regime.QUIET}) == 0.5


@pytest.mark.parametrize("label", ["TRENDING", "trending", " Trending "])
def test_a_regime_label_is_read_whatever_its_case(label: str) -> None:
    """OPT-10"""
    assert parse_regime(label) is Regime.TRENDING


def test_an_unknown_regime_label_is_refused_by_name() -> None:
    """OPT-10"""
    with pytest.raises(UnknownRegime, match="regime was 'SIDEWAYS', allowed: TRENDING"):
        parse_regime("SIDEWAYS")


# -- history ---------------------------------------------------------------------------------------

RS = st.lists(st.floats(-3.0, 5.0), min_size=1, max_size=50)


def test_wins_raise_and_losses_lower_the_score_pulled_towards_neutral() -> None:
    """OPT-80, AW-12: by realised outcomes; few trades say little."""
    nothing = history_score([], 0, SETTINGS)
    assert nothing == 0.5
    few, many = ([(0, 1.0)] * n for n in (3, 30))
    lost = [(0, -1.0)] * 30
    scores = [history_score(one, 0, SETTINGS) for one in (lost, [], few, many)]
    assert scores == sorted(set(scores))
    assert scores[0] < 0.15 and scores[-1] > 0.85


@given(RS, st.integers(0, 49), st.floats(0.0, 4.0))
def test_history_never_falls_when_a_trade_ends_better(
    rs: list[float], index: int, gain: float
) -> None:
    """OPT-09, OPT-80: in hit rate and in mean R."""
    at = index % len(rs)
    better = [r + gain if i == at else r for i, r in enumerate(rs)]
    before, after = (history_score([(0, r) for r in one], 0, SETTINGS) for one in (rs, better))
    assert 0.0 <= before <= after <= 1.0


def test_what_history_says_fades_with_time() -> None:
    """OPT-80: a strategy whose signals are all filtered is not judged by old trades for ever."""
    lost = [(0, -1.0)] * 30
    half_life_ms = round(SETTINGS.history_half_life_hours * HOUR_MS)
    now, later, much_later = (
        history_score(lost, at, SETTINGS) for at in (0, half_life_ms, 20 * half_life_ms)
    )
    assert now < later < much_later
    moved = [(half_life_ms, -1.0)] * 30
    assert history_score(moved, 2 * half_life_ms, SETTINGS) == later, "by its age alone"
    assert much_later == pytest.approx(0.5, abs=1e-3)


def test_one_lucky_trade_cannot_carry_the_history() -> None:
    """OPT-80: R counts up to 5."""
    assert history_score([(0, 500.0)], 0, SETTINGS) == history_score([(0, 5.0)], 0, SETTINGS)


# -- the challenger --------------------------------------------------------------------------------


def taught(
    n: int, sees: bool, seed: int = 3, start: LearnedState | None = None
) -> tuple[LearnedState, list[Verdict]]:
    """Teach the model ``n`` outcomes: the alignment alone decides (``sees``), or nothing does."""
    rng = np.random.default_rng(seed)
    state, verdicts = start or LearnedState(), []
    for _ in range(n):
        row = QualityInputs(*(float(x) for x in rng.random(4)))
        chance = 0.1 + 0.8 * row.alignment if sees else 0.5
        r = 1.0 if rng.random() < chance else -1.0
        state, verdict = learn(state, row, formula_score(row, SETTINGS), r, SETTINGS)
        if verdict is not None:
            verdicts.append(verdict)
    return state, verdicts


def test_a_model_that_predicts_better_is_promoted_with_its_evidence() -> None:
    """OPT-80: out of sample and paired; both losses stand in the verdict."""
    state, verdicts = taught(1_500, sees=True)
    assert state.champion and len(verdicts) == 1
    first = verdicts[0]
    assert first.promoted and first.brier_learned < first.brier_formula
    assert first.outcomes > SETTINGS.learned_min_outcomes
    assert first.evidence >= 1.0 / SETTINGS.promotion_alpha


def test_noise_promotes_nobody() -> None:
    """OPT-80: at most one in twenty by chance; here none of twelve."""
    assert sum(len(taught(400, sees=False, seed=seed)[1]) for seed in range(12)) == 0


def test_a_champion_that_predicts_worse_than_the_formula_is_demoted() -> None:
    """OPT-80: the same test the other way round; this one is sure of what decides nothing."""
    slow = replace(SETTINGS, learned_rate=1e-4)
    state = LearnedState(outcomes=10_000, weights=(0.0, 0.0, 0.0, 9.0, 0.0), champion=True)
    rng, verdict = np.random.default_rng(5), None
    for _ in range(400):
        row = QualityInputs(*(float(x) for x in rng.random(4)))
        r = 1.0 if rng.random() < 0.1 + 0.8 * row.confidence else -1.0
        state, verdict = learn(state, row, formula_score(row, slow), r, slow)
        if verdict is not None:
            break
    assert verdict is not None and not verdict.promoted
    assert verdict.brier_formula < verdict.brier_learned
    assert not state.champion


@given(INPUTS, st.sampled_from(NAMES), SHARE, st.integers(0, 3))
def test_the_learned_score_never_falls_as_an_input_rises(
    inputs: QualityInputs, name: str, other: float, seed: int
) -> None:
    """OPT-09: also of a model taught that more is worse."""
    state = BACKWARDS[seed]
    low, high = sorted((getattr(inputs, name), other))
    below, above = (
        learned_score(state, replace(inputs, **{name: value}), THRESHOLD, SETTINGS)
        for value in (low, high)
    )
    assert 0.0 <= below <= above <= 1.0


def _backwards(seed: int) -> LearnedState:
    rng = np.random.default_rng(seed)
    state = LearnedState()
    for _ in range(200):
        row = QualityInputs(*(float(x) for x in rng.random(4)))
        r = -1.0 if rng.random() < row.confidence else 1.0
        state, _ = learn(state, row, formula_score(row, SETTINGS), r, SETTINGS)
    return state


BACKWARDS = [_backwards(seed) for seed in range(4)]


def test_the_learned_score_is_the_threshold_where_the_expected_r_is_nothing() -> None:
    """OPT-12: one threshold, whoever scores; wins of 2 R need one in three."""
    state = LearnedState(wins=5_000, losses=5_000, gained_r=10_000.0, lost_r=5_000.0)
    needed = break_even_probability(state, SETTINGS)
    assert needed == pytest.approx(1 / 3, abs=2e-3)
    inputs = QualityInputs(0.5, 0.5, 0.5, 0.5)
    bias = float(np.log(needed / (1.0 - needed)))
    even = replace(state, weights=(bias, 1.0, 1.0, 1.0, 1.0))
    assert win_probability(even, inputs) == pytest.approx(needed)
    assert learned_score(even, inputs, THRESHOLD, SETTINGS) == pytest.approx(THRESHOLD)
    better = replace(even, weights=(bias + 0.1, 1.0, 1.0, 1.0, 1.0))
    assert learned_score(better, inputs, THRESHOLD, SETTINGS) > THRESHOLD


def test_an_untaught_model_has_no_opinion() -> None:
    """OPT-80: one half for every signal, and no score before enough outcomes."""
    for inputs in (QualityInputs(0.0, 0.0, 0.0, 0.0), QualityInputs(1.0, 0.2, 0.9, 0.4)):
        assert win_probability(LearnedState(), inputs) == 0.5
    assert break_even_probability(LearnedState(), SETTINGS) == 0.5


def test_no_run_of_bad_forecasts_ruins_the_paired_test() -> None:
    """OPT-80: a bet never risks all, so a model that was wrong may still prove itself."""
    state = LearnedState(outcomes=1_000, weights=(30.0, 0.0, 0.0, 0.0, 0.0))
    inputs = QualityInputs(0.5, 0.5, 0.5, 0.5)
    for _ in range(20):
        state, _ = learn(state, inputs, 0.05, -1.0, replace(SETTINGS, learned_rate=1e-4))
        assert all(0.0 < capital < 1.0 for capital in state.capitals)


def test_wins_and_losses_are_counted_each_on_its_side() -> None:
    """OPT-80: mean win and mean loss make the break-even probability."""
    state = LearnedState()
    for r in (2.0, -1.0, 0.0, 3.0):
        state, _ = learn(state, QualityInputs(0.5, 0.5, 0.5, 0.5), 0.5, r, SETTINGS)
    assert (state.wins, state.losses, state.gained_r, state.lost_r) == (2, 1, 5.0, 1.0)
    assert state.outcomes == 4


def test_the_formulas_calibration_learns_how_often_a_score_wins() -> None:
    """OPT-80: the champion is beaten at its best, not at its rawest."""
    rng, state = np.random.default_rng(4), LearnedState()
    for _ in range(3_000):
        score = float(rng.random())
        row = QualityInputs(score, score, score, score)
        chance = 0.3 + 0.2 * (score > 0.5)
        r = 1.0 if rng.random() < chance else -1.0
        state, _ = learn(state, row, formula_score(row, SETTINGS), r, SETTINGS)
    low, high = formula_probability(state, 0.2), formula_probability(state, 0.8)
    assert low == pytest.approx(0.3, abs=0.1) and high == pytest.approx(0.5, abs=0.1)
    assert low < high


def test_formula_and_model_are_scored_on_what_they_said_before_they_knew() -> None:
    """OPT-89: a forecast made after its own outcome was learned would be look-ahead."""
    state, _ = taught(SETTINGS.learned_min_outcomes + 20, sees=True)
    row = QualityInputs(0.9, 0.2, 0.8, 0.4)
    score = formula_score(row, SETTINGS)
    for r, won in ((2.0, 1.0), (-1.0, 0.0)):
        after, _ = learn(state, row, score, r, SETTINGS)
        by_model, by_formula = win_probability(state, row), formula_probability(state, score)
        assert after.loss_learned - state.loss_learned == pytest.approx((by_model - won) ** 2)
        assert after.loss_formula - state.loss_formula == pytest.approx((by_formula - won) ** 2)
        assert win_probability(after, row) != by_model


def test_the_test_turns_at_its_stated_error_and_says_on_how_many_outcomes() -> None:
    """OPT-80: 5 % of error is evidence of 20 to one; figures are means over what was compared."""
    quality = QualitySettings()
    inputs = QualityInputs(0.5, 0.5, 0.5, 0.5)
    seen = LearnedState(outcomes=149, loss_formula=12.0, loss_learned=9.0)
    for capital, is_turned in ((19.0, False), (21.0, True)):
        # with an answer of one half from both the capitals stay what they are
        state = replace(seen, capitals=(capital,) * 4)
        after, verdict = learn(state, inputs, 0.5, 1.0, quality)
        assert (verdict is not None) is is_turned is after.champion
    assert verdict is not None and (verdict.promoted, verdict.outcomes) == (True, 150)
    assert verdict.evidence == pytest.approx(21.0)
    assert verdict.brier_formula == pytest.approx(12.25 / 50)
    assert verdict.brier_learned == pytest.approx(9.25 / 50)


def logit(p: float) -> float:
    return log(p / (1.0 - p))


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + exp(-x))


@pytest.mark.parametrize(("outcomes", "rate"), [(0, 2.0**-0.6), (10_000, SETTINGS.learned_rate)])
@pytest.mark.parametrize(("r", "won"), [(2.0, 1.0), (0.0, 0.0), (-1.0, 0.0)])
def test_one_lesson_by_hand(outcomes: int, rate: float, r: float, won: float) -> None:
    """OPT-80: the gradient of the log loss around the middle of each input, shrunk a little."""
    start, calibration = (0.2, 0.8, 0.01, 0.5, 0.3), (0.1, 0.9)
    state = LearnedState(outcomes=outcomes, weights=start, calibration=calibration)
    row = QualityInputs(0.9, 0.2, 0.8, 0.4)
    after, _ = learn(state, row, 0.64, r, SETTINGS)
    values = (1.0, 0.4, -0.3, 0.3, -0.1)
    miss = sigmoid(sum(w * v for w, v in zip(start, values, strict=True))) - won
    moved = [w - rate * (miss * v + 0.001 * w) for w, v in zip(start, values, strict=True)]
    assert after.weights == pytest.approx([moved[0], *(max(w, 0.0) for w in moved[1:])])
    off = sigmoid(0.1 + 0.9 * logit(0.64)) - won
    bias, slope = 0.1 - rate * off, 0.9 - rate * off * logit(0.64)
    assert after.calibration == pytest.approx((bias, slope))
    assert after.outcomes == outcomes + 1


@pytest.mark.parametrize("champion", [False, True])
def test_the_bets_of_the_paired_test_by_hand(champion: bool) -> None:
    """OPT-80: shares of 10, 30, 60 and 90 % on whoever is not in place, from the 101st on."""
    row = QualityInputs(0.9, 0.5, 0.5, 0.5)
    state = LearnedState(outcomes=99, weights=(1.0, 0.0, 0.0, 0.0, 0.0), champion=champion)
    untested, _ = learn(state, row, 0.3, 1.0, SETTINGS)
    assert (untested.outcomes, untested.loss_formula, untested.loss_learned) == (100, 0.0, 0.0)
    assert untested.capitals == LearnedState().capitals == (1.0, 1.0, 1.0, 1.0)
    after, _ = learn(replace(state, outcomes=100), row, 0.3, 1.0, SETTINGS)
    by_formula, by_model = (0.3 - 1.0) ** 2, (sigmoid(1.0) - 1.0) ** 2
    better = (by_model - by_formula) if champion else (by_formula - by_model)
    assert after.capitals == pytest.approx([1.0 + bet * better for bet in (0.1, 0.3, 0.6, 0.9)])
    assert (after.loss_formula, after.loss_learned) == pytest.approx((by_formula, by_model))


def test_whoever_takes_over_begins_with_even_capitals() -> None:
    """OPT-80: what proved one side is no evidence for the other."""
    state = LearnedState(outcomes=149, capitals=(25.0,) * 4)
    after, verdict = learn(state, QualityInputs(0.5, 0.5, 0.5, 0.5), 0.5, 1.0, SETTINGS)
    assert verdict is not None and after.capitals == (1.0, 1.0, 1.0, 1.0)


def test_no_probability_is_surer_than_it_may_be() -> None:
    """OPT-80: weights that ran away, scores at the ends, wins without a loss."""
    middle = QualityInputs(0.5, 0.5, 0.5, 0.5)
    for bias, capped in ((100.0, 30.0), (-100.0, -30.0)):
        state = LearnedState(weights=(bias, 0.0, 0.0, 0.0, 0.0))
        assert win_probability(state, middle) == pytest.approx(sigmoid(capped), rel=1e-9)
    assert formula_probability(LearnedState(), 0.0) == pytest.approx(0.02)
    assert formula_probability(LearnedState(), 1.0) == pytest.approx(0.98)
    assert break_even_probability(LearnedState(lost_r=1e6), SETTINGS) == 0.95
    assert break_even_probability(LearnedState(gained_r=1e6), SETTINGS) == 0.05
    mixed = LearnedState(wins=10, losses=30, gained_r=50.0, lost_r=10.0)
    assert break_even_probability(mixed, SETTINGS) == pytest.approx(0.5 / 3.5)


def test_a_trade_that_earned_nothing_is_no_hit_and_probabilities_are_at_most_one() -> None:
    """OPT-80, OPT-09"""
    even = history_score([(0, 0.0)] * 10, 0, SETTINGS)
    assert even == pytest.approx(0.5 * 0.25 + 0.25)
    shares = (0.5, 0.3, 0.2, 0.1)
    assert alignment(market(regime_probabilities=shares), set(REGIMES)) == 1.0
