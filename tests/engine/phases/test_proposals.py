"""What is asked for on a bar: exits first, one a strategy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from engine.failsafe import Failure, attempt
from engine.lots import Position
from engine.phases.config import PipelineConfig
from engine.phases.proposals import propose
from engine.phases.rule_board import rule_board
from engine.ports import RuleSource
from engine.types.bars import Snapshot
from engine.types.opinions import Proposal, ProposalKind, RuleColumns, Side
from tests.engine.phases import scene

CONFIG = PipelineConfig(max_holding_bars=100, ensemble_trades=True)


def ask(rule: RuleSource, call: Callable[[], RuleColumns]) -> RuleColumns | None:
    answer = attempt(call, rule.code)
    return None if isinstance(answer, Failure) else answer


def proposals(
    of: Snapshot,
    rules: list[scene.Rule],
    held: list[Position] | None = None,
    **changes: Any,
) -> list[Proposal]:
    found = scene.analysis(of, **{"consensus": None, **changes})
    board = rule_board(rules, of.store, ask)
    positions = {p.strategy: p for p in held or []}
    return list(propose(of, found, board, positions, CONFIG))


def at(low: float, high: float) -> Snapshot:
    """A snapshot whose bar has this range; its close is inside it."""
    of = scene.snapshot()
    bar = of.event.bar
    assert bar is not None
    close = (low + high) / 2.0
    bars = of.store.bars
    bars.close[-1] = close
    event = replace(of.event, bar=replace(bar, low=low, high=high, open=close, close=close))
    return replace(of, event=event)


def held(quantity: str = "0.5", opened_bars_ago: int = 5, **changes: Any) -> Position:
    of = scene.snapshot()
    opened_at_ms = of.event.ts_ms - opened_bars_ago * scene.MINUTE_MS
    return scene.position(quantity, **{"opened_at_ms": opened_at_ms, **changes})


def test_a_rule_proposes_on_its_row_with_its_prices() -> None:
    of = scene.snapshot()
    (found,) = proposals(of, [scene.Rule(probability=0.6, side=1, rows=(-1,))])
    assert (found.strategy, found.kind, found.side) == ("rule-a", ProposalKind.ENTRY, Side.BUY)
    assert found.stop_price == pytest.approx(of.close * 0.98)
    assert proposals(of, [scene.Rule(side=1, rows=(-2,))]) == []


def test_several_strategies_propose_in_declared_order_and_the_ensemble_last() -> None:
    of = scene.snapshot()
    rules = [scene.Rule(code, side=1, rows=(-1,)) for code in ("b", "a")]
    found = proposals(of, rules, consensus=scene.consensus(0.7))
    assert [p.strategy for p in found] == ["b", "a", "ensemble"]


@pytest.mark.parametrize(
    ("low", "high", "quantity", "stop", "target", "expected"),
    [
        (94.9, 101.0, "0.5", "95", "120", "STOP"),
        (96.0, 120.0, "0.5", "95", "120", "TARGET"),
        (94.0, 121.0, "0.5", "95", "120", "STOP"),
        (96.0, 105.0, "-0.5", "105", "80", "STOP"),
        (79.0, 100.0, "-0.5", "105", "80", "TARGET"),
    ],
)
def test_a_bar_that_touches_stop_or_target_closes_the_position(
    low: float, high: float, quantity: str, stop: str, target: str, expected: str
) -> None:
    """Where both were touched the stop counts: which came first is not known."""
    position = held(quantity, stop_price=scene.D(stop), target_price=scene.D(target))
    (found,) = proposals(at(low, high), [], [position])
    assert (found.kind, found.reason_code) == (ProposalKind.EXIT, expected)
    assert found.side is (Side.SELL if position.quantity_base > 0 else Side.BUY)


def test_a_bar_that_touches_neither_leaves_the_position() -> None:
    assert proposals(at(96.0, 119.0), [], [held()]) == []


def test_the_rules_own_exit_and_the_longest_holding_time_close_a_position() -> None:
    of = at(96.0, 119.0)
    (found,) = proposals(of, [scene.Rule(exit_rows=(-1,))], [held()])
    assert found.reason_code == "RULE_EXIT"
    (found,) = proposals(of, [], [held(opened_bars_ago=100)])
    assert found.reason_code == "MAX_HOLDING"
    assert proposals(of, [], [held(opened_bars_ago=99)]) == []


def test_the_ensemble_leaves_when_the_probability_falls_to_the_other_side() -> None:
    of = at(96.0, 119.0)
    position = held(strategy="ensemble")
    (found,) = proposals(of, [], [position], consensus=scene.consensus(0.49, 1, 2))
    assert found.reason_code == "ENSEMBLE_EXIT"
    assert proposals(of, [], [position], consensus=scene.consensus(0.50, 1, 1)) == []


def test_a_strategy_that_leaves_does_not_enter_on_the_same_bar() -> None:
    """One decision a run, symbol, bar and strategy."""
    of = at(94.0, 101.0)
    rules = [scene.Rule("rule-a", side=1, rows=(-1,)), scene.Rule("rule-b", side=1, rows=(-1,))]
    found = proposals(of, rules, [held()])
    assert [(p.strategy, p.kind.value) for p in found] == [("rule-a", "exit"), ("rule-b", "entry")]


def test_a_flat_position_asks_for_nothing() -> None:
    assert proposals(at(1.0, 200.0), [], [held("0")]) == []
