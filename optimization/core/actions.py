"""What the layer did, told in the sentences operators look for.

A part tells ``(kind, fields)``; who listens decides where it goes. ``sentence`` gives the line:
the printed sentence first, then every field as key=value (D-58).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from engine.types.decisions import JsonValue

TAG = "[OPTIMIZATION]"
Fields = Mapping[str, JsonValue]


class ActionKind(StrEnum):
    """The six kinds of OPT-68, and the scorer's change of champion."""

    SCORING = "scoring"
    SIZING = "sizing"
    RECORDING = "recording"
    WEIGHTS = "weights"
    HEALTH = "health"
    ALERT = "alert"
    SCORER = "scorer"


Tell = Callable[[ActionKind, Fields], None]


def tell_nobody(kind: ActionKind, fields: Fields) -> None:
    """The listener of wirings that do not care."""
    return None


def severity(kind: ActionKind, fields: Fields) -> str:
    """Return ``info``, ``warning`` or ``critical`` (OPT-38)."""
    if kind is ActionKind.HEALTH:
        to_status = fields.get("to")
        if to_status in ("SUSPENDED", "RETIRED"):
            return "critical"
        return "warning" if to_status == "DEGRADED" else "info"
    if kind is ActionKind.ALERT:
        return str(fields.get("severity", "warning"))
    return "info"


def sentence(kind: ActionKind, fields: Fields) -> str:
    """Return the tagged line of one action."""
    pairs = " ".join(f"{name}={_value(value)}" for name, value in fields.items())
    return f"{TAG} {_SENTENCES[kind](fields)} {pairs}".rstrip()


def _value(value: JsonValue) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return f'"{text}"' if " " in text else text


def _number(fields: Fields, name: str) -> float:
    value = fields.get(name)
    return float(value) if isinstance(value, int | float) else float("nan")


def _scoring(fields: Fields) -> str:
    if fields.get("outcome") == "evaluating":
        return "Evaluating signal quality"
    quality = _number(fields, "quality")
    if fields.get("outcome") == "approved":
        return f"Signal approved - quality={quality:.3f}"
    return f"Signal filtered - quality={quality:.3f} below threshold"


def _sizing(fields: Fields) -> str:
    m = _number(fields, "multiplier")
    if "old_quantity" not in fields:
        return f"Position size multiplier {m:.2f}x"
    old, new = _number(fields, "old_quantity"), _number(fields, "new_quantity")
    return f"Position size adjusted: {old:.6f} → {new:.6f} ({m:.2f}x multiplier)"


def _recording(fields: Fields) -> str:
    pnl = _number(fields, "pnl_quote")
    money = f"{'-' if pnl < 0 else ''}${abs(pnl):.2f}"
    return (
        f"Trade completed: {fields.get('strategy')}/{fields.get('symbol')} PnL={money} "
        f"regime={fields.get('regime')}"
    )


def _weights(fields: Fields) -> str:
    changed = fields.get("changed")
    new = {} if not isinstance(changed, dict) else changed
    pairs = ", ".join(f"'{code}': {_new_weight(change):.2f}" for code, change in new.items())
    return f"Weight updates: {{{pairs}}}"


def _new_weight(change: JsonValue) -> float:
    return _number(change, "new") if isinstance(change, dict) else float("nan")


def _health(fields: Fields) -> str:
    return f"Strategy health: {fields.get('strategy')} {fields.get('from')} → {fields.get('to')}"


def _alert(fields: Fields) -> str:
    state = "cleared" if fields.get("cleared") else "raised"
    return f"Alert {state}: {fields.get('text')}"


def _scorer(fields: Fields) -> str:
    return f"Signals are scored by {fields.get('scorer')} from now on"


_SENTENCES: dict[ActionKind, Callable[[Fields], str]] = {
    ActionKind.SCORING: _scoring,
    ActionKind.SIZING: _sizing,
    ActionKind.RECORDING: _recording,
    ActionKind.WEIGHTS: _weights,
    ActionKind.HEALTH: _health,
    ActionKind.ALERT: _alert,
    ActionKind.SCORER: _scorer,
}
