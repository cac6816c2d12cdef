"""Gradient boosting: LightGBM grows the trees, our arrays keep them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from strategies.core.predictors.trees import LEAF, Trees
from strategies.core.training.families import Examples, Fitted, Parameters, leaf_rows

DEFAULTS: Mapping[str, float] = {
    "rounds": 150.0,
    "patience_rounds": 25.0,
    "learning_rate": 0.03,
    "leaves": 12.0,
    "min_leaf_outcomes": 30.0,
    "l2": 10.0,
    "feature_share": 0.6,
    "row_share": 0.7,
}


class Boosting:
    """Small, slow-learning trees: market features hardly predict, so every step must be shy."""

    @property
    def defaults(self) -> Mapping[str, float]:
        return DEFAULTS

    def fit(
        self,
        examples: Examples,
        unseen: Examples | None,
        parameters: Parameters,
        rng: np.random.Generator,
    ) -> Fitted:
        """Fit with LightGBM on one thread: more would change the order of sums, and the model."""
        import lightgbm

        rounds = int(parameters["rounds"])
        data = lightgbm.Dataset(examples.matrix, examples.outcome_up)
        callbacks: list[Callable[..., Any]] = []
        valid: list[lightgbm.Dataset] = []
        if unseen is not None:
            valid = [lightgbm.Dataset(unseen.matrix, unseen.outcome_up, reference=data)]
            patience = int(parameters["patience_rounds"])
            callbacks = [lightgbm.early_stopping(patience, verbose=False)]
        booster = lightgbm.train(
            _settings(examples, parameters, int(rng.integers(2**31 - 1))),
            data,
            num_boost_round=rounds,
            valid_sets=valid,
            callbacks=callbacks,
        )
        best = booster.best_iteration if unseen is not None else rounds
        best = max(1, best)
        return Fitted(trees_of_booster(booster.dump_model(num_iteration=best)), best)


def _settings(examples: Examples, parameters: Parameters, seed: int) -> dict[str, Any]:
    return {
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": parameters["learning_rate"],
        "num_leaves": max(2, int(parameters["leaves"])),
        "min_data_in_leaf": leaf_rows(examples, parameters["min_leaf_outcomes"]),
        "lambda_l2": parameters["l2"],
        "feature_fraction": min(1.0, parameters["feature_share"]),
        "bagging_fraction": min(1.0, parameters["row_share"]),
        "bagging_freq": 1,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "seed": seed,
        "verbosity": -1,
    }


def trees_of_booster(dumped: Mapping[str, Any]) -> Trees:
    """Return LightGBM's dumped trees as flat arrays; its first tree carries the base rate."""
    flat: dict[str, list[Any]] = {
        name: [] for name in ("feature", "threshold", "left", "right", "value")
    }
    starts = []
    for tree in dumped["tree_info"]:
        starts.append(len(flat["value"]))
        _append(tree["tree_structure"], flat)
    return Trees(
        starts=np.array(starts, dtype=np.int64),
        feature=np.array(flat["feature"], dtype=np.int64),
        threshold=np.array(flat["threshold"], dtype=np.float64),
        left=np.array(flat["left"], dtype=np.int64),
        right=np.array(flat["right"], dtype=np.int64),
        value=np.array(flat["value"], dtype=np.float64),
        average=False,
        single=False,
    )


def _append(node: Mapping[str, Any], flat: dict[str, list[Any]]) -> int:
    """Append a node and all below it, parents first; returns its index."""
    index = len(flat["value"])
    inner = "split_feature" in node
    flat["feature"].append(node["split_feature"] if inner else LEAF)
    flat["threshold"].append(node["threshold"] if inner else 0.0)
    flat["value"].append(0.0 if inner else node["leaf_value"])
    flat["left"].append(LEAF)
    flat["right"].append(LEAF)
    if inner:
        flat["left"][index] = _append(node["left_child"], flat)
        flat["right"][index] = _append(node["right_child"], flat)
    return index
