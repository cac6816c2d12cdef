"""The forest is grown by scikit-learn's builder without what its classifier does besides."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.random import PCG64, Generator

from strategies.core.training.families import Examples
from strategies.core.training.forest import DEFAULTS, ROW_SHARE, Forest, trees_of_forest
from tests.strategies.core.training.datasets import planted


@pytest.mark.parametrize("outcomes", ["both", "one"])
def test_forest_is_bit_for_bit_that_of_scikit_learns_classifier(outcomes: str) -> None:
    """ORC-81: thresholds, features, children and leaves of every tree, on an odd number of rows."""
    from sklearn.ensemble import ExtraTreesClassifier

    dataset = planted(7, 1_237, 1.0)
    up = dataset.outcome_up if outcomes == "both" else np.ones_like(dataset.outcome_up)
    ours = Forest().fit(
        Examples(dataset.matrix, up), None, {**DEFAULTS, "rounds": 12.0}, Generator(PCG64(3))
    )
    library = ExtraTreesClassifier(
        n_estimators=12,
        max_depth=int(DEFAULTS["depth"]),
        min_samples_leaf=int(DEFAULTS["min_leaf_outcomes"]),
        max_features=DEFAULTS["feature_share"],
        bootstrap=True,
        max_samples=ROW_SHARE,
        random_state=int(Generator(PCG64(3)).integers(2**31 - 1)),
    ).fit(dataset.matrix, up)
    theirs = trees_of_forest([tree.tree_ for tree in library.estimators_], library.classes_)
    assert ours.scorer.payload() == theirs.payload()
    assert len(theirs.starts) == 12
    if outcomes == "both":
        assert len(theirs.value) > 200
