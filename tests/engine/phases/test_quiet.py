"""A replay may skip what changes nothing: line by line the same as all ten phases."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.phases.config import PipelineConfig
from engine.phases.pipeline import Pipeline
from engine.phases.quiet import ReplayPipeline
from engine.phases.recorder import CountingRecorder
from engine.ports import StrategyStatus
from engine.simulated_operator import SimulatedOperator
from engine.types.bars import BarColumns, ColumnStore
from engine.types.decisions import Action
from strategies.core.registry import PARAMS, learned_sources, rule_sources
from tests.bar_factory import labelled_regimes, random_walk, real_bars
from tests.engine.books import D, instrument
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


def test_with_a_learned_source_no_bar_is_quiet() -> None:
    """I-26: it learns from what it said, so it must be asked on every bar."""
    played = same(random_walk(8, 700, sigma=0.002), learned=True)
    assert skipped(played) == 0.0
    learning = pipeline([Rule("one", 0.5)], [Predictor()], kind=ReplayPipeline)
    assert learning.quiet(snapshot(650), [{}]) is None


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
    assert phases.quiet(snapshot(row), [{"ensemble": replace(held, strategy="ensemble")}]) is None
    for loud in (Rule("one", 0.51, side=1), Rule("one", 0.53)):
        assert pipeline([loud], kind=ReplayPipeline).quiet(snapshot(row), [{}]) is None


def test_a_strong_opinion_downwards_is_quiet_only_where_nobody_can_go_short() -> None:
    """ORC-64"""
    down = [Rule("one", 0.3)]
    phases = pipeline(down, kind=ReplayPipeline)
    row = quiet_row(phases)
    assert phases.quiet(snapshot(row, shortable=True), [{}]) is None
