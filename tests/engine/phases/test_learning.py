"""Phase 9: ORC-15, D-18."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.phases.config import PipelineConfig
from engine.phases.learning import PendingOpinions
from engine.types.bars import BarColumns, ColumnStore
from engine.types.decisions import Settlement
from engine.types.opinions import Missing, Opinion
from tests.engine.phases import scene

CONFIG = PipelineConfig(horizon_bars=12, learn_every_bars=4)


def step(
    pending: PendingOpinions, store: ColumnStore, row: int, has_order: bool = False, **changes: Any
) -> tuple[Settlement, ...]:
    of = scene.snapshot(row, store=store)
    learned = pending.due(of, scene.analysis(of, **changes), has_order)
    if learned is None:
        return ()
    pending.apply(learned)
    return learned.settlements


def on_stride(store: ColumnStore, row: int) -> bool:
    closed_ms = int(store.bars.ts_ms[row]) + scene.MINUTE_MS
    return (closed_ms // scene.MINUTE_MS) % CONFIG.learn_every_bars == 0


def first_stride_row(store: ColumnStore, start: int = 300) -> int:
    return next(row for row in range(start, start + 10) if on_stride(store, row))


def test_an_opinion_is_settled_when_its_horizon_has_passed_and_not_before() -> None:
    """ORC-15: the outcome is whether this close is above the close of the opinion."""
    store, pending = ColumnStore(scene.bars()), PendingOpinions(CONFIG)
    start = first_stride_row(store)
    assert step(pending, store, start) == ()
    for row in range(start + 1, start + 12):
        assert step(pending, store, row) == ()
    settled = step(pending, store, start + 12)
    up = 1 if store.bars.close[start + 12] > store.bars.close[start] else 0
    assert {s.source for s in settled} == {"rule-a", "ensemble"}
    for settlement in settled:
        assert settlement.outcome_up == up
        assert settlement.brier == pytest.approx((0.6 - up) ** 2)
        assert settlement.regime == "TRENDING"
        assert settlement.settled_at_ms - settlement.opinion_at_ms == 12 * scene.MINUTE_MS


def test_opinions_are_remembered_every_few_bars_and_whenever_an_order_is_decided() -> None:
    """ORC-15: each decision leaves a pending record."""
    store, pending = ColumnStore(scene.bars()), PendingOpinions(CONFIG)
    off = first_stride_row(store) + 1
    step(pending, store, off)
    assert len(pending) == 0
    step(pending, store, off, has_order=True)
    assert len(pending) == 1


def test_nothing_changes_until_it_is_applied() -> None:
    """D-18"""
    store, pending = ColumnStore(scene.bars()), PendingOpinions(CONFIG)
    of = scene.snapshot(first_stride_row(store), store=store)
    found = scene.analysis(of)
    assert pending.due(of, found, False) == pending.due(of, found, False)
    assert len(pending) == 0


def test_symbols_wait_in_queues_of_their_own() -> None:
    """ORC-66: no cross-talk."""
    store, pending = ColumnStore(scene.bars()), PendingOpinions(CONFIG)
    start = first_stride_row(store)
    step(pending, store, start)
    eth = scene.snapshot(start + 12, store=store, symbol="ETH/USDT")
    learned = pending.due(eth, scene.analysis(eth), False)
    assert learned is not None
    assert learned.settlements == ()


def test_memory_is_bounded() -> None:
    """ORC-20: ten thousand decisions with an order each leave a horizon of them."""
    store, pending = ColumnStore(scene.bars(3000)), PendingOpinions(CONFIG)
    for row in range(300, 3000):
        step(pending, store, row, has_order=True)
    assert len(pending) <= CONFIG.horizon_bars + 1


def test_after_a_gap_longer_than_a_horizon_opinions_are_dropped_unsettled() -> None:
    """ORC-15: their outcome would be that of another horizon."""
    whole = scene.bars()
    ts_ms = whole.ts_ms.copy()
    start = first_stride_row(ColumnStore(whole))
    ts_ms[start + 1 :] += 48 * scene.MINUTE_MS
    columns = (whole.open, whole.high, whole.low, whole.close, whole.volume)
    store, pending = (
        ColumnStore(BarColumns(ts_ms, *columns, scene.MINUTE_MS)),
        PendingOpinions(CONFIG),
    )
    step(pending, store, start)
    assert step(pending, store, start + 1) == ()
    assert len(pending) <= 1, "only what this bar itself added"


def test_lessons_carry_the_features_of_then_and_the_outcome_of_now() -> None:
    """ORC-15: for every learned source, whether it had an opinion or not."""
    store, pending = ColumnStore(scene.bars()), PendingOpinions(CONFIG)
    start = first_stride_row(store)
    step(pending, store, start, opinions=(), consensus=None)
    of = scene.snapshot(start + 12, store=store)
    learned = pending.due(of, scene.analysis(of), False)
    assert learned is not None
    (lesson,) = learned.lessons
    assert lesson.features.tolist() == [0.0]
    assert lesson.outcome_up == int(store.bars.close[start + 12] > store.bars.close[start])


def test_without_a_regime_nothing_is_remembered() -> None:
    store, pending = ColumnStore(scene.bars()), PendingOpinions(CONFIG)
    step(pending, store, first_stride_row(store), market=Missing("not warm"))
    assert len(pending) == 0


def test_what_was_stored_as_json_settles_as_if_never_interrupted() -> None:
    """ORC-15, I-26"""
    store, pending = ColumnStore(scene.bars()), PendingOpinions(CONFIG)
    start = first_stride_row(store)
    step(pending, store, start, opinions=(Opinion("a", 0.1 + 0.2), Opinion("b", 0.7)))
    rebuilt = PendingOpinions(CONFIG)
    rebuilt.restore(json.loads(json.dumps(pending.state())))
    assert rebuilt.state() == pending.state()
    assert step(rebuilt, store, start + 12) == step(pending, store, start + 12) != ()


@pytest.mark.parametrize(
    "state",
    [
        {"BTC": 1},
        {"BTC": [1]},
        {"BTC": [{"at_ms": 1}]},
        {"BTC": [{"at_ms": 1, "close": 1.0, "regime": "", "opinions": [["a"]], "features": None}]},
    ],
)
def test_a_state_of_another_shape_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="was"):
        PendingOpinions(CONFIG).restore(state)


def test_is_due_tells_ahead_when_due_would_answer() -> None:
    store, pending = ColumnStore(scene.bars()), PendingOpinions(CONFIG)
    for row in range(300, 360):
        of = scene.snapshot(row, store=store)
        found = pending.due(of, scene.analysis(of), False)
        assert pending.is_due(of.event, scene.MINUTE_MS) == (found is not None)
        if found is not None:
            pending.apply(found)
