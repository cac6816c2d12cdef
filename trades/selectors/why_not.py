"""Why nothing was traded: the gates that failed in order, the nearest miss, one sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.phases import gate_table, near_misses
from engine.types.conditions import NearMiss
from engine.types.decisions import PHASES, Action, GateAnswer
from trades.models import Decision, Order
from trades.selectors.decisions import phases_of

_STOPS = ("blocked", "error", "missing")
_REFUSED_ORDERS = ("DENIED", "REJECTED", "EXPIRED", "CANCELED")


@dataclass(frozen=True, slots=True)
class WhyNot:
    """What stopped a decision, in words and numbers.

    ``failing`` are the gates that failed, in the order in which they are asked: the first decided,
    the others would have. ``gates`` are all gates with value, limit and margin; one that could not
    be asked has ``passed`` None. ``nearest_miss`` is the sentence of what was closest to passing,
    ``near_misses`` what each rule lacked on a bar on which nobody proposed.
    """

    traded: bool
    summary: str
    blocking_phase: int | None
    phase_name: str
    reason_code: str
    failing: list[dict[str, Any]]
    gates: list[GateAnswer] = field(default_factory=list)
    nearest_miss: str = ""
    near_misses: list[dict[str, Any]] = field(default_factory=list)


def decision_why_not(decision: Decision) -> WhyNot:
    """Answer "why no trade?" from what was stored then; nothing is computed again."""
    orders = list(decision.orders.all())
    records = phases_of(decision)
    output = records[6]["output"]
    gates = gate_table.read(output.get("gates") or [])
    lacked = [near_misses.read(row) for row in output.get("near_misses") or []]
    failing = _failing(records, gates)
    failing += [_refusal(o) for o in orders if o.status in _REFUSED_ORDERS]
    refused = bool(orders) and all(order.status in _REFUSED_ORDERS for order in orders)
    traded = decision.action != Action.HOLD and bool(orders) and not refused
    number = decision.blocking_phase
    nearest = _nearest(gates, lacked)
    return WhyNot(
        traded=traded,
        summary=_summary(decision, traded, failing, nearest),
        blocking_phase=number,
        phase_name=PHASES[number - 1] if number else "",
        reason_code=decision.reason_code,
        failing=failing,
        gates=list(gates),
        nearest_miss=nearest,
        near_misses=[_near(near) for near in lacked],
    )


def _failing(records: list[dict[str, Any]], gates: tuple[GateAnswer, ...]) -> list[dict[str, Any]]:
    """Return what failed in order; where gates were recorded they tell of phase 7."""
    failing: list[dict[str, Any]] = []
    for record in records:
        number, name = record["number"], record["name"]
        if number == 7 and gates and record["status"] != "error":
            failing += [
                {
                    "phase": 7,
                    "phase_name": name,
                    "code": gate.code,
                    "text": gate.text,
                    "value": gate.value,
                    "limit": gate.limit,
                }
                for gate in gates
                if gate.passed is False
            ]
        elif record["status"] in _STOPS and not (number == 8 and failing and gates):
            failing += [
                {"phase": number, "phase_name": name, **reason} for reason in record["reasons"]
            ]
    return failing


def _refusal(order: Order) -> dict[str, Any]:
    code = order.refusal_code or order.status
    text = order.refusal_text or f"order {order.client_order_id} was {order.status}"
    return {"phase": None, "phase_name": "order", "code": code, "text": text}


def _nearest(gates: tuple[GateAnswer, ...], lacked: list[NearMiss]) -> str:
    """Return the sentence of the gate or rule that was closest, empty where nothing can be said."""
    failed = [gate for gate in gates if gate.passed is False]
    measured = [g for g in failed if g.value is not None and g.limit is not None and g.margin]
    if measured:
        gate = min(measured, key=_shortfall)
        others = len(failed) - 1
        behind = "" if not others else f", and {others} more {'gate' if others == 1 else 'gates'}"
        return (
            f"{gate.name} {_number(gate.value)}, needed {_number(gate.limit)}: missing"
            f" {_number(abs(gate.margin or 0.0))}{behind}"
        )
    if failed:
        return ""
    return lacked[0].sentence if lacked else ""


def _shortfall(gate: GateAnswer) -> float:
    scale = max(abs(gate.limit or 0.0), abs(gate.value or 0.0), 1e-12)
    return abs(gate.margin or 0.0) / scale


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def _near(near: NearMiss) -> dict[str, Any]:
    return {
        "source": near.source,
        "side": near.setup.side.value,
        "setup": near.setup.name,
        "text": near.sentence,
        "conditions": [
            {
                "name": c.name,
                "value": c.value,
                "wants": c.wants.value,
                "limit": c.limit,
                "unit": c.unit,
                "missing": None if c.value is None else c.missing,
            }
            for c in near.setup.conditions
        ],
    }


def _summary(decision: Decision, traded: bool, failing: list[dict[str, Any]], nearest: str) -> str:
    if traded:
        return f"It was traded: {decision.action} {decision.quantity_base} {decision.symbol}."
    number = decision.blocking_phase
    closest = f". Closest to passing: {nearest}." if nearest else ""
    if number:
        phase = PHASES[number - 1].replace("_", " ")
        told = failing[0]["text"] if failing and failing[0]["phase"] == number else decision.reason
        return f"Phase {number} ({phase}) stopped it: {told}{closest}"
    if decision.action != Action.HOLD:
        told = "; ".join(reason["text"] for reason in failing) or "no order was stored for it"
        return f"The decision was {decision.action}, but {told}."
    closest = f". Closest was {nearest}." if nearest else ""
    return f"Nobody proposed a trade: {decision.reason or decision.reason_code}{closest}"
