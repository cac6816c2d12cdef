"""Nothing that is trained on was unknown when the test part began."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.types.bars import ColumnStore
from strategies.core.errors import StrategyError
from strategies.core.training.dataset import Dataset, dataset_of, labelled_rows
from strategies.core.training.walk_forward import last_folds, purged_tail, walk_forward
from tests.bar_factory import MINUTE_MS, cut, random_walk
from tests.strategies.core.training.datasets import labelled, planted


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Rows with gaps, several at one moment, labels one to many bars later."""
    n = draw(st.integers(2, 120))
    steps = draw(st.lists(st.integers(0, 9), min_size=n, max_size=n))
    horizon = draw(st.integers(1, 20))
    ts_ms = np.cumsum(np.array(steps, dtype=np.int64)) * MINUTE_MS + MINUTE_MS
    base = labelled(np.zeros((n, 1)), np.zeros(n, dtype=np.int64), horizon_bars=horizon)
    return replace(base, ts_ms=ts_ms, label_ms=ts_ms + horizon * MINUTE_MS)


@settings(max_examples=300, deadline=None)
@given(
    datasets(),
    st.integers(1, 100),
    st.integers(1, 40),
    st.none() | st.integers(1, 50),
    st.integers(0, 30),
)
def test_no_label_of_the_train_part_reaches_into_the_test_part(
    dataset: Dataset, first: int, rows: int, window: int | None, embargo_bars: int
) -> None:
    """ORC-83: purged by time, whatever the gaps; test parts are contiguous and complete."""
    embargo_ms = embargo_bars * MINUTE_MS
    folds = list(
        walk_forward(
            dataset,
            first_test_row=first,
            test_rows=rows,
            max_train_rows=window,
            embargo_ms=embargo_ms,
        )
    )
    tested = [int(row) for fold in folds for row in fold.test]
    if folds:
        assert tested == list(range(tested[0], len(dataset)))
        assert tested[0] <= first
    for fold in folds:
        begins_ms = int(dataset.ts_ms[fold.test].min())
        known = np.flatnonzero(dataset.label_ms <= begins_ms - embargo_ms)
        known = known[known < fold.test[0]]
        if window is None:
            assert fold.train.tolist() == known.tolist()
            assert fold.n_purged == fold.test[0] - len(known)
        else:
            assert fold.train.tolist() == known[max(0, len(known) - window) :].tolist()
        # one moment is never on both sides
        assert not np.isin(dataset.ts_ms[fold.train], dataset.ts_ms[fold.test]).any()


def test_the_purge_is_the_horizon() -> None:
    """D-55: on bars without gaps exactly horizon - 1 rows before the test part are left out."""
    dataset = planted(1, 200, 1.0, horizon_bars=12)
    (fold,) = walk_forward(dataset, first_test_row=100, test_rows=100)
    assert fold.train.tolist() == list(range(89))
    assert fold.n_purged == 11
    (later,) = walk_forward(dataset, first_test_row=100, test_rows=100, embargo_ms=5 * MINUTE_MS)
    assert later.train.tolist() == list(range(84))


def test_folds_cover_the_last_share_and_the_tail_is_purged() -> None:
    dataset = planted(2, 1_000, 1.0, horizon_bars=3)
    folds = last_folds(dataset, n_folds=4, test_share=0.4)
    assert [len(fold.test) for fold in folds] == [100] * 4
    assert folds[0].test[0] == 600 and folds[-1].test[-1] == 999
    tail = purged_tail(dataset, 0.15)
    assert (tail.train[-1], tail.test[0], tail.test[-1]) == (847, 850, 999)


def test_impossible_splits_are_refused() -> None:
    dataset = planted(3, 10, 1.0)
    for first, rows, embargo in ((0, 1, 0), (1, 0, 0), (1, 1, -1)):
        with pytest.raises(StrategyError, match="walk-forward needs"):
            list(walk_forward(dataset, first_test_row=first, test_rows=rows, embargo_ms=embargo))


def test_rows_need_a_bar_exactly_one_horizon_later() -> None:
    """ORC-15: across a gap there is no outcome of this horizon."""
    bars = random_walk(5, 100)
    ts_ms = bars.ts_ms.copy()
    ts_ms[60:] += 7 * MINUTE_MS
    gappy = replace(bars, ts_ms=ts_ms)
    assert labelled_rows(gappy, 5).tolist() == [*range(55), *range(60, 95)]
    assert labelled_rows(cut(bars, 0, 5), 5).tolist() == []


def test_dataset_of_two_symbols_is_one_clock_and_truthful() -> None:
    """ORC-08, ORC-83: labels by hand, rows in time order, features of their own symbol."""
    one, two = random_walk(6, 700), cut(random_walk(7, 900), 100, 900)
    stores = {"A/USDT": ColumnStore(one), "B/USDT": ColumnStore(two)}
    dataset = dataset_of(stores, 12)
    assert (np.diff(dataset.ts_ms) >= 0).all()
    assert (dataset.label_ms - dataset.ts_ms == 12 * MINUTE_MS).all()
    alone = dataset_of({"B/USDT": stores["B/USDT"]}, 12)
    rows = [int(np.flatnonzero(two.ts_ms + MINUTE_MS == at)[0]) for at in alone.ts_ms]
    moves = np.log(two.close[np.array(rows) + 12] / two.close[rows])
    np.testing.assert_allclose(alone.return_log, moves)
    assert (alone.outcome_up == (moves > 0.0)).all()
    assert len(dataset) == len(alone) + len(dataset_of({"A/USDT": stores["A/USDT"]}, 12))
    known = dataset.known_by(int(dataset.ts_ms[300]))
    assert 0 < len(known) < 300 and (known.label_ms <= dataset.ts_ms[300]).all()
    assert len(dataset.latest(50)) == 50 and dataset.latest(50).ts_ms[-1] == dataset.ts_ms[-1]


def test_dataset_that_is_not_whole_is_refused() -> None:
    good = planted(8, 20, 1.0)
    for change, line in [
        ({"matrix": good.matrix[:, :3]}, "12 feature names"),
        ({"ts_ms": good.ts_ms[::-1].copy()}, "time order"),
        ({"label_ms": good.ts_ms}, "known after their rows"),
        ({"outcome_up": good.outcome_up + 1}, "outcomes must be 0 or 1"),
        ({"return_log": good.return_log[:3]}, r"return_log must have shape \(20,\)"),
        ({"matrix": good.matrix * np.nan}, "finite"),
    ]:
        with pytest.raises(StrategyError, match=line):
            replace(good, **change)  # type: ignore[arg-type]
    with pytest.raises(StrategyError, match="dataset needs a symbol"):
        dataset_of({}, 12)
    with pytest.raises(StrategyError, match="one bar length"):
        dataset_of(
            {
                "A/USDT": ColumnStore(random_walk(9, 50)),
                "B/USDT": ColumnStore(random_walk(9, 50, timeframe_ms=300_000)),
            },
            3,
        )
