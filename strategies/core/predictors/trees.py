"""Decision trees as flat arrays: what boosting and the forest are when they predict.

All trees lie in one set of arrays, one after the other, each in an order in which children come
after their parent; a walk therefore always ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.compiled import kernel
from engine.types.bars import FloatColumn, IntColumn
from engine.types.decisions import JsonValue
from strategies.core.errors import StrategyError
from strategies.core.predictors import payload as read
from strategies.core.predictors.logistic import logit_of

SUM, MEAN = "sum-of-log-odds", "mean-of-probabilities"
SINGLE, DOUBLE = "single", "double"
LEAF = -1


@dataclass(frozen=True, slots=True)
class Trees:
    """Arrays of shape (n_nodes,): ``feature`` is LEAF at a leaf, where ``value`` counts.

    A row goes left where its feature is at most ``threshold``. ``starts`` has each tree's root.
    Leaves add up to log-odds (``average`` False) or are probabilities to be averaged.
    ``single`` rounds the row to 32 bits first, as the library did that grew the trees.
    """

    starts: IntColumn
    feature: IntColumn
    threshold: FloatColumn
    left: IntColumn
    right: IntColumn
    value: FloatColumn
    average: bool
    single: bool

    def logit(self, row: FloatColumn) -> float:
        """Return the log-odds of a row (n_features,); NaN where it is not finite."""
        total = _walk(
            self.starts,
            self.feature,
            self.threshold,
            self.left,
            self.right,
            self.value,
            row,
            self.single,
        )
        return logit_of(total / self.starts.shape[0]) if self.average else total

    def payload(self) -> dict[str, JsonValue]:
        """Return the arrays as JSON values."""
        return {
            "kind": MEAN if self.average else SUM,
            "precision": SINGLE if self.single else DOUBLE,
            "starts": self.starts.tolist(),
            "feature": self.feature.tolist(),
            "threshold": self.threshold.tolist(),
            "left": self.left.tolist(),
            "right": self.right.tolist(),
            "value": self.value.tolist(),
        }


def trees_of(payload: Mapping[str, JsonValue], n_features: int) -> Trees:
    """Read and check trees.

    Raises:
        StrategyError: a number is not finite or out of range, or a child does not come after its
            parent within the same tree.
    """
    kind = read.text(payload, "kind", (SUM, MEAN))
    value = read.floats(payload, "value")
    n = value.shape[0]
    if n == 0:
        raise StrategyError("model value must hold at least one node, was 0")
    trees = Trees(
        starts=read.integers(payload, "starts", lowest=0, highest=n - 1),
        feature=read.integers(payload, "feature", lowest=LEAF, highest=n_features - 1, length=n),
        threshold=read.floats(payload, "threshold", n),
        left=read.integers(payload, "left", lowest=LEAF, highest=n - 1, length=n),
        right=read.integers(payload, "right", lowest=LEAF, highest=n - 1, length=n),
        value=value,
        average=kind == MEAN,
        single=read.text(payload, "precision", (SINGLE, DOUBLE)) == SINGLE,
    )
    _check(trees)
    return trees


def _check(trees: Trees) -> None:
    starts, n = trees.starts, trees.value.shape[0]
    if starts.shape[0] == 0 or starts[0] != 0 or (np.diff(starts) <= 0).any():
        raise StrategyError("model starts must ascend from 0")
    # the node after the last of each node's tree
    ends = np.append(starts[1:], n)[np.searchsorted(starts, np.arange(n), side="right") - 1]
    inner = np.flatnonzero(trees.feature != LEAF)
    for name, child in (("left", trees.left[inner]), ("right", trees.right[inner])):
        wrong = (child <= inner) | (child >= ends[inner])
        if wrong.any():
            node = int(inner[wrong][0])
            raise StrategyError(
                f"model {name} of node {node} must come after it in its tree, "
                f"was {int(child[wrong][0])}"
            )
    leaves = trees.value[trees.feature == LEAF]
    if trees.average and ((leaves < 0.0) | (leaves > 1.0)).any():
        raise StrategyError("model leaves must be probabilities in [0, 1]")


@kernel
def _walk(
    starts: IntColumn,
    feature: IntColumn,
    threshold: FloatColumn,
    left: IntColumn,
    right: IntColumn,
    value: FloatColumn,
    row: FloatColumn,
    single: bool,
) -> float:
    values = np.empty(row.shape[0])
    for i in range(row.shape[0]):
        if not np.isfinite(row[i]):
            return np.nan
        values[i] = np.float64(np.float32(row[i])) if single else row[i]
    total = 0.0
    for tree in range(starts.shape[0]):
        node = starts[tree]
        while feature[node] >= 0:
            node = left[node] if values[feature[node]] <= threshold[node] else right[node]
        total += value[node]
    return total
