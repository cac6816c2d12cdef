"""Everything the layer remembers between updates, as one value that goes to JSON and back.

A state is a function of the trades it has taken in: the same trades give the same state, and
``as_of_trade_id`` says which was the last. The policy reads it, ``update.next_state`` makes the
next one, nothing else changes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from engine.ports import StrategyStatus
from engine.types.decisions import JsonValue
from optimization.core.errors import OptimizationError, StateError
from optimization.core.health.machine import HealthState, Result
from optimization.core.performance import Decomposition
from optimization.core.quality.learned import LearnedState
from optimization.core.weighting import WeightBook, book_from_state

STATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class StrategyState:
    """One strategy: its health, and its last results (closed_at_ms, R) by entry regime."""

    health: HealthState = field(default_factory=HealthState)
    history: Mapping[str, tuple[Result, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LayerState:
    """The whole layer. ``version`` grows by 1 with every state that differs from the one before.

    ``as_of_sequence`` and ``as_of_trade_id`` name the last trade taken in (0 and None before the
    first); ``updated_at_ms`` is venue time of the last update, None before the first.
    ``book`` has the weights, stored for each regime and in effect; ``performance`` the figures of
    every cut, of which ``performance.as_of`` is the last trade of the own books.
    """

    version: int = 0
    as_of_sequence: int = 0
    as_of_trade_id: str | None = None
    updated_at_ms: int | None = None
    strategies: Mapping[str, StrategyState] = field(default_factory=dict)
    learned: LearnedState = field(default_factory=LearnedState)
    book: WeightBook = field(default_factory=WeightBook)
    performance: Decomposition = field(default_factory=Decomposition, compare=False)

    def weights(self) -> dict[str, float]:
        """Return the weight in effect of each strategy."""
        return self.book.weights()

    def statuses(self) -> dict[str, StrategyStatus]:
        """Return each strategy's status as of the last update; the row's word counts, not this."""
        return {code: one.health.status for code, one in self.strategies.items()}

    def to_json(self) -> dict[str, JsonValue]:
        """Return plain values; ``from_json`` of them gives an equal state, to the last bit."""
        return {
            "state_version": STATE_VERSION,
            "version": self.version,
            "as_of_sequence": self.as_of_sequence,
            "as_of_trade_id": self.as_of_trade_id,
            "updated_at_ms": self.updated_at_ms,
            "strategies": {code: _plain(one) for code, one in self.strategies.items()},
            "learned": _plain(self.learned),
            "book": self.book.state(),
            "performance": self.performance.state(),
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> LayerState:
        """Read what ``to_json`` wrote.

        Raises:
            StateError: the document is not a state, or of another version.
        """
        if document.get("state_version") != STATE_VERSION:
            raise StateError(
                f"layer state version must be {STATE_VERSION}, was {document.get('state_version')}"
            )
        try:
            strategies = {str(code): _strategy(one) for code, one in document["strategies"].items()}
            return LayerState(
                version=int(document["version"]),
                as_of_sequence=int(document["as_of_sequence"]),
                as_of_trade_id=document["as_of_trade_id"],
                updated_at_ms=document["updated_at_ms"],
                strategies=strategies,
                learned=_learned(document["learned"]),
                book=book_from_state(document["book"]),
                performance=Decomposition.from_state(document["performance"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError, OptimizationError) as error:
            raise StateError(
                f"layer state is damaged, error was {type(error).__name__}: {error}"
            ) from error


def _plain(value: Any) -> JsonValue:
    return cast(JsonValue, _jsonable(asdict(value)))


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(inner) for inner in value]
    return value.value if isinstance(value, StrategyStatus) else value


def _results(values: Any) -> tuple[Result, ...]:
    return tuple((int(at_ms), float(r)) for at_ms, r in values)


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _strategy(document: Mapping[str, Any]) -> StrategyState:
    health = document["health"]
    return StrategyState(
        health=HealthState(
            status=StrategyStatus(health["status"]),
            since_ms=int(health["since_ms"]),
            evidence_from_ms=int(health["evidence_from_ms"]),
            recent=_results(health["recent"]),
            shadow=_results(health["shadow"]),
            capitals=_floats(health["capitals"]),
            alarmed=bool(health["alarmed"]),
            expectancy_r_at_suspension=health["expectancy_r_at_suspension"],
        ),
        history={str(k): _results(v) for k, v in document["history"].items()},
    )


def _learned(document: Mapping[str, Any]) -> LearnedState:
    bias, slope = _floats(document["calibration"])
    return LearnedState(
        **{
            **document,
            "weights": _floats(document["weights"]),
            "capitals": _floats(document["capitals"]),
            "calibration": (bias, slope),
        }
    )
