"""Exits of what is held where a bar's proposals could not be made: nobody is locked in (ORC-17)."""

from __future__ import annotations

from collections.abc import Callable

from engine.failsafe import FailSafe, Failure
from engine.phases.config import PipelineConfig
from engine.phases.context import Positions
from engine.phases.proposals import exit_proposal
from engine.phases.rule_board import RuleBoard, empty_board
from engine.types.bars import ColumnStore, Snapshot
from engine.types.decisions import Analysis
from engine.types.opinions import Proposal


def exits_alone(
    snapshot: Snapshot,
    analysis: Analysis,
    positions: Positions,
    board_of: Callable[[ColumnStore], RuleBoard],
    config: PipelineConfig,
    fail_safe: FailSafe,
) -> tuple[Proposal, ...]:
    """Return the exits of this bar, each position asked on its own.

    Where the rules cannot be asked either, stops, targets and the holding time still are.
    """
    board = fail_safe.attempt(lambda: board_of(snapshot.store), where="rules", always=True)
    if isinstance(board, Failure):
        board = empty_board(len(snapshot.store.bars))
    found: list[Proposal] = []
    for strategy in sorted(positions):
        held = positions[strategy]
        leaving = fail_safe.attempt(
            lambda b=board, h=held: exit_proposal(  # type: ignore[misc]
                snapshot, analysis, b, h, config
            ),
            where=f"exit of {strategy}",
            always=True,
        )
        if held.quantity_base != 0 and isinstance(leaving, Proposal):
            found.append(leaving)
    return tuple(found)
