"""Phase 9: opinions wait for their horizon, then teach."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.phases.learning import Learned, PendingOpinions
from engine.ports import SourceInput
from engine.scoreboard import Scoreboard
from engine.types.bars import BarColumns, ColumnStore, Snapshot
from engine.types.opinions import Missing, Opinion
from tests.bar_factory import from_close
from tests.engine.phases.scene import (
    BARS,
    CONFIG,
    Predictor,
    Rule,
    analysis,
    features,
    pipeline,
    snapshot,
)

EVERY_BAR = replace(CONFIG, horizon_bars=3, learn_every_bars=1)
STORE = ColumnStore(BARS)


def at(row: int, bars: BarColumns = BARS) -> Snapshot:
    return snapshot(row, bars=bars, store=STORE if bars is BARS else None)


def walk(
    waiting: PendingOpinions, rows: range, bars: BarColumns = BARS, **changes: Any
) -> list[Learned | None]:
    """Apply what each bar teaches."""
    results = []
    for row in rows:
        now = at(row, bars)
        learned = waiting.due(now, analysis(now, **changes), False)
        if learned is not None:
            waiting.apply(learned)
        results.append(learned)
    return results


def test_an_opinion_waits_and_is_settled_after_its_horizon() -> None:
    """ORC-15: not a bar earlier; the outcome is this close against that close."""
    results = walk(PendingOpinions(EVERY_BAR), range(600, 604))
    assert [len(r.settlements) for r in results if r] == [0, 0, 0, 3]
    settled = results[3]
    assert settled is not None
    rose = int(BARS.close[603] > BARS.close[600])
    assert {s.source for s in settled.settlements} == {"one", "two", "ensemble"}
    for settlement in settled.settlements:
        assert settlement.outcome_up == rose
        assert settlement.brier == pytest.approx((0.6 - rose) ** 2)
        assert settlement.regime == "TRENDING"
        assert settlement.settled_at_ms - settlement.opinion_at_ms == 3 * 60_000


def test_each_symbol_settles_its_own_opinions_by_its_own_closes() -> None:
    """ORC-66, ORC-15: two markets bar by bar, one that rises and one that falls."""
    waiting = PendingOpinions(EVERY_BAR)
    ends: dict[str, list[tuple[int, int]]] = {"A/USDT": [], "B/USDT": []}
    trend = np.linspace(0.0, 0.5, len(BARS))
    markets = {"A/USDT": from_close(100.0 + trend), "B/USDT": from_close(100.0 - trend)}
    for row in range(600, 606):
        for symbol, bars in markets.items():
            now = at(row, bars)
            now = replace(now, event=replace(now.event, symbol=symbol))
            learned = waiting.due(now, analysis(now, symbol=symbol), False)
            assert learned is not None and learned.symbol == symbol
            waiting.apply(learned)
            for settled in learned.settlements:
                assert settled.symbol == symbol
                ends[symbol].append((settled.opinion_at_ms, settled.outcome_up))
    # three opinions on each of three bars
    assert [outcome for _, outcome in ends["A/USDT"]] == [1] * 9
    assert [outcome for _, outcome in ends["B/USDT"]] == [0] * 9
    assert [at_ms for at_ms, _ in ends["A/USDT"]] == [at_ms for at_ms, _ in ends["B/USDT"]]


def test_both_outcomes_are_reached_over_a_market() -> None:
    """ORC-15: an outcome that never changed would teach nothing."""
    results = walk(PendingOpinions(EVERY_BAR), range(400, 500))
    outcomes = [s.outcome_up for r in results if r for s in r.settlements]
    assert 0.2 < np.mean(outcomes) < 0.8


def test_the_consensus_is_settled_like_a_source() -> None:
    """ORC-12: the ensemble's calibration is tracked by the same score."""
    board = Scoreboard()
    for learned in walk(PendingOpinions(EVERY_BAR), range(600, 620)):
        for settlement in learned.settlements if learned else ():
            board.record(settlement)
    assert board.settled("ensemble") == 17
    assert board.brier("ensemble") is not None


def test_only_every_few_bars_are_settled_unless_there_is_an_order() -> None:
    """ORC-15: a decision with an order always leaves a pending record."""
    config = replace(EVERY_BAR, learn_every_bars=6)
    rows = range(600, 612)
    kept = [r for r in walk(PendingOpinions(config), rows) if r and r.pending]
    assert len(kept) == 2
    waiting = PendingOpinions(config)
    off_stride = next(r for r in rows if not waiting.is_due(at(r).event, 60_000))
    now = at(off_stride)
    assert waiting.due(now, analysis(now), False) is None
    ordered = waiting.due(now, analysis(now), True)
    assert ordered is not None and ordered.pending is not None


def test_is_due_says_beforehand_what_due_does() -> None:
    """ORC-15: a replay may skip a bar only where nothing would be learned."""
    config = replace(EVERY_BAR, learn_every_bars=4, horizon_bars=3)
    waiting = PendingOpinions(config)
    answers = set()
    for row in range(600, 640):
        now = at(row)
        says = waiting.is_due(now.event, 60_000)
        learned = waiting.due(now, analysis(now), False)
        assert says or learned is None
        answers.add((says, learned is not None))
        if learned is not None:
            waiting.apply(learned)
    assert answers == {(True, True), (False, False)}


