"""A replay may skip what changes nothing: line by line the same as all ten phases."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.market_columns import market_columns
from engine.phases.config import PipelineConfig
from engine.phases.learning import Learned, Lesson, Pending
from engine.phases.microstructure import NO_BOOK
from engine.phases.pipeline import LearningResult, Pipeline
from engine.phases.quiet import ReplayPipeline
from engine.phases.recorder import CountingRecorder
from engine.ports import SourceInput, StrategyStatus
from engine.seats import Seated, champions
from engine.simulated_operator import SimulatedOperator
from engine.types.bars import BarColumns, ColumnStore
from engine.types.decisions import Action
from engine.types.learned import NO_PANEL, Seat
from strategies.core.registry import PARAMS, learned_sources, rule_sources
from tests.bar_factory import labelled_regimes, random_walk, real_bars
from tests.engine.books import BTC, D, instrument
from tests.engine.phases.scene import (
    BARS,
    CONFIG,
    Predictor,
    Rule,
    book_at,
    holding,
    pipeline,
    snapshot,
)
from tests.engine.sessions import Scene, play, scene

FINE = instrument(tick_size=D("0.0001"))
CODES = [*PARAMS, "ensemble"]
# 152 and 297 were seen; before bars were walked on what was foreseen, BASE0 and BASE1
MOST_CALLS_A_BAR = 175
MOST_CALLS_A_WALK = 340


def run(
    kind: type[Pipeline],
    bars: BarColumns,
    config: PipelineConfig,
    *,
    shortable: bool = False,
    with_book: bool = False,
    learned: bool = False,
) -> Scene:
    phases = pipeline(
        rule_sources(),
        learned_sources() if learned else (),
        kind=kind,
        config=config,
        recorder=CountingRecorder(),
    )
    played = scene(
        bars,
        phases,
        of=replace(FINE, shortable=shortable),
        gatekeeper=SimulatedOperator(dict.fromkeys(CODES, StrategyStatus.ACTIVE), 1),
    )
    play(played, bars, range(len(bars)), book_at if with_book else lambda close: None)
    return played


def same(bars: BarColumns, config: PipelineConfig = CONFIG, **changes: Any) -> Scene:
    """Both pipelines over the same bars; returns the quick one's session."""
    full, quick = (
        run(Pipeline, bars, config, **changes),
        run(ReplayPipeline, bars, config, **changes),
    )
    for ours, theirs in zip(quick.journal.lines(), full.journal.lines(), strict=True):
        assert ours == theirs
    assert learned_of(quick) == learned_of(full)
    assert quick.journal.points == full.journal.points
    assert quick.session.state()["account"] == full.session.state()["account"]
    return quick


def learned_of(played: Scene) -> dict[str, Any]:
    """What the phases know, less the features of pending bars: they teach learned sources only."""
    state: Any = played.phases.state()
    pending = {
        symbol: [{**row, "features": None} for row in rows if row["opinions"]]
        for symbol, rows in state["pending"].items()
    }
    return {**state, "pending": pending}


def skipped(played: Scene) -> float:
    """The share of bars that were answered without the phases."""
    return 1.0 - len(played.journal.analyses) / played.journal.bars


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("shortable", [False, True], ids=["spot", "shortable"])
def test_quiet_bars_change_no_decision_over_random_walks(seed: int, shortable: bool) -> None:
    """I-26, D-25: decisions, fills, trades with their regimes, equity and what was learned."""
    played = same(random_walk(seed, 1_500, sigma=0.002), shortable=shortable)
    assert 0.0 < skipped(played) < 1.0
    assert len(played.journal.trades) > 3


@pytest.mark.parametrize("seed", [4, 5])
def test_quiet_bars_change_no_decision_over_changing_regimes(seed: int) -> None:
    """I-26: with a book, and with the ensemble switched off."""
    bars, _ = labelled_regimes(seed, cycles=1)
    assert skipped(same(bars, with_book=True)) > 0.0
    off = same(bars, replace(CONFIG, ensemble_trades=False), with_book=True)
    assert skipped(off) > 0.3


@pytest.mark.parametrize("entry_probability", [0.51, 0.55, 0.60])
def test_quiet_bars_change_no_decision_at_any_threshold(entry_probability: float) -> None:
    """I-26: the bound by which a bar is called quiet follows the setting."""
    config = replace(CONFIG, entry_probability=entry_probability, learn_every_bars=4)
    same(random_walk(6, 1_200, sigma=0.002), config, shortable=True)


def test_quiet_bars_change_no_decision_over_real_bars(market_data: Path) -> None:
    """I-26, D-25: 3,000 minutes of BTC."""
    bars = real_bars("binance_spot_BTCUSDT_1m_2021-09.parquet", 60_000, 3_000)
    played = same(bars)
    assert 0.0 < skipped(played) < 1.0
    assert len(played.journal.trades) > 10


