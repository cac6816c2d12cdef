"""All rules over one store; one that fails leaves the others alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, nan
from typing import Any

import numpy as np
import pytest

from engine.phases.rule_board import RuleBoard
from engine.types.bars import ColumnStore
from engine.types.opinions import RuleColumns
from tests.engine.phases.scene import BARS, CONFIG, Incidents, Rule, analysis, pipeline, snapshot


@dataclass
class Odd(Rule):
    """A rule whose columns are changed before they are handed over."""

    change: Callable[[RuleColumns], Any] = lambda columns: columns

    def columns(self, store: ColumnStore) -> RuleColumns:
        return self.change(super().columns(store))


def board_of(*rules: Rule, incidents: Incidents | None = None) -> RuleBoard:
    return pipeline(rules, incidents=incidents).board(ColumnStore(BARS))


@pytest.mark.parametrize(
    "odd",
    [
        Odd("odd", error=RuntimeError("broken")),
        Odd("odd", change=lambda c: None),
        Odd("odd", change=lambda c: replace(c, side=c.side[:-1])),
        Odd("odd", change=lambda c: replace(c, probability_up=c.probability_up[None, :])),
    ],
    ids=["raises", "none", "short", "another shape"],
)
def test_a_rule_that_fails_is_left_out_and_reported(odd: Odd) -> None:
    """F-074: it has no opinion and proposes nothing; the others are heard."""
    incidents = Incidents()
    board = board_of(Rule("good", 0.7), odd, incidents=incidents)
    assert list(board.columns) == ["good"]
    assert (board.probability_up[:, 0] == 0.7).all()
    assert (board.probability_up[:, 1] == 0.5).all()
    assert not board.proposes.any()
    assert incidents.places == ["rule odd"]


@pytest.mark.parametrize("absurd", [nan, inf, -inf, 1e9, -0.1, 1.1])
def test_an_absurd_opinion_is_none(absurd: float) -> None:
    """F-075: rejected on its bar, not clamped to certainty."""

    def spoil(columns: RuleColumns) -> RuleColumns:
        columns.probability_up[300] = absurd
        return columns

    column = board_of(Odd("odd", 0.7, change=spoil)).probability_up[:, 0]
    assert column[300] == 0.5
    assert (np.delete(column, 300) == 0.7).all()


@pytest.mark.parametrize("absurd", [nan, inf, 1e9, -0.1])
def test_an_entry_of_absurd_confidence_is_not_proposed(absurd: float) -> None:
    """F-075: a decision's confidence is in [0, 1]; the rule's other bars still count."""

    def spoil(columns: RuleColumns) -> RuleColumns:
        columns.confidence[650] = absurd
        return columns

    phases = pipeline(
        [Odd("odd", side=1, change=spoil)], config=replace(CONFIG, ensemble_trades=False)
    )
    at, before = snapshot(650), snapshot(649)
    assert phases.proposals(at, analysis(at), {}) == ()
    assert len(phases.proposals(before, analysis(before), {})) == 1


def test_before_it_is_warm_a_rule_has_no_opinion() -> None:
    """ORC-58"""
    column = board_of(Rule("late", 0.7, warm_up_bars=100)).probability_up[:, 0]
    assert (column[:100] == 0.5).all() and (column[100:] == 0.7).all()


def test_a_store_is_asked_once() -> None:
    """ORC-20: however many bars are read from it."""
    asked: list[int] = []

    def count(columns: RuleColumns) -> RuleColumns:
        asked.append(1)
        return columns

    phases, store = pipeline([Odd("odd", change=count)]), ColumnStore(BARS)
    for row in (500, 501, 502):
        phases.analyse(snapshot(row, store=store))
    assert len(asked) == 1


def test_bars_on_which_any_rule_wants_to_enter_are_marked() -> None:
    def once(columns: RuleColumns) -> RuleColumns:
        columns.side[300] = -1
        return columns

    proposes = board_of(Rule("quiet"), Odd("odd", change=once)).proposes
    assert np.flatnonzero(proposes).tolist() == [300]
