"""Rules asked once a store: ORC-58, ORC-17."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from engine.failsafe import Failure, attempt
from engine.phases.rule_board import RuleBoard, rule_board
from engine.ports import RuleSource
from engine.types.bars import ColumnStore
from engine.types.opinions import RuleColumns
from tests.engine.phases import scene


def ask(rule: RuleSource, call: Callable[[], RuleColumns]) -> RuleColumns | None:
    answer = attempt(call, rule.code)
    return None if isinstance(answer, Failure) else answer


def board(*rules: scene.Rule) -> RuleBoard:
    return rule_board(rules, ColumnStore(scene.bars(50)), ask)


def test_opinions_stand_side_by_side_and_are_none_before_warm_up() -> None:
    found = board(
        scene.Rule("a", 0.6, warm_up_bars=10), scene.Rule("b", 0.4, 1, rows=(20,), warm_up_bars=0)
    )
    assert found.probability_up[9].tolist() == [0.5, 0.4]
    assert found.probability_up[10].tolist() == [0.6, 0.4]
    assert np.flatnonzero(found.proposes).tolist() == [20]


def test_a_rule_that_fails_is_left_out_and_the_others_go_on() -> None:
    """ORC-17, ORC-58"""
    found = board(scene.Rule("a", fails=True), scene.Rule("b", 0.6, warm_up_bars=0))
    assert list(found.columns) == ["b"]
    assert found.probability_up[5].tolist() == [0.5, 0.6]


def test_opinions_outside_zero_to_one_are_none() -> None:
    found = board(scene.Rule("a", float("nan")), scene.Rule("b", 1.5), scene.Rule("c", -0.1))
    assert (found.probability_up == 0.5).all()


def test_columns_of_a_wrong_length_count_as_a_failure() -> None:
    class Short(scene.Rule):
        def columns(self, store: ColumnStore) -> RuleColumns:
            good = super().columns(store)
            return replace(good, confidence=good.confidence[1:])

    assert board(Short("a", 0.6)).columns == {}