def test_buy_sell_exit_and_hold_are_all_decided_over_one_market() -> None:
    """ORC-64: by the shipped rules, on an instrument that can be sold short."""
    played = run(Pipeline, random_walk(2, 1_500, sigma=0.002), CONFIG, shortable=True)
    counts = Counter(decision.action for decision in played.journal.decisions)
    assert min(counts[action] for action in Action) >= 3, counts


@pytest.mark.parametrize("shortable", [False, True], ids=["spot", "shortable"])
def test_quiet_bars_change_nothing_that_learned_sources_say_or_learn(shortable: bool) -> None:
    """I-26, D-25: every predictor, taught and scored on the same bars as by all ten phases."""
    played = same(random_walk(8, 1_000, sigma=0.002), learned=True, shortable=shortable)
    assert 0.3 < skipped(played) < 1.0
    state: Any = played.phases.state()
    assert state["learned"]["online-linear"]["state"]["learned"] > 50


def test_a_learned_source_that_reaches_the_threshold_is_heard() -> None:
    """I-26: what it will say is asked before a bar is called quiet."""
    for answer, is_quiet in ((0.52, True), (0.56, False)):
        two = [Predictor(code=code, answer=lambda p=answer: p) for code in ("one", "two")]
        phases = pipeline([Rule("three", 0.5)], two, kind=ReplayPipeline)
        assert (phases.quiet(snapshot(650), [{}]) is not None) == is_quiet


def test_what_was_foreseen_is_asked_again_once_something_was_learned() -> None:
    """I-26, D-18: until then nobody is asked twice about one bar."""
    said = [0.52]
    two = [Predictor(code=code, answer=lambda: said[0]) for code in ("one", "two")]
    phases = pipeline([Rule("three", 0.5)], two, kind=ReplayPipeline)
    store = ColumnStore(BARS)
    assert phases.quiet(snapshot(650, store=store), [{}]) is not None
    asked, said[0] = two[0].asked, 0.56
    assert phases.quiet(snapshot(651, store=store), [{}]) is not None
    assert two[0].asked == asked
    lesson = Lesson({SourceInput.FEATURES: np.zeros(3)}, 1)
    phases.apply_learning(LearningResult((), (), (), Learned(BTC, 0, (), (lesson,), None)))
    assert phases.quiet(snapshot(652, store=store), [{}]) is None


def test_a_learned_source_that_fails_is_never_skipped_over() -> None:
    """ORC-17: all ten phases run and say so."""

    def explode() -> float:
        raise RuntimeError("no answer")

    phases = pipeline([Rule("one", 0.5)], [Predictor(answer=explode)], kind=ReplayPipeline)
    assert phases.quiet(snapshot(650), [{}]) is None


def test_the_ten_phases_never_answer_early() -> None:
    """ORC-06: what is stored and shown has all its records."""
    assert pipeline([Rule("one", 0.5)]).quiet(snapshot(650), [{}]) is None


def quiet_row(phases: Pipeline) -> int:
    store = ColumnStore(BARS)
    return next(r for r in range(600, 640) if phases.quiet(snapshot(r, store=store), [{}]))


def test_a_bar_on_which_something_may_happen_is_not_quiet() -> None:
    """I-26: a position to watch or to leave, a rule that proposes, a strong opinion."""
    silent = [Rule("one", 0.51)]
    phases = pipeline(silent, kind=ReplayPipeline)
    row = quiet_row(phases)
    held = holding("2")["positions"]["one"]
    assert phases.quiet(snapshot(row), [{"one": held}]) is not None
    held.stop_price = D("100000")
    assert phases.quiet(snapshot(row), [{"one": held}]) is None
    held.stop_price = None
    loud = pipeline([Rule("one", 0.51, side=1)], kind=ReplayPipeline)
    assert loud.quiet(snapshot(row), [{}]) is None


@pytest.mark.parametrize(("probability", "leaves"), [(0.48, True), (0.52, False)])
def test_a_position_of_the_ensemble_is_watched_by_what_the_ensemble_will_say(
    probability: float, leaves: bool
) -> None:
    """I-26: it leaves where its side's probability falls below the setting."""
    voices = [Predictor(code="one", answer=lambda: probability)]
    phases = pipeline([Rule("two", 0.5)], voices, kind=ReplayPipeline)
    held = holding("2")["positions"]["one"]
    held = replace(held, strategy="ensemble", stop_price=None, target_price=None)
    assert (phases.quiet(snapshot(650), [{"ensemble": held}]) is None) == leaves


def test_a_strong_opinion_downwards_is_quiet_only_where_nobody_can_go_short() -> None:
    """ORC-64"""
    down = [Predictor(code=code, answer=lambda: 0.3) for code in ("one", "two")]
    phases = pipeline([Rule("three", 0.5)], down, kind=ReplayPipeline)
    assert phases.quiet(snapshot(650, shortable=True), [{}]) is None
    assert phases.quiet(snapshot(650), [{}]) is not None


