"""What a replayed decision is compared by: verdicts, beliefs and outputs as plain values."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from engine.digest import decision_line
from engine.phases.recorder import digest
from engine.types.opinions import Opinion
from trades.core.replay_report import StoredDecision, Verdict


def verdict_then(stored: StoredDecision) -> Verdict:
    return verdict(
        stored, stored.action, stored.quantity_base, stored.reason_code, stored.confidence
    )


def verdict(
    stored: StoredDecision, action: str, quantity: Decimal, reason_code: str, confidence: float
) -> Verdict:
    line = decision_line(
        symbol=stored.symbol,
        bar_close_ms=stored.bar_close_ms,
        strategy=stored.strategy,
        action=action,
        quantity_base=quantity,
        reason_code=reason_code,
        confidence=confidence,
    )
    return Verdict(action, format(quantity, "f"), reason_code, confidence, digest(line))


def probability(opinion: Opinion | None) -> float:
    return 0.5 if opinion is None else opinion.probability_up


def judged(validation: Any) -> list[Any]:
    if validation is None:
        return []
    kept = [opinion.source for opinion in validation.kept]
    return [validation.verdict, validation.agreement, validation.reliability, kept]


def combined(consensus: Any) -> list[Any]:
    if consensus is None:
        return []
    return [
        consensus.probability_up,
        consensus.uncertainty,
        list(consensus.contributors),
        list(consensus.weights),
        consensus.confluence_up,
        consensus.confluence_down,
        consensus.reliable,
    ]


def json(value: Any) -> Any:
    """Numbers to twelve significant digits: a square root may differ in its last bit."""
    if isinstance(value, list | tuple):
        return [json(inner) for inner in value]
    return f"{value:.12g}" if isinstance(value, float) else value


def near(old: Any, new: Any) -> bool:
    """Stored feature values have six decimals."""
    if not isinstance(old, dict) or not isinstance(new, dict) or list(old) != list(new):
        return False
    return all(abs(old[name] - new[name]) <= 1e-6 for name in old)


def brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def unheard(where: str, error: BaseException) -> None:
    """A replay raises no incident: what fails in it is told as a difference."""


def standstill() -> float:
    return 0.0
