"""The challenger: a logistic model of "this trade will win", learned one outcome at a time.

It sees the formula's inputs and must earn its place: formula and model each forecast every
outcome before they learn from it, the formula through a calibration of its own, and a betting
test on the paired Brier losses decides. The test's error holds at whatever moment it is looked
at. Weights never fall below 0, so the score stays non-decreasing in each input (OPT-09).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, log

from optimization.core.config import QualitySettings
from optimization.core.outcome import QualityInputs

N_INPUTS = 4
# Shares of capital a bet may risk; a Brier difference lies in [-1, 1].
_BETS: tuple[float, ...] = (0.1, 0.3, 0.6, 0.9)
_EVEN: tuple[float, ...] = (1.0,) * len(_BETS)
_SUREST = 0.02
_L2 = 1e-3
_CEILING = 1e15


@dataclass(frozen=True, slots=True)
class LearnedState:
    """What was learned; ``weights`` are the bias and one a input, around the middle of each.

    ``calibration`` turns the formula's score into a probability (bias, slope). ``capitals`` are
    those of the running test: against the formula while ``champion`` is False, against the model
    while it is True. ``gained_r``/``lost_r`` sum |R| of wins and losses.
    """

    outcomes: int = 0
    weights: tuple[float, ...] = (0.0,) * (N_INPUTS + 1)
    calibration: tuple[float, float] = (0.0, 1.0)
    capitals: tuple[float, ...] = _EVEN
    champion: bool = False
    wins: int = 0
    losses: int = 0
    gained_r: float = 0.0
    lost_r: float = 0.0
    loss_formula: float = 0.0
    loss_learned: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The paired test has spoken: who scores from now on, and on what evidence."""

    promoted: bool
    outcomes: int
    brier_formula: float
    brier_learned: float
    evidence: float


def win_probability(state: LearnedState, inputs: QualityInputs) -> float:
    """Return the model's probability that the trade ends with R above 0."""
    return _sigmoid(_dot(state.weights, inputs))


def formula_probability(state: LearnedState, formula: float) -> float:
    """Return the calibrated probability that a formula score stands for."""
    bias, slope = state.calibration
    return _sigmoid(bias + slope * _logit(formula))


def break_even_probability(state: LearnedState, settings: QualitySettings) -> float:
    """Return the win probability at which the expected R is 0, given mean win and loss.

    Pulled towards 0.5 (wins as large as losses) by ``prior_trades`` trades each.
    """
    prior = settings.prior_trades
    win = (state.gained_r + prior) / (state.wins + prior)
    loss = (state.lost_r + prior) / (state.losses + prior)
    return min(max(loss / (win + loss), 0.05), 0.95)


def learned_score(
    state: LearnedState, inputs: QualityInputs, threshold: float, settings: QualitySettings
) -> float:
    """Return the model's score in [0, 1] on the formula's scale.

    It equals ``threshold`` where the expected R is 0: the one threshold keeps its meaning.
    """
    p, needed = win_probability(state, inputs), break_even_probability(state, settings)
    return _sigmoid(_logit(threshold) + _logit(p) - _logit(needed))


def learn(
    state: LearnedState,
    inputs: QualityInputs,
    formula: float,
    r_multiple: float,
    settings: QualitySettings,
) -> tuple[LearnedState, Verdict | None]:
    """Return the state after one outcome, with the verdict where the test has just spoken."""
    won = 1.0 if r_multiple > 0.0 else 0.0
    by_model, by_formula = win_probability(state, inputs), formula_probability(state, formula)
    loss_model, loss_formula = (by_model - won) ** 2, (by_formula - won) ** 2
    trained = _trained(state, inputs, formula, r_multiple, settings)
    if trained.outcomes <= settings.learned_min_outcomes:
        return trained, None
    better = loss_formula - loss_model
    signed = -better if state.champion else better
    capitals = tuple(
        min(capital * (1.0 + bet * signed), _CEILING)
        for capital, bet in zip(state.capitals, _BETS, strict=True)
    )
    tested = replace(
        trained,
        capitals=capitals,
        loss_formula=state.loss_formula + loss_formula,
        loss_learned=state.loss_learned + loss_model,
    )
    evidence = sum(capitals) / len(capitals)
    if evidence < 1.0 / settings.promotion_alpha:
        return tested, None
    return _turned(tested, evidence, settings)


def _turned(
    state: LearnedState, evidence: float, settings: QualitySettings
) -> tuple[LearnedState, Verdict]:
    seen = state.outcomes - settings.learned_min_outcomes
    verdict = Verdict(
        promoted=not state.champion,
        outcomes=state.outcomes,
        brier_formula=state.loss_formula / seen,
        brier_learned=state.loss_learned / seen,
        evidence=evidence,
    )
    return replace(state, champion=not state.champion, capitals=_EVEN), verdict


def _trained(
    state: LearnedState,
    inputs: QualityInputs,
    formula: float,
    r_multiple: float,
    settings: QualitySettings,
) -> LearnedState:
    won = 1.0 if r_multiple > 0.0 else 0.0
    count = state.outcomes + 1
    # a rate that falls with the count settles, one that stays above a floor still follows
    rate = max(settings.learned_rate, 1.0 / (1.0 + count) ** 0.6)
    miss = win_probability(state, inputs) - won
    row = (1.0, *(value - 0.5 for value in inputs.row()))
    weights = [
        weight - rate * (miss * value + _L2 * weight)
        for weight, value in zip(state.weights, row, strict=True)
    ]
    bias, slope = state.calibration
    off, place = formula_probability(state, formula) - won, _logit(formula)
    return replace(
        state,
        outcomes=count,
        weights=(weights[0], *(max(weight, 0.0) for weight in weights[1:])),
        calibration=(bias - rate * off, max(slope - rate * off * place, 0.0)),
        wins=state.wins + (r_multiple > 0.0),
        losses=state.losses + (r_multiple < 0.0),
        gained_r=state.gained_r + max(r_multiple, 0.0),
        lost_r=state.lost_r + max(-r_multiple, 0.0),
    )


def _dot(weights: tuple[float, ...], inputs: QualityInputs) -> float:
    pairs = zip(weights[1:], inputs.row(), strict=True)
    return weights[0] + sum(weight * (value - 0.5) for weight, value in pairs)


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + exp(-min(max(x, -30.0), 30.0)))


def _logit(p: float) -> float:
    clipped = min(max(p, _SUREST), 1.0 - _SUREST)
    return log(clipped / (1.0 - clipped))
