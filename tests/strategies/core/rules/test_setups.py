"""What each rule says of a bar against what it does on it: the explanation must be the rule."""

from __future__ import annotations

import pytest

from engine.types.bars import ColumnStore
from engine.types.conditions import Condition, Setup, Wants
from engine.types.opinions import Side
from strategies.core.registry import RULES, rule_sources
from tests.bar_factory import labelled_regimes, random_walk

STORES = [ColumnStore(random_walk(5, 1_500)), ColumnStore(labelled_regimes(3, cycles=1)[0])]


@pytest.mark.parametrize("code", RULES)
def test_a_rule_proposes_only_where_a_setup_of_that_side_is_complete(code: str) -> None:
    """ORC-59: on every bar that proposes, all conditions of one setup of that side are met."""
    (rule,) = rule_sources(codes=[code])
    proposed = 0
    for store in STORES:
        columns = rule.columns(store)
        for row in range(rule.warm_up_bars, len(store.bars)):
            side = int(columns.side[row])
            if side == 0:
                continue
            proposed += 1
            complete = {s.side.sign for s in rule.setups(store, row) if not s.unmet}
            assert side in complete, f"row {row}"
    assert proposed > 3


@pytest.mark.parametrize("code", RULES)
def test_where_a_setup_is_complete_the_rule_proposes(code: str) -> None:
    """ORC-59: nothing that keeps the rule from entering is left untold.

    Left out are bars on which both sides are complete: the rules then say nothing.
    """
    (rule,) = rule_sources(codes=[code])
    silent = 0
    for store in STORES:
        columns = rule.columns(store)
        for row in range(rule.warm_up_bars + 1, len(store.bars)):
            sides = {s.side for s in rule.setups(store, row) if not s.unmet}
            if len(sides) != 1:
                continue
            silent += int(columns.side[row]) != next(iter(sides)).sign
    assert silent == 0


def test_a_condition_says_what_was_missing() -> None:
    """ORC-59"""
    condition = Condition("probability", 0.518, Wants.AT_LEAST, 0.525)
    assert not condition.met
    assert condition.sentence == "probability: 0.518, needed >= 0.525, missing 0.007"
    assert Condition("gap", None, Wants.ABOVE, 1.0, "ATR").sentence == (
        "gap: needed > 1 ATR, there was nothing to measure"
    )


@pytest.mark.parametrize(
    ("wants", "below", "at", "above"),
    [
        (Wants.ABOVE, False, False, True),
        (Wants.AT_LEAST, False, True, True),
        (Wants.BELOW, True, False, False),
        (Wants.AT_MOST, True, True, False),
    ],
)
def test_a_condition_is_met_on_its_good_side(
    wants: Wants, below: bool, at: bool, above: bool
) -> None:
    met = [Condition("x", value, wants, 1.0).met for value in (0.9, 1.0, 1.1)]
    assert met == [below, at, above]
    assert not Condition("x", float("nan"), wants, 1.0).met


def test_many_small_steps_are_closer_than_one_long_way() -> None:
    """ORC-59: the nearest miss is the one that lacked least, not the one with fewest names."""
    far = Setup("far", Side.BUY, (Condition("a", -5.0, Wants.ABOVE, 0.0, "ATR"),))
    small = Condition("a", -0.01, Wants.ABOVE, 0.0, "ATR")
    two = Setup("two", Side.BUY, (small, small))
    one = Setup("one", Side.BUY, (small,))
    unmeasured = Setup("none", Side.BUY, (Condition("a", None, Wants.ABOVE, 0.0),))
    assert one.distance < two.distance < far.distance < unmeasured.distance
