"""Every gate's answer to one proposal, for the record: the decision is made elsewhere (ORC-59).

Phase 7 stops at the first gate that denies. Whoever asks "why not?" wants to know what else stood
in the way, so each gate is asked once more here, in the same order, and nothing depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from engine import controls
from engine import limits as hard_limits
from engine.failsafe import FailSafe, Failure
from engine.phases.entry_gates import GATES, Gate, Question, status_of, stop_on_grid
from engine.phases.risk_and_sizing import Answer, applied_multiplier, base_size, exit_gates
from engine.ports import StrategyStatus
from engine.types.decisions import GateAnswer, JsonValue, Reason
from engine.types.opinions import ProposalKind

# The layer may count what it is asked, so a proposal that never reached it is not shown to it.
LAYER = "optimization layer"


def gate_table(question: Question, answer: Answer) -> tuple[GateAnswer, ...]:
    """Return all gates of a proposal in the order in which phase 7 asks them.

    The first that did not pass is the one that decided. Sizes behind a gate that denied are those
    of the multiplier 1: the layer was not asked for one.
    """
    quiet = replace(question, report=_not_again)
    if question.proposal.kind is ProposalKind.EXIT:
        return _exit_rows(quiet, answer)
    rows = [_answered(gate, quiet) for gate in GATES]
    return (*rows, _layer(answer), *_limits(quiet, answer))


def recorded(question: Question, answer: Answer, fail_safe: FailSafe) -> tuple[GateAnswer, ...]:
    """Return ``gate_table``, or nothing where it fails: telling why changes no decision."""
    rows = fail_safe.attempt(lambda: gate_table(question, answer), where="gate table")
    return () if isinstance(rows, Failure) else rows


def _exit_rows(question: Question, answer: Answer) -> tuple[GateAnswer, ...]:
    rows = [_row(name, denied) for name, denied in exit_gates(question)]
    if all(row.passed for row in rows):
        # what is left that can stop an exit are the venue's own filters
        rows.append(_row("smallest order", answer.sizing.denied))
    return tuple(rows)


def _row(name: str, denied: Reason | None) -> GateAnswer:
    if denied is None:
        return GateAnswer(name, True)
    return GateAnswer(name, False, denied.value, denied.limit, None, denied.code, denied.text)


def describe(rows: Sequence[GateAnswer]) -> list[JsonValue]:
    """Return the table as JSON rows; what is empty at a row's end is left out (see ``read``)."""
    return [_short(row) for row in rows]


def read(rows: Sequence[Sequence[JsonValue]]) -> tuple[GateAnswer, ...]:
    """Return the table that ``describe`` wrote."""
    return tuple(GateAnswer(*row) for row in rows)  # type: ignore[arg-type]


def _short(row: GateAnswer) -> JsonValue:
    numbers = [_digits(row.value), _digits(row.limit), _digits(row.margin)]
    cells: list[JsonValue] = [row.name, row.passed, *numbers, row.code, row.text]
    while cells[-1] in (None, ""):
        cells.pop()
    return cells


def _digits(value: float | None) -> float | None:
    """Eight significant digits: what is told, not what was decided with."""
    return None if value is None else float(f"{value:.8g}")


def _not_again(failure: Failure) -> None:
    """A failure was reported when the decision was made."""


def _answered(gate: Gate, question: Question) -> GateAnswer:
    denied, measured = gate.deny(question), gate.measure(question)
    value = limit = margin = None
    if measured is not None:
        value, limit, sign = measured
        margin = sign * (value - limit)
    if denied is None:
        return GateAnswer(gate.name, True, value, limit, margin)
    return GateAnswer(gate.name, False, value, limit, margin, denied.code, denied.text)


def _layer(answer: Answer) -> GateAnswer:
    said = answer.policy
    if said is None:
        text = "not asked: the layer hears only of proposals that every gate before it let through"
        return GateAnswer(LAYER, None, text=text)
    quality = said["quality"]
    value = quality if isinstance(quality, float) else None
    detail = said.get("detail")
    threshold = detail.get("threshold") if isinstance(detail, dict) else None
    limit = threshold if isinstance(threshold, float) and value is not None else None
    margin = None if value is None or limit is None else value - limit
    if said["accepted"]:
        if margin is not None and margin < 0.0:
            # what passed below the threshold was not held against it: the filter is off
            limit = margin = None
        return GateAnswer(LAYER, True, value, limit, margin)
    code, text = str(said["reason_code"]), str(said["reason"])
    return GateAnswer(LAYER, False, value, limit, margin, code, text)


def _limits(question: Question, answer: Answer) -> tuple[GateAnswer, ...]:
    """Return the answers of the hard limits to the size that phase 7 asks them for."""
    proposal, context = question.proposal, question.context
    instrument = question.snapshot.instrument
    stop = (
        None
        if proposal.stop_price is None
        else stop_on_grid(instrument, proposal.side, proposal.stop_price)
    )
    price = instrument.price(proposal.price)
    if stop is None or stop == price:
        return (GateAnswer("limits", None, text="not asked: no size follows without a stop"),)
    if not context.risk.is_finite:
        wanted = 1.0
    elif answer.sizing.base_quantity > 0.0:
        wanted = answer.sizing.base_quantity * answer.sizing.multiplier_applied
    else:
        status = status_of(question)
        known = StrategyStatus.ACTIVE if isinstance(status, Failure) else status
        multiplier, _ = applied_multiplier(1.0, known, question.config)
        wanted = base_size(question, price, stop)[0] * multiplier
    request = hard_limits.SizeRequest(
        instrument=instrument,
        strategy=proposal.strategy,
        side=proposal.side,
        quantity_base=wanted,
        price=price,
        stop_price=stop,
        rooms=controls.volume_rooms(question.snapshot, proposal.side, context.limits),
    )
    return hard_limits.survey(request, context.limits, context.risk)
