"""What components tell each other: insights with an expiry, read by phases 4 to 6 (ORC-82).

Left between events and read from the next bar on, so that phases 1-8 stay a function of the
snapshot and the stored state (D-18).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

import numpy as np

from engine.types.bars import FloatColumn
from engine.types.decisions import JsonValue
from engine.types.learned import Insight

MAX_INSIGHTS = 256
_TEXTS = ("source", "kind", "text", "symbol", "regime", "about")
_WHOLE = ("at_ms", "expires_ms", "direction")
_NUMBERS = ("value", "trust")


class InsightBoard:
    """Insights in force; a newer one of the same source, kind, symbol and subject replaces."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str, str, str], Insight] = {}

    def __len__(self) -> int:
        return len(self._held)

    def leave(self, insights: Iterable[Insight], now_ms: int) -> None:
        """Keep insights and forget what has expired by ``now_ms``.

        Raises:
            ValueError: an insight is about its own source, or a number is out of range; none of
                them is kept then.
        """
        new = tuple(insights)
        for insight in new:
            _check(insight)
        held = {key: i for key, i in self._held.items() if i.expires_ms > now_ms}
        for insight in new:
            key = (insight.source, insight.kind, insight.symbol, insight.about)
            held.pop(key, None)
            held[key] = insight
        while len(held) > MAX_INSIGHTS:
            del held[next(iter(held))]
        self._held = held

    def current(self, symbol: str, regime: str, now_ms: int) -> tuple[Insight, ...]:
        """Return what holds for a symbol under a regime, oldest first."""
        if not self._held:
            return ()
        return tuple(
            [
                insight
                for insight in self._held.values()
                if insight.expires_ms > now_ms
                and insight.symbol in ("", symbol)
                and insight.regime in ("", regime)
            ]
        )

    def state(self) -> list[JsonValue]:
        """Return everything as JSON values."""
        return [asdict(insight) for insight in self._held.values()]

    def restore(self, state: JsonValue) -> None:
        """Replace everything by a stored state.

        Raises:
            ValueError: the state is not one that ``state`` wrote; nothing is changed then.
        """
        if not isinstance(state, list):
            raise ValueError(f"insights must be a list, was {state!r}")
        insights = [_restored(row) for row in state]
        self._held = {(i.source, i.kind, i.symbol, i.about): i for i in insights}


def trust_factors(
    insights: Sequence[Insight], sources: Sequence[str], probabilities: FloatColumn
) -> FloatColumn:
    """Return how far each source is trusted, shape (n_sources,), in (0, 1]; 1 = as ever.

    Insights multiply. A source is never doubted by its own insight.
    """
    factors = np.ones(len(sources))
    for insight in insights:
        for index, source in enumerate(sources):
            if source == insight.source:
                continue
            lean = probabilities[index] - 0.5
            if source == insight.about or (not insight.about and lean * insight.direction < 0.0):
                factors[index] *= insight.trust
    return factors


def _check(insight: Insight) -> None:
    if insight.source == insight.about:
        # who reports on itself only repeats its own confidence
        raise ValueError(f"an insight must be about somebody else, was {insight.source} on itself")
    if not 0.0 < insight.trust <= 1.0:
        raise ValueError(f"trust of {insight.kind} must be in (0, 1], was {insight.trust}")
    if insight.direction not in (-1, 0, 1):
        raise ValueError(f"direction of {insight.kind} must be -1, 0 or 1: {insight.direction}")
    if insight.expires_ms <= insight.at_ms:
        raise ValueError(f"{insight.kind} must expire after {insight.at_ms}: {insight.expires_ms}")


def _restored(row: JsonValue) -> Insight:
    if not isinstance(row, dict):
        raise ValueError(f"insight must be a mapping, was {row!r}")
    texts = {name: row.get(name) for name in _TEXTS}
    whole = {name: row.get(name) for name in _WHOLE}
    numbers = {name: row.get(name) for name in _NUMBERS}
    if (
        not all(isinstance(value, str) for value in texts.values())
        or not all(type(value) is int for value in whole.values())
        or not all(isinstance(value, float | int) for value in numbers.values())
    ):
        raise ValueError(f"insight must have the fields of one, was {row!r}")
    fields: Mapping[str, JsonValue] = {**texts, **whole, **numbers}
    insight = Insight(**fields)  # type: ignore[arg-type]
    _check(insight)
    return insight
