"""Train on the past, test on what came after, with no label shared between the two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.types.bars import IntColumn
from strategies.core.errors import StrategyError
from strategies.core.training.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows to train on and rows to test on, ascending; all of ``train`` is known before ``test``.

    ``n_purged`` counts the rows before the test part that were left out because their outcome
    was not known ``embargo_ms`` before the test part begins.
    """

    train: IntColumn
    test: IntColumn
    n_purged: int


def walk_forward(
    dataset: Dataset,
    *,
    first_test_row: int,
    test_rows: int,
    max_train_rows: int | None = None,
    embargo_ms: int = 0,
) -> Iterator[Fold]:
    """Yield folds in time order; the test parts follow each other without overlap.

    A row is trained on only where its label was known at the latest ``embargo_ms`` before the
    first test row's features were: purging by time, so that gaps and several symbols on one
    clock are right too. ``max_train_rows`` keeps the newest (rolling); left out, the window
    expands. A test part never begins inside one moment: rows of the same ``ts_ms`` stay together.

    Source: Lopez de Prado (2018), "Advances in Financial Machine Learning", 7.4.

    Raises:
        StrategyError: a count is below 1 or the embargo is negative.
    """
    if first_test_row < 1 or test_rows < 1 or embargo_ms < 0:
        raise StrategyError(
            "walk-forward needs a first test row and test rows of 1 or more and an embargo of 0 "
            f"or more, was {first_test_row}, {test_rows}, {embargo_ms}"
        )
    n, start = len(dataset), _moment_start(dataset.ts_ms, first_test_row)
    while start < n:
        end = _moment_start(dataset.ts_ms, min(start + test_rows, n))
        if end <= start:
            end = _moment_end(dataset.ts_ms, start)
        yield _fold(dataset, start, end, max_train_rows, embargo_ms)
        start = end


def last_folds(
    dataset: Dataset, *, n_folds: int, test_share: float, embargo_ms: int = 0
) -> list[Fold]:
    """Return ``n_folds`` expanding folds whose test parts are the last ``test_share`` of rows."""
    n = len(dataset)
    first = max(1, int(n * (1.0 - test_share)))
    size = max(1, -(-(n - first) // n_folds))
    return list(walk_forward(dataset, first_test_row=first, test_rows=size, embargo_ms=embargo_ms))


def purged_tail(dataset: Dataset, share: float, embargo_ms: int = 0) -> Fold:
    """Return the last ``share`` of rows as test and all that was known before it as train."""
    n = len(dataset)
    start = _moment_start(dataset.ts_ms, min(max(1, int(n * (1.0 - share))), n))
    return _fold(dataset, start, n, None, embargo_ms)


def _fold(
    dataset: Dataset, start: int, end: int, max_train_rows: int | None, embargo_ms: int
) -> Fold:
    if start >= len(dataset):
        train = np.arange(start, dtype=np.int64)
        return Fold(train, np.zeros(0, dtype=np.int64), 0)
    limit_ms = int(dataset.ts_ms[start]) - embargo_ms
    train = np.flatnonzero(dataset.label_ms[:start] <= limit_ms)
    n_purged = start - len(train)
    if max_train_rows is not None:
        train = train[max(0, len(train) - max_train_rows) :]
    return Fold(train, np.arange(start, end, dtype=np.int64), n_purged)


def _moment_start(ts_ms: IntColumn, row: int) -> int:
    """Return the first row of the moment that ``row`` belongs to."""
    if row >= len(ts_ms):
        return len(ts_ms)
    return int(np.searchsorted(ts_ms, ts_ms[row], side="left"))


def _moment_end(ts_ms: IntColumn, row: int) -> int:
    return int(np.searchsorted(ts_ms, ts_ms[row], side="right"))
