"""Every gate's answer to one proposal, and that none of it changes the decision."""

from __future__ import annotations

from typing import Any

import pytest

from engine.phases.entry_gates import Question
from engine.phases.gate_table import LAYER, describe, gate_table
from engine.phases.risk_and_sizing import assess_risk_and_size
from engine.policy import BasePolicy
from engine.ports import Assessment, StrategyStatus, TradingState
from engine.types.decisions import GateAnswer
from tests.engine.books import D, intent
from tests.engine.phases import scene
from tests.engine.phases.sizing import Layer
from tests.engine.phases.test_entry_gates import GATES


def table(policy: Any = None, **changes: Any) -> tuple[GateAnswer, ...]:
    """Judge one proposal and return every gate's answer."""
    question, answer = judged(policy, **changes)
    return gate_table(question, answer)


def judged(
    policy: Any = None,
    proposal: Any = None,
    seen: dict[str, Any] | None = None,
    late_ms: int = 0,
    **account: Any,
) -> Any:
    at = scene.snapshot(late_ms=late_ms)
    question = Question(
        proposal or scene.entry(),
        at,
        scene.analysis(at, **(seen or {})),
        scene.context(**account),
        scene.CONFIG,
        [].append,
    )
    return question, assess_risk_and_size(question, policy or BasePolicy())


def failing(rows: tuple[GateAnswer, ...]) -> list[str]:
    return [row.code for row in rows if row.passed is False]


def named(rows: tuple[GateAnswer, ...], name: str) -> GateAnswer:
    return next(row for row in rows if row.name == name)


@pytest.mark.parametrize("name", GATES)
def test_the_first_gate_that_did_not_pass_is_the_one_that_decided(name: str) -> None:
    """ORC-59: the table and the decision name the same gate, whichever it is."""
    code, changes = GATES[name]
    rows = table(**changes)
    assert failing(rows)[0] == code


def test_a_proposal_that_passes_passes_every_gate_with_its_room() -> None:
    """ORC-59: value, limit and margin of each gate that compares something."""
    rows = table()
    assert failing(rows) == []
    assert [row.name for row in rows if row.passed is None] == []
    vote = named(rows, "vote of all sources")
    assert (vote.value, vote.limit) == (0.6, 0.49)
    assert vote.margin == pytest.approx(0.11)
    drawdown = named(rows, "drawdown")
    assert (drawdown.value, drawdown.limit, drawdown.margin) == (0.0, 0.2, 0.2)
    assert named(rows, "smallest order").margin > 0
    assert named(rows, LAYER).passed is True


def test_everything_that_would_have_failed_after_the_first_gate_is_told() -> None:
    """ORC-59: the reducing state stops it; vote, day loss and open orders would have too."""
    rows = table(
        gatekeeper=scene.Gate(state=TradingState.REDUCING),
        seen={"consensus": scene.consensus(0.40)},
        risk=scene.risk(day_pnl_quote=D("-310"), open_orders=10),
    )
    assert failing(rows) == ["REDUCING", "VOTED_DOWN", "DAY_LOSS", "OPEN_ORDERS"]
    assert named(rows, "vote of all sources").margin == pytest.approx(-0.09)
    assert named(rows, "open orders").margin == -1.0


def test_the_layer_is_not_asked_for_the_record() -> None:
    """D-02: what never reached it is not counted by it."""

    def never() -> Any:
        raise AssertionError("asked")

    rows = table(Layer(never, never), gatekeeper=scene.Gate(status=StrategyStatus.SUSPENDED))
    assert named(rows, LAYER).passed is None
    assert "not asked" in named(rows, LAYER).text


def test_a_refusal_of_the_layer_is_a_row_with_its_quality() -> None:
    refused = Layer(assessment=lambda: Assessment(False, 0.4, "LOW_QUALITY", "quality 0.4 of 0.6"))
    row = named(table(refused), LAYER)
    assert (row.passed, row.value, row.code) == (False, 0.4, "LOW_QUALITY")


def test_an_exit_has_its_own_three_gates() -> None:
    """D-28: position, halt, an exit on its way; then the venue's filters."""
    rows = table(proposal=scene.leave(), **scene.holding())
    assert [row.name for row in rows] == [
        "position held",
        "trading state",
        "exit on its way",
        "smallest order",
    ]
    assert failing(rows) == []
    halted = scene.Gate(state=TradingState.HALTED)
    assert failing(table(proposal=scene.leave(), gatekeeper=halted)) == ["NO_POSITION", "HALTED"]


def test_a_table_is_rows_of_json() -> None:
    row = describe(table(pending=(intent(strategy=scene.STRATEGY),)))[4]
    assert isinstance(row, list)
    assert row[:2] == ["order on its way", False]
    assert row[5] == "DUPLICATE"


def test_a_refusal_below_the_threshold_tells_how_much_was_missing() -> None:
    """ORC-59: the layer's threshold is a limit like any other, and its lack can be the nearest."""
    detail = {"threshold": 0.6}
    refused = Assessment(False, 0.4, "LOW_QUALITY", "quality 0.4 of 0.6", detail=detail)
    row = named(table(Layer(assessment=lambda: refused)), LAYER)
    assert (row.limit, row.margin) == (0.6, pytest.approx(-0.2))


def test_a_filter_that_is_off_has_no_limit() -> None:
    passed = Assessment(True, 0.4, "UNFILTERED", "filter off", detail={"threshold": 0.6})
    row = named(table(Layer(assessment=lambda: passed)), LAYER)
    assert (row.passed, row.value, row.limit, row.margin) == (True, 0.4, None, None)