def test_an_opinion_whose_bar_never_came_is_dropped_unsettled() -> None:
    """ORC-15: after a gap as long as the horizon the outcome would be another horizon's."""
    ts_ms = BARS.ts_ms.copy()
    ts_ms[601:] += 10 * 60_000
    waiting = PendingOpinions(EVERY_BAR)
    _, after_gap = walk(waiting, range(600, 602), replace(BARS, ts_ms=ts_ms))
    assert after_gap is not None
    assert (after_gap.finished, after_gap.settlements) == (1, ())
    assert len(waiting) == 1


def test_a_missing_bar_or_two_only_delay_the_settlement() -> None:
    ts_ms = BARS.ts_ms.copy()
    ts_ms[601:] += 3 * 60_000
    _, late = walk(PendingOpinions(EVERY_BAR), range(600, 602), replace(BARS, ts_ms=ts_ms))
    assert late is not None and len(late.settlements) == 3


def test_without_a_regime_nothing_is_pending() -> None:
    """ORC-15: an outcome is booked to a condition or not at all."""
    (nothing,) = walk(PendingOpinions(EVERY_BAR), range(600, 601), market=Missing("not warm"))
    assert nothing is None


def test_a_lesson_is_the_features_of_then_with_the_outcome_of_now() -> None:
    """ORC-15, ORC-83: time-ordered; cold features teach nothing."""
    results = walk(PendingOpinions(EVERY_BAR), range(600, 604))
    assert results[3] is not None
    (lesson,) = results[3].lessons
    np.testing.assert_array_equal(lesson.rows[SourceInput.FEATURES], features().values)
    cold = walk(PendingOpinions(EVERY_BAR), range(600, 604), features=features(ready=False))
    assert cold[3] is not None and cold[3].lessons == ()


def test_due_changes_nothing_before_it_is_applied() -> None:
    """D-18: asked twice, answered twice the same."""
    waiting = PendingOpinions(EVERY_BAR)
    walk(waiting, range(600, 603))
    before = waiting.state()
    now = at(603)
    first, again = (waiting.due(now, analysis(now), False) for _ in range(2))
    assert first is not None and again is not None
    assert first.settlements == again.settlements
    assert waiting.state() == before


def test_what_is_pending_is_bounded() -> None:
    """ORC-20: whoever settles nothing still does not grow."""
    waiting = PendingOpinions(EVERY_BAR)
    for row in range(600, 680):
        now = at(row)
        learned = waiting.due(now, analysis(now), True)
        assert learned is not None
        waiting.apply(replace(learned, finished=0))
    assert len(waiting) == 2 * EVERY_BAR.horizon_bars + 2


def test_pending_opinions_survive_a_restart_as_json() -> None:
    """ORC-15, I-26: the restored queue settles the same."""
    waiting, restored = PendingOpinions(EVERY_BAR), PendingOpinions(EVERY_BAR)
    walk(waiting, range(600, 603))
    restored.restore(json.loads(json.dumps(waiting.state())))
    now = at(603)
    ours, theirs = (w.due(now, analysis(now), False) for w in (waiting, restored))
    assert ours is not None and theirs is not None
    assert theirs.settlements == ours.settlements
    assert restored.state() == waiting.state()


@pytest.mark.parametrize(
    "rows",
    [
        "nothing",
        ["no mapping"],
        [{"at_ms": 1}],
        [{"at_ms": 1, "close": 1.0, "regime": "", "opinions": [["a"]], "features": None}],
        [{"at_ms": 1, "close": 1.0, "regime": "", "opinions": [[1, 0.5]], "features": None}],
    ],
)
def test_a_state_that_is_none_of_ours_is_refused_whole(rows: Any) -> None:
    waiting = PendingOpinions(EVERY_BAR)
    walk(waiting, range(600, 601))
    before = waiting.state()
    with pytest.raises(ValueError, match=r"must be|must have"):
        waiting.restore({"BTC/USDT": rows})
    assert waiting.state() == before


def test_outcomes_change_the_weights_of_the_next_consensus() -> None:
    """ORC-15: a source that was right weighs more than one that was wrong, after learning only."""
    rising = replace(BARS, close=BARS.close * np.exp(np.arange(len(BARS)) * 0.01))
    rising = replace(
        rising,
        open=rising.close,
        high=rising.close,
        low=rising.close,
    )
    store = ColumnStore(rising)
    learner = Predictor(answer=lambda: 0.55)
    phases = pipeline([Rule("right", 0.7), Rule("wrong", 0.48)], [learner], config=EVERY_BAR)

    def weights() -> dict[str, float]:
        nonlocal row
        now = snapshot(row, bars=rising, store=store)
        found = phases.analyse(now)
        phases.apply_learning(phases.after(now, found, [phases.hold(now, found)]))
        row += 1
        assert found.consensus is not None
        return dict(zip(found.consensus.contributors, found.consensus.weights, strict=True))

    row = 500
    first = weights()
    assert first["right"] == first["wrong"]
    for _ in range(40):
        last = weights()
    assert last["right"] > 1.5 * last["wrong"]
    assert {outcome for _, outcome in learner.lessons} == {1}
    assert len(learner.lessons) == 38


def test_a_bar_without_opinions_and_cold_features_leaves_nothing_pending() -> None:
    waiting = PendingOpinions(EVERY_BAR)
    (nothing,) = walk(
        waiting, range(600, 601), opinions=(), consensus=None, features=Missing("none")
    )
    assert nothing is None
    (some,) = walk(waiting, range(600, 601), opinions=(Opinion("one", 0.7),), consensus=None)
    assert some is not None and some.pending is not None
    assert some.pending.opinions == (("one", 0.7),)
