"""What the predictors are worth, measured where the answer is known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from engine.types.bars import ColumnStore
from market.sources.instruments import instrument_for
from research.core.planted import planted, shuffled
from research.core.predictor_evaluation import EvaluationSettings, evaluate, pooled
from research.core.predictor_verdicts import Answers, SourceResult, results
from strategies.core.errors import StrategyError
from strategies.core.registry import CONTROLS, PREDICTORS, RULES
from tests.bar_factory import cut, random_walk

FAST = EvaluationSettings(
    horizon_bars=6,
    first_share=0.5,
    retrain_rows=2_500,
    parameters={
        "gradient-boosting": {"rounds": 60, "learning_rate": 0.08},
        "forest": {"rounds": 40},
        "neural-network": {"rounds": 10},
    },
)
SYMBOL = "BTC/USDT"
# candles bring no order book
ASKED = [name for name in PREDICTORS if name != "microstructure"]


def answers_of(bars: object, settings: EvaluationSettings = FAST) -> Answers:
    return evaluate(instrument_for(SYMBOL, bars), ColumnStore(bars), settings)  # type: ignore[arg-type]


@cache
def of_planted(strength: float, mixed: bool = False) -> dict[str, SourceResult]:
    bars = planted(8_000, strength, np.random.default_rng(5), 60_000).bars
    if mixed:
        bars = shuffled(bars, np.random.default_rng(6))
    return {found.name: found for found in results(answers_of(bars), 6, 1)}


def test_every_source_is_measured_on_the_same_rows() -> None:
    """ORC-83: rules, predictors, ensemble and baselines, each with every figure."""
    found = of_planted(0.8)
    assert list(found) == [*RULES, *ASKED, "ensemble", *CONTROLS]
    assert len({source.metrics.n for source in found.values()}) == 1
    for source in found.values():
        plain = source.as_json()
        for name in ("log_loss", "brier", "accuracy", "auc", "ece", "information_coefficient"):
            value, (low, high) = plain[name], plain["intervals"][name]  # type: ignore[index, call-overload]
            assert isinstance(value, float)
            assert low <= high


@pytest.mark.parametrize("name", [*ASKED, "ensemble"])
def test_planted_signal_is_found(name: str) -> None:
    """D-55, ORC-81, ORC-83: proven better than the base rate, in words too."""
    source = of_planted(0.8)[name]
    assert source.verdict == "beats"
    assert source.sentence.startswith(f"{name} beats the base rate (log loss difference -0.")
    assert source.metrics.auc.low > 0.52
    assert source.metrics.information_coefficient.low > 0.0


@pytest.mark.parametrize("name", [*ASKED, "ensemble"])
def test_shuffled_series_has_nothing_to_find(name: str) -> None:
    """D-55: of the very series whose signal was found, in random order."""
    source = of_planted(0.8, mixed=True)[name]
    assert source.verdict != "beats"
    assert source.metrics.auc.low < 0.5 + 0.02
    assert abs(source.against_base_rate.value) < 0.003


def of_rules(strength: float) -> tuple[float, float]:
    """Mean differences to the base rate over four series: the ensemble's and the worst rule's."""
    ensemble, worst = [], []
    for seed in (20, 21, 22, 23):
        bars = planted(5_000, strength, np.random.default_rng(seed), 60_000).bars
        answers = answers_of(bars, replace(FAST, predictors=()))
        found = {source.name: source for source in results(answers, 6, 1)}
        assert found["ensemble"].verdict != "loses to"
        ensemble.append(found["ensemble"].against_base_rate.value)
        worst.append(max(found[rule].against_base_rate.value for rule in RULES))
    return float(np.mean(ensemble)), float(np.mean(worst))


def test_rules_that_know_nothing_cannot_hurt_the_ensemble() -> None:
    """ORC-12, ORC-83: on random walks their leans cost what they cost, the ensemble nothing."""
    ensemble, worst = of_rules(0.0)
    assert ensemble < 0.0005 < 0.001 < worst


def test_of_rules_that_contradict_each_other_those_that_are_right_are_heard() -> None:
    """ORC-12: where prices swing back the followers of trends lose and the one rule that expects
    it wins; believed all alike they would cancel out (-0.001)."""
    ensemble, worst = of_rules(0.8)
    assert ensemble < -0.005
    assert worst > 0.005


def test_nothing_answered_depends_on_later_bars() -> None:
    """ORC-08, ORC-83: with other bars from some bar on, all answers up to it are the same."""
    bars = random_walk(7, 4_000)
    long = answers_of(bars)
    changed = random_walk(8, 4_000)
    mixed = cut(bars, 0, 4_000)
    for name in ("open", "high", "low", "close", "volume"):
        column = getattr(mixed, name).copy()
        scale = bars.close[3_000] / changed.close[3_000] if name != "volume" else 1.0
        column[3_001:] = getattr(changed, name)[3_001:] * scale
        object.__setattr__(mixed, name, column)
    other = answers_of(mixed)
    same = long.ts_ms <= bars.ts_ms[3_000] + 60_000
    assert same.sum() > 800
    for name, probability in long.probability_up.items():
        np.testing.assert_array_equal(probability[same], other.probability_up[name][same])
    assert any(
        (p[~same] != other.probability_up[n][~same]).any() for n, p in long.probability_up.items()
    )


def test_same_bars_and_seed_give_the_same_answers() -> None:
    """I-26"""
    bars = random_walk(9, 3_000)
    first, again = answers_of(bars), answers_of(bars)
    for name, probability in first.probability_up.items():
        np.testing.assert_array_equal(probability, again.probability_up[name])


def test_models_are_trained_anew_and_windows_roll() -> None:
    """ORC-16, ORC-83"""
    bars = random_walk(10, 4_000)
    chosen = EvaluationSettings(
        horizon_bars=6,
        first_share=0.3,
        retrain_rows=1_000,
        max_train_rows=1_000,
        predictors=("forest",),
        parameters={"forest": {"rounds": 5}},
    )
    told: list[str] = []
    found = evaluate(instrument_for(SYMBOL, bars), ColumnStore(bars), chosen, told.append)
    assert found.n_trainings == len(told) >= 3
    assert all("trained on 1000 rows" in line for line in told)
    assert set(found.probability_up) == {*RULES, "forest", "ensemble", *CONTROLS}


def test_base_rate_is_the_running_mean_of_known_outcomes() -> None:
    """ORC-83: by hand, on every row; nothing of the last horizon is in it."""
    bars = random_walk(11, 2_500)
    chosen = EvaluationSettings(horizon_bars=6, predictors=("online-linear",))
    found = evaluate(instrument_for(SYMBOL, bars), ColumnStore(bars), chosen)
    base = found.probability_up["base-rate"]
    first_ms = int(found.ts_ms[0])
    close_ms = bars.ts_ms + 60_000
    first = int(np.flatnonzero(close_ms == first_ms)[0])
    ups = (bars.close[6:] > bars.close[:-6]).astype(float)
    for offset in (0, 100, len(base) - 1):
        known = ups[_first_ready(bars) : first + offset - 6 + 1]
        assert base[offset] == pytest.approx((known.sum() + 10.0) / (len(known) + 20.0))


def _first_ready(bars: object) -> int:
    from engine.features import feature_frame

    return int(np.flatnonzero(feature_frame(ColumnStore(bars)).ready)[0])  # type: ignore[arg-type]


def test_several_evaluations_are_pooled_end_to_end() -> None:
    part = answers_of(random_walk(12, 2_400), EvaluationSettings(predictors=("online-linear",)))
    both = pooled([part, part])
    assert len(both.outcome_up) == 2 * len(part.outcome_up)
    one, two = (results(answers, 12, 1)[0].metrics.log_loss for answers in (part, both))
    assert one.value == pytest.approx(two.value)


def test_too_short_a_series_is_refused_in_one_line() -> None:
    with pytest.raises(StrategyError, match=r"labelled rows were .*, needed are at least"):
        answers_of(random_walk(13, 700))
