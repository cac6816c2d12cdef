"""A forest of extremely randomised trees: scikit-learn grows them, our arrays keep them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from strategies.core.predictors.trees import LEAF, Trees
from strategies.core.training.families import Examples, Fitted, Parameters, leaf_rows

DEFAULTS: Mapping[str, float] = {
    "rounds": 100.0,
    "depth": 7.0,
    "min_leaf_outcomes": 20.0,
    "feature_share": 0.5,
}


class Forest:
    """Random thresholds and large leaves; the mean of many hardly follows noise.

    Source: Geurts, Ernst and Wehenkel (2006).
    """

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
        """Fit with scikit-learn on one thread; more trees never overfit, so nothing is stopped."""
        from sklearn.ensemble import ExtraTreesClassifier

        rounds = int(parameters["rounds"])
        # the library carries no types
        grow: Any = ExtraTreesClassifier
        forest = grow(
            n_estimators=rounds,
            max_depth=int(parameters["depth"]),
            min_samples_leaf=leaf_rows(examples, parameters["min_leaf_outcomes"]),
            max_features=min(1.0, parameters["feature_share"]),
            bootstrap=True,
            max_samples=0.7,
            n_jobs=1,
            random_state=int(rng.integers(2**31 - 1)),
        )
        forest.fit(examples.matrix, examples.outcome_up)
        return Fitted(trees_of_forest(forest), rounds)


def trees_of_forest(forest: Any) -> Trees:
    """Return a fitted forest's trees as flat arrays; a leaf holds the share that went up.

    Where only one class was seen every leaf holds 0 or 1, as the library answers.
    """
    starts, parts, offset = [], [], 0
    up = list(forest.classes_).index(1) if 1 in forest.classes_ else None
    for estimator in forest.estimators_:
        tree = estimator.tree_
        inner = tree.children_left != LEAF
        share = tree.value[:, 0, :] / tree.value[:, 0, :].sum(axis=1, keepdims=True)
        value = np.zeros(tree.node_count) if up is None else share[:, up]
        parts.append(
            (
                np.where(inner, tree.feature, LEAF),
                np.where(inner, tree.threshold, 0.0),
                np.where(inner, tree.children_left + offset, LEAF),
                np.where(inner, tree.children_right + offset, LEAF),
                np.where(inner, 0.0, value),
            )
        )
        starts.append(offset)
        offset += tree.node_count
    feature, threshold, left, right, values = (
        np.concatenate(arrays) for arrays in zip(*parts, strict=True)
    )
    return Trees(
        starts=np.array(starts, dtype=np.int64),
        feature=feature.astype(np.int64),
        threshold=threshold.astype(np.float64),
        left=left.astype(np.int64),
        right=right.astype(np.int64),
        value=values.astype(np.float64),
        average=True,
        single=True,
    )
