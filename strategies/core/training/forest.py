"""A forest of extremely randomised trees: scikit-learn grows them, our arrays keep them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from strategies.core.predictors.trees import LEAF, Trees
from strategies.core.training.families import Examples, Fitted, Parameters, leaf_rows

DEFAULTS: Mapping[str, float] = {
    "rounds": 100.0,
    "depth": 7.0,
    "min_leaf_outcomes": 20.0,
    "feature_share": 0.5,
}
# Each tree sees this share of the rows, drawn with replacement.
ROW_SHARE = 0.7
# Seeds of single trees are drawn below this, as the library draws them.
_SEEDS = 2**31 - 1


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
        rounds = int(parameters["rounds"])
        grower = _Grower(
            depth=int(parameters["depth"]),
            leaf_rows=leaf_rows(examples, parameters["min_leaf_outcomes"]),
            feature_share=min(1.0, parameters["feature_share"]),
        )
        trees, classes = grower.grow(examples, rounds, int(rng.integers(2**31 - 1)))
        return Fitted(trees_of_forest(trees, classes), rounds)


@dataclass(frozen=True, slots=True)
class _Grower:
    """Grows the trees of ``ExtraTreesClassifier`` with scikit-learn's own builder.

    Bit for bit those of the classifier (a test says so) with bootstrap samples of ROW_SHARE. It
    spends more time on checking and copying each of a hundred small trees than on growing them.
    """

    depth: int
    leaf_rows: int
    feature_share: float

    def grow(
        self, examples: Examples, rounds: int, seed: int
    ) -> tuple[list[Any], npt.NDArray[np.int64]]:
        """Return the trees, and the outcomes that their values are shares of, ascending."""
        from sklearn.tree._criterion import Gini
        from sklearn.tree._splitter import RandomSplitter
        from sklearn.tree._tree import DepthFirstTreeBuilder, Tree

        matrix = np.ascontiguousarray(examples.matrix, dtype=np.float32)
        n_rows, n_features = matrix.shape
        classes, codes = np.unique(examples.outcome_up, return_inverse=True)
        outcome = np.ascontiguousarray(codes.reshape(-1, 1), dtype=np.float64)
        n_classes = np.array([len(classes)], dtype=np.intp)
        n_tried = max(1, int(self.feature_share * n_features))
        draws, random, leaf = np.random.RandomState(seed), np.random.RandomState(), self.leaf_rows
        trees = []
        for _ in range(rounds):
            own = int(draws.randint(_SEEDS))
            random.seed(own)
            drawn = random.randint(0, n_rows, max(1, int(ROW_SHARE * n_rows)))
            weight = np.bincount(drawn, minlength=n_rows).astype(np.float64)
            # the library begins anew with the same seed: where to split is drawn like the rows
            random.seed(own)
            splitter = RandomSplitter(Gini(1, n_classes), n_tried, leaf, 0.0, random, None)
            tree = Tree(n_features, n_classes, 1)
            builder = DepthFirstTreeBuilder(splitter, max(2, 2 * leaf), leaf, 0.0, self.depth, 0.0)
            builder.build(tree, matrix, outcome, weight, None)
            trees.append(tree)
        return trees, classes


def trees_of_forest(trees: Sequence[Any], classes: npt.NDArray[np.int64]) -> Trees:
    """Return a forest's trees as flat arrays; a leaf holds the share that went up.

    ``classes`` are the outcomes seen. Where only one was, every leaf holds 0 or 1, as the library
    answers.
    """
    starts, parts, offset = [], [], 0
    up = list(classes).index(1) if 1 in classes else None
    for tree in trees:
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
