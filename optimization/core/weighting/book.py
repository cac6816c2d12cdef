"""The weights as they stand: wished for each regime, in effect for each strategy.

A *stored* weight belongs to a strategy in one regime, or in all; evidence moves it. The weight *in
effect* moves towards the stored weight of the regime the strategy's symbols are in (D-30). Both
move through ``bounds.move_towards`` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.types.decisions import JsonValue
from optimization.core.bounds import Bound, HeldWeight, Move, WeightLimits
from optimization.core.errors import WeightingError
from optimization.core.evidence import Number

BOOK_VERSION = 1
StoredKey = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class WeightChange:
    """One weight that moved: how far, how far it wanted, why, and on what evidence.

    ``regime`` and ``in_effect`` say which weight: (None, True) is the one that sizes trades.
    ``bound`` is what held it back, None where it arrived. ``limits`` are those in force (D-17).
    """

    strategy: str
    regime: str | None
    in_effect: bool
    old: float
    new: float
    target: float
    bound: Bound | None
    reason: str
    evidence: Mapping[str, Number]
    limits: WeightLimits
    at_ms: int
    as_of: str


@dataclass(frozen=True, slots=True)
class WeightBook:
    """All weights as of one closed trade.

    ``stored`` is by (strategy, regime or None); ``in_effect`` by strategy.
    """

    as_of: str | None = None
    in_effect: Mapping[str, HeldWeight] = field(default_factory=dict)
    stored: Mapping[StoredKey, HeldWeight] = field(default_factory=dict)

    def weights(self) -> dict[str, float]:
        """The weight in effect of each strategy."""
        return {code: held.weight for code, held in self.in_effect.items()}

    def regime_weights(self) -> dict[StoredKey, float]:
        """The stored weight of each strategy in each regime; regime None is all of them."""
        return {key: held.weight for key, held in self.stored.items()}

    def stored_for(self, strategy: str, regime: str | None) -> float:
        """The weight the strategy should have in a regime; in all of them where it has none."""
        held = self.stored.get((strategy, regime)) or self.stored[(strategy, None)]
        return held.weight

    def wished(self, strategy: str, regimes: Iterable[str | None]) -> float:
        """The mean stored weight over the regimes its symbols are in now; none = all of them."""
        found = [self.stored_for(strategy, regime) for regime in regimes]
        return sum(found) / len(found) if found else self.stored_for(strategy, None)

    def followed(self, strategy: str, regimes: Sequence[str]) -> str | None:
        """The one regime whose stored weight is followed; None: all regimes, or several."""
        found = {regime for regime in regimes if (strategy, regime) in self.stored}
        return found.pop() if len(found) == 1 and len(set(regimes)) == 1 else None

    def state(self) -> dict[str, JsonValue]:
        """The book as JSON; ``book_from_state`` gives it back to the last bit."""
        state: dict[str, Any] = {
            "version": BOOK_VERSION,
            "as_of": self.as_of,
            "in_effect": {code: _held_state(held) for code, held in self.in_effect.items()},
            "stored": [
                [code, regime, _held_state(held)] for (code, regime), held in self.stored.items()
            ],
        }
        return state


def opening_book(base_weights: Mapping[str, float], limits: WeightLimits) -> WeightBook:
    """Begin with the base weights, inside the range."""
    return enrolled(WeightBook(), base_weights, limits)


def enrolled(
    book: WeightBook, base_weights: Mapping[str, float], limits: WeightLimits
) -> WeightBook:
    """Add the strategies the book does not have yet, at their base weights."""
    held = {
        code: HeldWeight(limits.clamp(weight))
        for code, weight in base_weights.items()
        if code not in book.in_effect
    }
    stored: dict[StoredKey, HeldWeight] = {(code, None): one for code, one in held.items()}
    return replace(book, in_effect={**book.in_effect, **held}, stored={**book.stored, **stored})


def book_from_state(state: Mapping[str, Any]) -> WeightBook:
    """Rebuild a book from ``WeightBook.state``.

    Raises:
        WeightingError: the state was written by another version.
    """
    if state.get("version") != BOOK_VERSION:
        raise WeightingError(f"book version must be {BOOK_VERSION}, was {state.get('version')}")
    return WeightBook(
        as_of=state["as_of"],
        in_effect={code: _held(one) for code, one in state["in_effect"].items()},
        stored={(code, regime): _held(one) for code, regime, one in state["stored"]},
    )


def _held_state(held: HeldWeight) -> dict[str, Any]:
    return {
        "weight": held.weight,
        "moves": [[move.at_ms, move.old, move.new] for move in held.moves],
        "trades_seen": held.trades_seen,
        "total_r_seen": held.total_r_seen,
    }


def _held(state: Mapping[str, Any]) -> HeldWeight:
    return HeldWeight(
        weight=float(state["weight"]),
        moves=tuple(Move(int(at), float(old), float(new)) for at, old, new in state["moves"]),
        trades_seen=int(state["trades_seen"]),
        total_r_seen=float(state["total_r_seen"]),
    )
