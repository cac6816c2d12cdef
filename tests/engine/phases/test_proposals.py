"""Who asks for what on a bar: exits first, one proposal a strategy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.phases.config import PipelineConfig
from engine.types.bars import Bar, Snapshot
from engine.types.opinions import Proposal, ProposalKind, Side
from tests.engine.books import D
from tests.engine.phases.scene import CONFIG, Held, Rule, analysis, consensus, pipeline, snapshot

RULES_ONLY = replace(CONFIG, ensemble_trades=False)


def with_bar(low: float, high: float) -> Snapshot:
    """The usual bar stretched to a low and a high, as fractions of its close."""
    at = snapshot()
    close = at.close
    bar = Bar(at.event.ts_ms - 60_000, close, close * high, close * low, close, 1.0)
    return replace(at, event=replace(at.event, bar=bar))


def propose(
    rules: Any = (),
    at: Snapshot | None = None,
    config: PipelineConfig = RULES_ONLY,
    held: Any = (),
    **changes: Any,
) -> list[Proposal]:
    now = at or snapshot()
    positions = {position.strategy: position for position in held}
    phases = pipeline(rules, config=config)
    return list(phases.proposals(now, analysis(now, **changes), positions))


def price(fraction: float) -> Any:
    return snapshot().instrument.price(snapshot().close * fraction)


def held(quantity: str = "2", **changes: Any) -> Held:
    return Held(D(quantity), **changes)


def reason_of(proposals: list[Proposal]) -> str | None:
    if not proposals:
        return None
    (proposal,) = proposals
    assert proposal.kind is ProposalKind.EXIT
    return proposal.reason_code


def test_a_rules_entry_is_proposed_with_its_levels() -> None:
    """ORC-64"""
    (proposal,) = propose([Rule("a", 0.62, side=1)])
    close = snapshot().close
    assert (proposal.strategy, proposal.side, proposal.kind) == ("a", Side.BUY, ProposalKind.ENTRY)
    assert proposal.stop_price == pytest.approx(close * 0.99)
    assert proposal.target_price == pytest.approx(close * 1.02)
    assert "probability up 0.620" in proposal.reason


def test_levels_a_rule_does_not_give_are_none_and_not_nan() -> None:
    (proposal,) = propose([Rule("a", side=1, stop_fraction=float("nan"))])
    assert proposal.stop_price is None and proposal.target_price is None


@pytest.mark.parametrize(
    ("quantity", "low", "high", "expected"),
    [
        ("2", 0.97, 1.0, "STOP"),
        ("2", 1.0, 1.03, "TARGET"),
        ("2", 0.97, 1.03, "STOP"),
        ("2", 0.985, 1.015, None),
        ("-2", 1.0, 1.03, "STOP"),
        ("-2", 0.97, 1.0, "TARGET"),
        ("-2", 0.97, 1.03, "STOP"),
    ],
)
def test_a_touched_stop_or_target_closes_and_the_stop_counts_first(
    quantity: str, low: float, high: float, expected: str | None
) -> None:
    """ORC-64: longs and shorts; which came first inside a bar is not known."""
    levels = (0.98, 1.02) if quantity == "2" else (1.02, 0.98)
    position = held(quantity, stop_price=price(levels[0]), target_price=price(levels[1]))
    found = propose(at=with_bar(low, high), held=[position])
    assert reason_of(found) == expected
    if found:
        assert found[0].side is (Side.SELL if quantity == "2" else Side.BUY)


def test_a_strategy_leaves_by_its_own_rule() -> None:
    """ORC-64"""
    assert reason_of(propose([Rule(exits=True)], held=[held()])) == "RULE_EXIT"
    assert propose([Rule(exits=False)], held=[held()]) == []
    assert propose([Rule(exits=True)], held=[held("0")]) == []


def test_nobody_is_held_for_ever() -> None:
    """ORC-64"""
    config = replace(RULES_ONLY, max_holding_bars=10)
    now = snapshot().event.ts_ms
    young, old = (held(opened_at_ms=now - bars * 60_000) for bars in (9, 10))
    assert propose(config=config, held=[young]) == []
    assert reason_of(propose(config=config, held=[old])) == "MAX_HOLDING"
    assert propose(config=config, held=[held(opened_at_ms=None)]) == []


@pytest.mark.parametrize(
    ("quantity", "up", "expected"),
    [
        ("2", 0.49, "ENSEMBLE_EXIT"),
        ("2", 0.50, None),
        ("-2", 0.51, "ENSEMBLE_EXIT"),
        ("-2", 0.50, None),
    ],
)
def test_the_ensemble_leaves_where_its_side_is_no_longer_likely(
    quantity: str, up: float, expected: str | None
) -> None:
    """ORC-64"""
    position = held(quantity, strategy="ensemble")
    found = propose(config=CONFIG, held=[position], consensus=consensus(up))
    assert reason_of(found) == expected


def test_without_a_consensus_the_ensemble_keeps_what_it_has() -> None:
    """ORC-58: an absent opinion is not an adverse one; its stop still holds."""
    position = held(strategy="ensemble", stop_price=price(0.98))
    assert propose(config=CONFIG, held=[position], consensus=None) == []
    at = with_bar(0.97, 1.0)
    assert reason_of(propose(at=at, config=CONFIG, held=[position], consensus=None)) == "STOP"


def test_a_rule_that_fails_still_has_its_stop_watched() -> None:
    """F-074, ORC-17: an exit does not depend on the source that opened it."""
    broken = Rule(error=RuntimeError("broken"))
    position = held(stop_price=price(0.98))
    assert reason_of(propose([broken], at=with_bar(0.97, 1.0), held=[position])) == "STOP"


def test_whoever_leaves_does_not_enter_on_the_same_bar_and_exits_come_first() -> None:
    """D-18: one decision a strategy and bar."""
    rules = [Rule("a", side=1), Rule("b", side=1, exits=True)]
    found = propose(rules, config=CONFIG, held=[held(strategy="b")])
    assert [(p.strategy, p.kind.value) for p in found] == [
        ("b", "exit"),
        ("a", "entry"),
        ("ensemble", "entry"),
    ]


def test_the_ensemble_can_be_switched_off() -> None:
    assert [p.strategy for p in propose(config=CONFIG)] == ["ensemble"]
    assert propose(config=RULES_ONLY) == []
