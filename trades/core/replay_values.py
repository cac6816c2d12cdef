"""What a replayed decision is compared by: verdicts, beliefs and outputs as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from math import isclose
from typing import Any

import numpy as np

from engine.digest import decision_line
from engine.phases.recorder import digest
from engine.phases.source_selection import Standings, standings_of
from engine.types.opinions import ConditionKind, Opinion, SourceScore
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
        # by name: a stored document may come back with its keys in another order
        sorted(
            [name, w] for name, w in zip(consensus.contributors, consensus.weights, strict=True)
        ),
        consensus.confluence_up,
        consensus.confluence_down,
        consensus.reliable,
    ]


def json(value: Any) -> Any:
    """Numbers to twelve significant digits: a square root may differ in its last bit."""
    if isinstance(value, list | tuple):
        return [json(inner) for inner in value]
    return f"{value:.12g}" if isinstance(value, float) else value


def near(old: Any, new: Any, tolerance: float) -> bool:
    """True where two values have the same shape and every number of it is within ``tolerance``."""
    if isinstance(old, dict) and isinstance(new, dict):
        # by name: PostgreSQL keeps the keys of a document in an order of its own
        return old.keys() == new.keys() and all(near(old[k], new[k], tolerance) for k in old)
    if isinstance(old, list) and isinstance(new, list):
        pairs = zip(old, new, strict=False)
        return len(old) == len(new) and all(near(a, b, tolerance) for a, b in pairs)
    if isinstance(old, float) and isinstance(new, float):
        return isclose(old, new, rel_tol=tolerance, abs_tol=tolerance)
    return bool(old == new)


def apart(old: Any, new: Any) -> tuple[Any, Any]:
    """Return what differs: of two mappings only the keys whose values are not the same."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return old, new
    keys = [k for k in {**old, **new} if not near(old.get(k), new.get(k), 1e-6)]
    return {k: old[k] for k in keys if k in old}, {k: new[k] for k in keys if k in new}


def remembered(changes: Any) -> Any:
    """Return the changes of condition that candles tell: those of sentiment need past flow."""
    if not isinstance(changes, list):
        return changes
    return [one for one in changes if one.get("type") != ConditionKind.SENTIMENT_FLIP.value]


def standing_then(scores: Sequence[SourceScore]) -> Standings:
    """Return the standings that a decision's sources had, from what is stored of each."""
    return standings_of(
        tuple(score.source for score in scores),
        tuple(score.brier for score in scores),
        np.array([score.settled for score in scores], dtype=np.int64),
        np.array([score.skill for score in scores]),
        np.array([score.voice for score in scores]),
    )


def brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def unheard(where: str, error: BaseException) -> None:
    """A replay raises no incident: what fails in it is told as a difference."""


def standstill() -> float:
    return 0.0
