"""How each phase's outcome becomes its record: status, reasons with numbers, output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from engine.executors import Failed
from engine.failsafe import Failure
from engine.phases import gate_table, near_misses
from engine.phases.evolution import EvolutionStep
from engine.phases.final_decision import votes
from engine.phases.learning import Learned
from engine.phases.recorder import Chain
from engine.phases.risk_and_sizing import Answer
from engine.types.bars import Snapshot
from engine.types.conditions import NearMiss
from engine.types.decisions import (
    PHASES,
    Analysis,
    Decision,
    GateAnswer,
    JsonValue,
    PhaseRecord,
    PhaseStatus,
    Reason,
)
from engine.types.opinions import Missing, Proposal

V = TypeVar("V")
Views = Callable[[V], dict[str, JsonValue]]


# -- what a chain starts from --------------------------------------------------------------------


def event(snapshot: Snapshot) -> JsonValue:
    """Return the event as JSON: what phases 1-3 were given."""
    given, bar = snapshot.event, snapshot.event.bar
    book, flow = given.book, given.flow
    return {
        "symbol": given.symbol,
        "ts_ms": given.ts_ms,
        "bars": snapshot.row + 1,
        "bar": None if bar is None else [bar.open, bar.high, bar.low, bar.close, bar.volume],
        "bids": None if book is None else [list(level) for level in book.bids],
        "asks": None if book is None else [list(level) for level in book.asks],
        "flow": None if flow is None else [flow.buy_volume_base, flow.sell_volume_base],
    }


def proposal(analysis: Analysis, asked: Proposal | None, inputs: dict[str, JsonValue]) -> JsonValue:
    """Return what phases 7 and 8 were given."""
    return given(_digests(analysis.records), asked, inputs)


def given(
    digests: list[JsonValue], asked: Proposal | None, inputs: dict[str, JsonValue]
) -> JsonValue:
    """Return what phases 7 and 8 were given, the analysis by the digests of its outputs."""
    question: JsonValue = None
    if asked is not None:
        question = [
            asked.strategy,
            asked.kind.value,
            asked.side.value,
            asked.confidence,
            asked.price,
            asked.stop_price,
            asked.target_price,
            asked.reason_code,
        ]
    return {"analysis": digests, "proposal": question, "inputs": inputs}


def decisions(analysis: Analysis, made: Sequence[Decision]) -> JsonValue:
    """Return what phases 9 and 10 were given."""
    return {
        "analysis": _digests(analysis.records),
        "decisions": [
            [d.strategy, d.action.value, str(d.quantity_base), d.reason_code] for d in made
        ],
    }


def _digests(records: Sequence[PhaseRecord]) -> list[JsonValue]:
    return [record.output_digest for record in records]


# -- failures ------------------------------------------------------------------------------------


def failure_reason(number: int, text: str) -> Reason:
    return Reason("PHASE_ERROR", f"phase {number} {PHASES[number - 1]} failed, error was {text}")


def failed_phase(analysis: Analysis) -> PhaseRecord | None:
    """Return the first of phases 1-6 that failed: no new risk is taken on such a bar (ORC-17)."""
    for record in analysis.records:
        if record.status is PhaseStatus.ERROR:
            return record
    return None


def add_failure(chain: Chain, number: int, last: int, text: str) -> None:
    """Record that a phase failed, and that those after it up to ``last`` were skipped."""
    reasons = (failure_reason(number, text),)
    chain.add(number, PhaseStatus.ERROR, _nothing, reasons)
    add_skipped(chain, number + 1, last, reasons)


def add_skipped(chain: Chain, first: int, last: int, reasons: tuple[Reason, ...]) -> None:
    for number in range(first, last + 1):
        chain.add(number, PhaseStatus.SKIPPED, _nothing, reasons)


def _nothing() -> dict[str, JsonValue]:
    return {}


# -- outcomes ------------------------------------------------------------------------------------


def add_view(chain: Chain, number: int, view: V | Missing, describe: Views[V]) -> None:
    """Record one of phases 1-3."""
    if not isinstance(view, Missing):
        found = view
        chain.add(number, PhaseStatus.PASSED, lambda: describe(found))
    elif isinstance(view, Failed):
        reasons = (failure_reason(number, view.reason),)
        chain.add(number, PhaseStatus.ERROR, _nothing, reasons)
    else:
        why = view.reason
        chain.add(number, PhaseStatus.MISSING, lambda: {"missing": why}, (Reason("MISSING", why),))


# Every size is the smaller of two bases and is rounded to the lot: that takes nothing away.
_NO_REDUCTION = ("BASE", "LOT_SIZE")


def add_sizing(chain: Chain, answer: Answer, gates: Sequence[GateAnswer] = ()) -> None:
    """Record phase 7: blocked, reduced by a step of the trace, or passed, and every gate."""
    sizing = answer.sizing
    if sizing.denied is not None:
        status, reasons = PhaseStatus.BLOCKED, (sizing.denied, *answer.notes)
    elif any(s.after_base < s.before_base for s in sizing.steps if s.code not in _NO_REDUCTION):
        status, reasons = PhaseStatus.REDUCED, answer.notes
    else:
        status, reasons = PhaseStatus.PASSED, answer.notes

    def output() -> dict[str, JsonValue]:
        return {
            "base_quantity": sizing.base_quantity,
            "multiplier_raw": sizing.multiplier_raw,
            "multiplier_applied": sizing.multiplier_applied,
            "quantity_base": str(sizing.quantity_base),
            "notional_quote": str(sizing.notional_quote),
            "stop_risk_quote": str(sizing.stop_risk_quote),
            "quality": sizing.quality,
            "steps": [[s.code, s.before_base, s.after_base, s.text] for s in sizing.steps],
            "policy": answer.policy,
            "gates": gate_table.describe(gates),
        }

    chain.add(7, status, output, reasons)


def add_silence(chain: Chain, reason: Reason, lacked: Sequence[NearMiss]) -> None:
    """Record phase 7 of a bar on which nobody proposed: who came closest, and what it lacked."""

    def output() -> dict[str, JsonValue]:
        return {"near_misses": [near_misses.describe(near) for near in lacked]}

    chain.add(7, PhaseStatus.SKIPPED, output, (reason,))


def add_decision(chain: Chain, decision: Decision, analysis: Analysis) -> None:
    """Record phase 8."""

    def output() -> dict[str, JsonValue]:
        return {
            "action": decision.action.value,
            "confidence": decision.confidence,
            "quantity_base": str(decision.quantity_base),
            "stop_price": _text(decision.stop_price),
            "target_price": _text(decision.target_price),
            "valid_until_ms": decision.valid_until_ms,
            "reason_code": decision.reason_code,
            "blocking_phase": decision.blocking_phase,
            "votes": votes(analysis),
            "client_order_id": (
                None if decision.intent is None else decision.intent.client_order_id
            ),
        }

    status = PhaseStatus.PASSED if decision.blocking_phase is None else PhaseStatus.BLOCKED
    chain.add(8, status, output, decision.reasons)


def add_learning(chain: Chain, learned: Learned | Failure | None) -> None:
    """Record phase 9."""
    if isinstance(learned, Failure):
        chain.add(9, PhaseStatus.ERROR, _nothing, (failure_reason(9, learned.text),))
        return

    def output() -> dict[str, JsonValue]:
        if learned is None:
            return {"settled": {}, "pending": []}
        pending = () if learned.pending is None else learned.pending.opinions
        return {
            "settled": {s.source: s.brier for s in learned.settlements},
            "lessons": len(learned.lessons),
            "pending": [source for source, _ in pending],
        }

    chain.add(9, PhaseStatus.PASSED, output)


def add_evolution(chain: Chain, step: EvolutionStep | Failure | None) -> None:
    """Record phase 10."""
    if isinstance(step, Failure):
        chain.add(10, PhaseStatus.ERROR, _nothing, (failure_reason(10, step.text),))
        return
    if step is None:
        chain.add(10, PhaseStatus.SKIPPED, _nothing, (_NOBODY_LEARNS,))
        return
    triggers, watched = step.triggers, len(step.watches)

    def output() -> dict[str, JsonValue]:
        return {"watched": watched, "triggers": {t.source: t.kind for t in triggers}}

    reasons = tuple(Reason(t.kind.upper(), t.text, t.value, t.limit) for t in triggers)
    chain.add(10, PhaseStatus.PASSED, output, reasons)


_NOBODY_LEARNS = Reason("NO_LEARNED_SOURCE", "nothing to train, learned sources were 0", 0.0)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


# -- silence -------------------------------------------------------------------------------------


def silence(analysis: Analysis) -> Reason:
    """Say why nobody proposed anything on a bar whose phases all ran."""
    if isinstance(analysis.market, Missing):
        return Reason("NOT_WARM", f"no entries, market {analysis.market.reason}")
    validation, consensus = analysis.validation, analysis.consensus
    if validation is None or consensus is None:
        return NO_OPINION
    text = (
        f"nobody proposed, probability up was {consensus.probability_up:.3f} "
        f"({validation.verdict}), {consensus.confluence_up} sources up, "
        f"{consensus.confluence_down} down"
    )
    return Reason("NO_PROPOSAL", text, consensus.probability_up)


NO_OPINION = Reason("NO_PROPOSAL", "nobody proposed, selected sources with an opinion were 0", 0.0)
