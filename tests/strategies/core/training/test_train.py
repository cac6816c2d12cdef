"""Training a model: found what is there, found nothing where nothing is, the same twice."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from strategies.core.errors import StrategyError
from strategies.core.predictors.load import source_of
from strategies.core.trained import TrainedModel
from strategies.core.training.train import FAMILIES, MIN_TRAIN_ROWS, train
from tests.strategies.core.training.datasets import SMALL, planted, planted_model

EACH = pytest.mark.parametrize("family", FAMILIES)


def value(model: TrainedModel, name: str) -> float:
    figure = model.metrics[name]
    assert isinstance(figure, float)
    return figure


@EACH
def test_planted_signal_is_found_on_rows_the_model_never_saw(family: str) -> None:
    """ORC-81, D-55: the best possible log loss here is about 0.607, knowing nothing 0.693."""
    model = planted_model(family)
    assert value(model, "log_loss") < 0.65
    assert value(model, "auc") > 0.68
    assert value(model, "information_coefficient") > 0.3
    fresh = planted(900, 2_000, 1.0)
    source = source_of(model)
    p = np.array([source.predict(row) for row in fresh.matrix])
    loss = -np.mean(np.where(fresh.outcome_up == 1, np.log(p), np.log(1.0 - p)))
    assert loss < 0.65


def test_three_families_score_in_three_ways_of_their_own() -> None:
    """ORC-81: trees that correct each other, trees that vote, a network: one model under three
    names would answer alike."""
    rows = planted(902, 200, 1.0).matrix
    sources = {family: source_of(planted_model(family)) for family in FAMILIES}
    answers = {name: np.array([s.predict(row) for row in rows]) for name, s in sources.items()}
    assert set(answers) >= {"gradient-boosting", "forest", "neural-network"}
    for first, second in combinations(answers.values(), 2):
        assert np.mean(np.abs(first - second)) > 0.005


@EACH
def test_shuffled_outcomes_teach_nothing(family: str) -> None:
    """D-55, ORC-83: where nothing is to be learned the model stays at the base rate."""
    dataset = planted(72, 3_000, 1.0)
    shuffled = replace(
        dataset, outcome_up=np.random.default_rng(72).permutation(dataset.outcome_up)
    )
    model = train(family, shuffled, seed=5, parameters=SMALL[family])
    intervals = model.metrics["intervals"]
    assert isinstance(intervals, dict)
    low, high = intervals["auc"]
    assert low < 0.51 and high > 0.49
    assert 0.690 < value(model, "log_loss") < 0.697
    source = source_of(model)
    leans = [abs(source.predict(row) - 0.5) for row in planted(901, 500, 1.0).matrix]
    assert np.mean(leans) < 0.04


@EACH
def test_every_probability_follows_its_inputs(family: str) -> None:
    """ORC-81: no constant, hash or random output: the planted feature moves it the right way,
    the same row gives the same answer, an unrelated feature hardly moves it."""
    source = source_of(planted_model(family))
    rows = planted(902, 300, 1.0).matrix
    steps = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    means = []
    for step in steps:
        moved = rows.copy()
        moved[:, 0] = step
        means.append(np.mean([source.predict(row) for row in moved]))
    assert (np.diff(means) > 0.02).all(), means
    other = rows.copy()
    other[:, 7] = -other[:, 7]
    unrelated = [source.predict(a) - source.predict(b) for a, b in zip(rows, other, strict=True)]
    assert np.abs(unrelated).mean() < 0.1 * (means[-1] - means[0])
    assert [source.predict(row) for row in rows] == [source.predict(row) for row in rows]


@EACH
def test_same_rows_and_seed_give_the_same_model_and_another_seed_another(family: str) -> None:
    """I-26, ORC-85"""
    dataset = planted(73, 800, 1.0)
    small = {**SMALL[family], "rounds": 8.0}
    first, again, other = (
        train(family, dataset, seed=seed, parameters=small) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.digest() == again.digest() != other.digest()


@EACH
def test_model_survives_json_and_says_where_it_comes_from(family: str) -> None:
    """ORC-85: lineage is stored with the numbers."""
    model = planted_model(family)
    lineage = model.lineage
    assert (lineage.family, lineage.n_rows, lineage.seed) == (family, 3_000, 5)
    assert (lineage.features_version, lineage.horizon_bars) == ("test", 3)
    assert (lineage.trained_from_ms, lineage.trained_to_ms) == (0, 3_003 * 60_000)
    assert lineage.parameters["rounds"] == SMALL[family]["rounds"]
    payload = json.loads(json.dumps(model.payload))
    copy = TrainedModel(lineage, json.loads(json.dumps(model.metrics)), payload)
    assert copy.digest() == model.digest()
    rows = planted(903, 50, 1.0).matrix
    ours, theirs = source_of(model), source_of(copy)
    assert [ours.predict(row) for row in rows] == [theirs.predict(row) for row in rows]


def test_progress_is_told_and_may_end_the_training() -> None:
    told: list[float] = []
    train("forest", planted(74, 600, 1.0), seed=1, parameters={"rounds": 3}, progress=told.append)
    assert told[0] == 0.0 and told[-1] == 1.0 and told == sorted(told) and len(told) > 4

    class Aborted(Exception):
        pass

    def abort(share: float) -> None:
        if share > 0.0:
            raise Aborted

    with pytest.raises(Aborted):
        train("forest", planted(74, 600, 1.0), seed=1, parameters={"rounds": 3}, progress=abort)


def test_what_cannot_be_trained_is_refused_in_one_line() -> None:
    few, enough = planted(75, MIN_TRAIN_ROWS - 1, 1.0), planted(75, 600, 1.0)
    for call, line in [
        (lambda: train("oracle", enough, seed=1), "unknown model family 'oracle', known are grad"),
        (lambda: train("forest", few, seed=1), "forest needs 500 labelled rows, was 499"),
        (
            lambda: train("forest", enough, seed=1, parameters={"trees": 3}),
            "unknown parameter 'trees'",
        ),
        (
            lambda: train("forest", enough, seed=1, parameters={"depth": float("nan")}),
            "depth must be above 0, was nan",
        ),
        (
            lambda: train("forest", enough, seed=1, parameters={"depth": True}),
            "depth must be a number, was True",
        ),
        (
            lambda: train("forest", replace(enough, outcome_up=enough.outcome_up * 0), seed=1),
            "needs both outcomes",
        ),
    ]:
        with pytest.raises(StrategyError, match=line) as caught:
            call()
        assert "\n" not in str(caught.value)