def test_a_change_of_regime_is_walked_through() -> None:
    """I-26: the next fill is booked under the new one."""
    bars = random_walk(8, 1_200, sigma=0.002)
    store = ColumnStore(bars)
    columns = market_columns(store)
    changes = np.flatnonzero(columns.ready & (columns.dwell_bars == 0))[1:]
    phases = pipeline([Rule("one", 0.5)], kind=ReplayPipeline)
    assert len(changes) > 3
    for row in changes.tolist():
        bar = snapshot(row, bars=bars, store=store, book=None)
        assert phases.quiet(bar, [{}]) is None


def calls_a_bar(phases: Pipeline, bars: BarColumns) -> float:
    """Calls of Python functions a bar of a whole session, once everything is warm."""
    played = scene(bars, phases, gatekeeper=SimulatedOperator({"one": StrategyStatus.ACTIVE}, 1))
    play(played, bars, range(1_000))
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        play(played, bars, range(1_000, 1_500))
    finally:
        sys.setprofile(None)
    return calls / 500


@pytest.mark.parametrize(
    ("side", "most"), [(0, MOST_CALLS_A_BAR), (-1, MOST_CALLS_A_WALK)], ids=["quiet", "proposed"]
)
def test_a_replay_asks_as_little_as_it_can(side: int, most: int) -> None:
    """I-26: counted, not timed: calls of Python functions a bar, where nothing is proposed and
    where every bar has an entry that is refused.

    A walk through all ten phases makes several times as many.
    """
    bars = random_walk(8, 1_500, sigma=0.002)
    rules, kind = [Rule("one", 0.5, side=side)], ReplayPipeline
    phases = pipeline(rules, learned_sources(), kind=kind, recorder=CountingRecorder())
    assert calls_a_bar(phases, bars) < most


def test_a_bar_that_was_foreseen_is_what_all_phases_say_of_it() -> None:
    """I-26, D-25: bit for bit, on every bar, while sources learn; and so is what is remembered."""
    bars = random_walk(8, 900, sigma=0.002)
    store = ColumnStore(bars)
    full, quick = (
        pipeline(rule_sources(), seats=seats(), kind=kind, recorder=CountingRecorder())
        for kind in (Pipeline, ReplayPipeline)
    )
    n_foreseen = 0
    for row in range(600, 900):
        at = snapshot(row, bars=bars, store=store, book=None)
        theirs, ours = full.analyse(at), quick.analyse(at)
        n_foreseen += ours.sources == ()
        told = {"sources": (), "conditions": (), "panel": NO_PANEL, "features": NO_BOOK}
        assert replace(ours, **told) == replace(theirs, **told)
        np.testing.assert_array_equal(ours.features.values, theirs.features.values)
        learned = [
            phases.apply_learning(phases.after(at, analysis, ()))
            for phases, analysis in ((full, theirs), (quick, ours))
        ]
        if at.event.ts_ms // bars.timeframe_ms % CONFIG.learn_every_bars == 0:
            heard = [result.analysis.panel for result in learned if result.analysis]
            assert heard[0].asked == heard[1].asked
            assert heard[0].shadow == heard[1].shadow
        assert learned[0].settlements == learned[1].settlements
        assert learned[0].insights == learned[1].insights
    assert n_foreseen > 250
    assert full.state() == quick.state()


def seats() -> tuple[Seated, ...]:
    """Predictors that vote, and two that do not."""
    shadows = [Seated(Predictor(code="looks-on", answer=lambda: 0.7), Seat.CONTROL)]
    shadows.append(Seated(Predictor(code="online-linear", answer=lambda: 0.4), Seat.GUARD, "old"))
    return (*champions(learned_sources()), *shadows)


def test_who_does_not_vote_is_asked_only_where_it_is_remembered() -> None:
    """I-26: two bars of twelve, and behind every order."""
    control = Predictor(code="looks-on")
    chosen = (*champions([Predictor(code="votes")]), Seated(control, Seat.CONTROL))
    phases = pipeline([Rule("one", 0.5)], seats=chosen, kind=ReplayPipeline)
    store = ColumnStore(BARS)
    for row in range(600, 612):
        at = snapshot(row, store=store, book=None)
        analysis = phases.analyse(at)
        phases.apply_learning(phases.after(at, analysis, ()))
    assert control.asked == 2


def test_what_only_waits_to_be_settled_throws_no_outlook_away() -> None:
    """I-26: a pending opinion changes nothing that anybody says."""
    voter = Predictor(code="votes", answer=lambda: 0.52)
    phases = pipeline([Rule("three", 0.5)], [voter], kind=ReplayPipeline)
    store = ColumnStore(BARS)
    assert phases.quiet(snapshot(650, store=store), [{}]) is not None
    asked = voter.asked
    waits = Pending(1, 100.0, "RANGING", (("three", 0.6),), {})
    phases.apply_learning(LearningResult((), (), (), Learned(BTC, 0, (), (), waits)))
    assert phases.quiet(snapshot(651, store=store), [{}]) is not None
    assert voter.asked == asked
