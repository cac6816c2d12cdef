"""From a stored model to a predictor: the same numbers as the library's, and nothing broken."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.ports import SourceInput
from strategies.core.errors import StrategyError
from strategies.core.predictors.calibration import Linear
from strategies.core.predictors.load import READERS, source_of
from strategies.core.predictors.logistic import probabilities_of
from strategies.core.trained import TrainedModel
from strategies.core.training.boosting import trees_of_booster
from strategies.core.training.families import raw_logits
from strategies.core.training.forest import trees_of_forest
from tests.strategies.core.training.datasets import planted, planted_model


def edited(family: str, path: tuple[Any, ...], value: object) -> TrainedModel:
    """The model with one number of its payload changed."""
    model = planted_model(family)
    payload: Any = copy.deepcopy(dict(model.payload))
    inner = payload
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return replace(model, payload=payload)


def test_flattened_boosting_is_lightgbms_own_answer() -> None:
    """ORC-81: within 1e-6 of predict on every row, extreme ones too."""
    import lightgbm

    dataset = planted(1, 3_000, 1.5)
    data = lightgbm.Dataset(dataset.matrix, dataset.outcome_up)
    booster = lightgbm.train(
        {"objective": "binary", "verbosity": -1, "num_threads": 1, "num_leaves": 31}, data, 80
    )
    trees = trees_of_booster(booster.dump_model())
    rows = np.concatenate((planted(2, 1_000, 1.5).matrix, np.eye(12) * 1e9, -np.eye(12) * 1e9))
    ours = probabilities_of(raw_logits(trees, rows))
    theirs = np.asarray(booster.predict(rows))
    np.testing.assert_allclose(ours, np.clip(theirs, 3.1e-7, 1.0 - 3.1e-7), atol=1e-6)
    assert theirs.std() > 0.1


def test_flattened_forest_is_scikit_learns_own_answer() -> None:
    """ORC-81: within 1e-6 of predict_proba, thresholds met to the last 32-bit digit."""
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

    dataset = planted(3, 2_000, 1.5)
    rows = np.concatenate((planted(4, 1_000, 1.5).matrix, dataset.matrix[:200]))
    for kind in (ExtraTreesClassifier, RandomForestClassifier):
        forest = kind(n_estimators=40, max_depth=9, random_state=1, n_jobs=1)
        forest.fit(dataset.matrix, dataset.outcome_up)
        trees = trees_of_forest(forest)
        # so near a threshold that rounding to 32 bits decides the side
        inner = np.flatnonzero(trees.feature >= 0)[:600]
        near = np.repeat(dataset.matrix[:1], len(inner), axis=0)
        near[np.arange(len(inner)), trees.feature[inner]] = trees.threshold[inner] * (1.0 + 1e-9)
        rows = np.concatenate((rows, near))
        ours = probabilities_of(raw_logits(trees, rows))
        np.testing.assert_allclose(ours, forest.predict_proba(rows)[:, 1], atol=1e-6)


def test_forest_that_saw_one_outcome_only_answers_as_the_library_does() -> None:
    from sklearn.ensemble import ExtraTreesClassifier

    dataset = planted(5, 300, 1.0)
    for outcome in (0, 1):
        forest = ExtraTreesClassifier(n_estimators=3, random_state=1)
        forest.fit(dataset.matrix, np.full(300, outcome))
        ours = probabilities_of(raw_logits(trees_of_forest(forest), dataset.matrix[:5]))
        np.testing.assert_allclose(ours, outcome, atol=1e-6)


def test_network_is_the_formula_written_out() -> None:
    """ORC-81"""
    payload: Any = planted_model("neural-network").payload["scorer"]
    source = source_of(edited("neural-network", ("calibration",), Linear().payload()))
    rows = planted(6, 50, 1.0).matrix
    hidden = np.array(payload["hidden"]).reshape(-1, 12)
    z = (rows - payload["mean"]) / payload["scale"]
    units = np.tanh(z @ hidden.T + payload["hidden_bias"])
    by_hand = probabilities_of(units @ payload["output"] + payload["output_bias"])
    ours = [source.predict(row) for row in rows]
    np.testing.assert_allclose(ours, by_hand, atol=1e-12)


BROKEN: list[tuple[str, tuple[Any, ...], object, str]] = [
    ("forest", ("format",), 2, "model format must be 1, was 2"),
    ("forest", ("features",), [], "features must be distinct names"),
    ("forest", ("features",), ["a", "a"], "features must be distinct names"),
    ("forest", ("features",), ["a", 3], "features must be distinct names"),
    ("forest", ("scorer",), None, "model scorer must be a mapping, was None"),
    ("forest", ("scorer", "kind"), "code", "model kind must be one of"),
    ("forest", ("scorer", "precision"), "half", "precision must be one of single, double"),
    ("forest", ("scorer", "starts"), [], "starts must ascend from 0"),
    ("forest", ("scorer", "starts", 0), 1, "starts must ascend from 0"),
    ("forest", ("scorer", "starts", 1), 0, "starts must ascend from 0"),
    ("forest", ("scorer", "starts", 1), 10**9, "starts must hold whole numbers in 0.."),
    ("forest", ("scorer", "feature", 0), 12, "feature must hold whole numbers in -1..11"),
    ("forest", ("scorer", "feature", 0), 0.5, "feature must hold whole numbers"),
    ("forest", ("scorer", "feature", 0), True, "feature must hold whole numbers"),
    ("forest", ("scorer", "left", 0), 0, "left of node 0 must come after it in its tree, was 0"),
    ("forest", ("scorer", "right", 0), -1, "right of node 0 must come after it in its tree"),
    ("forest", ("scorer", "left"), [1], "left must hold"),
    ("forest", ("scorer", "left"), "x", "left must be a list"),
    ("forest", ("scorer", "threshold", 0), float("nan"), "threshold must hold finite numbers"),
    ("forest", ("scorer", "threshold", 0), 10**400, "threshold must hold finite numbers"),
    ("forest", ("scorer", "threshold", 0), None, "threshold must hold numbers only"),
    ("forest", ("scorer", "value"), [], "value must hold at least one node"),
    ("gradient-boosting", ("scorer", "value", 3), float("inf"), "value must hold finite"),
    ("forest", ("calibration", "kind"), "magic", "kind must be one of identity, platt, isotonic"),
    ("forest", ("calibration",), {"kind": "platt", "slope": -1.0, "intercept": 0.0}, "slope -1"),
    ("forest", ("calibration",), {"kind": "platt", "slope": "1"}, "slope must be a finite number"),
    ("forest", ("calibration",), {"kind": "identity", "slope": 2.0, "intercept": 0.0}, "slope 2"),
    (
        "forest",
        ("calibration",),
        {"kind": "isotonic", "knots": [1.0, 0.0], "values": [0.0, 1.0]},
        "ascending knots",
    ),
    (
        "forest",
        ("calibration",),
        {"kind": "isotonic", "knots": [0.0, 1.0], "values": [1.0, 0.0]},
        "ascending knots",
    ),
    ("neural-network", ("scorer", "mean"), [0.0], "mean must hold 12 numbers, was 1"),
    ("neural-network", ("scorer", "scale", 0), 0.0, "scale must be positive"),
    ("neural-network", ("scorer", "hidden", 5), float("nan"), "hidden must hold finite numbers"),
    ("neural-network", ("scorer", "output"), [], "output must hold at least one unit"),
    ("neural-network", ("scorer", "output_bias"), None, "output_bias must be a finite number"),
]


@pytest.mark.parametrize(("family", "path", "value", "line"), BROKEN)
def test_corrupt_model_is_refused_in_one_line(
    family: str, path: tuple[Any, ...], value: object, line: str
) -> None:
    """ORC-81: never a crash in the middle of a decision, never a walk without an end."""
    with pytest.raises(StrategyError, match=line) as caught:
        source_of(edited(family, path, value))
    assert "\n" not in str(caught.value)


def test_child_in_another_tree_is_refused() -> None:
    """A walk must stay in its tree, or leaves would count twice."""
    scorer: Any = planted_model("forest").payload["scorer"]
    last = scorer["starts"][1] - 1
    inner = max(i for i in range(last) if scorer["feature"][i] >= 0)
    with pytest.raises(StrategyError, match="must come after it in its tree"):
        source_of(edited("forest", ("scorer", "right", inner), last + 1))


def test_leaf_of_a_forest_that_is_no_probability_is_refused() -> None:
    scorer: Any = planted_model("forest").payload["scorer"]
    leaf = scorer["feature"].index(-1)
    with pytest.raises(StrategyError, match=r"leaves must be probabilities in \[0, 1\]"):
        source_of(edited("forest", ("scorer", "value", leaf), 1.5))


def test_unknown_family_is_refused() -> None:
    model = planted_model("forest")
    stranger = replace(model, lineage=replace(model.lineage, family="oracle"))
    with pytest.raises(StrategyError, match="unknown model family 'oracle', known are gradient"):
        source_of(stranger)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(READERS)), json_values, st.data())
def test_whatever_stands_in_a_payload_is_read_or_refused(
    family: str, value: object, data: st.DataObject
) -> None:
    """Any value in any place: a whole model that answers, or one line."""
    scorer: Any = planted_model(family).payload["scorer"]
    places: list[tuple[Any, ...]] = [(key,) for key in ("format", "features", "calibration")]
    places += [("scorer", key) for key in scorer]
    places += [("scorer", key, 0) for key, inner in scorer.items() if isinstance(inner, list)]
    try:
        source = source_of(edited(family, data.draw(st.sampled_from(places)), value))
    except StrategyError as error:
        assert "\n" not in str(error)
    else:
        assert 0.0 <= source.predict(np.ones(12)) <= 1.0


def test_loaded_source_reads_features_and_says_which_model_it_is() -> None:
    """ORC-85"""
    model = planted_model("forest")
    source = source_of(model)
    assert source.reads is SourceInput.FEATURES
    assert source.model is not None
    assert (source.model.digest, source.model.version) == (model.digest(), "test")


def test_loading_and_asking_a_model_imports_no_training_library() -> None:
    """The trading worker never pays for lightgbm or scikit-learn."""
    model = planted_model("forest")
    script = (
        "import json, sys\n"
        "import numpy as np\n"
        "import strategies.core.registry\n"
        "import tradeplatform.bootstrap\n"
        "from strategies.core.predictors.load import source_of\n"
        "from strategies.core.trained import Lineage, TrainedModel\n"
        "given = json.load(sys.stdin)\n"
        "model = TrainedModel(Lineage(**given['lineage']), {}, given['payload'])\n"
        "assert source_of(model).predict(np.ones(12)) != 0.5\n"
        "print(sorted({'lightgbm', 'sklearn', 'polars'} & set(sys.modules)))\n"
    )
    lineage = {name: getattr(model.lineage, name) for name in model.lineage.__dataclass_fields__}
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps({"lineage": lineage, "payload": model.payload}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.strip() == "[]", done.stderr
