"""How far a weight may move, in one place: step, day, evidence and range (OPT-74, OPT-75, D-17).

The arithmetic is one compiled function, so that the fuzz runs the very code that moves weights.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

import numpy as np

from engine.compiled import kernel
from optimization.core.errors import WeightingError

DAY_MS = 86_400_000

FREE, AT_STEP, AT_DAY, AT_RANGE = 0, 1, 2, 3


class Bound(StrEnum):
    """What held a weight back."""

    STEP = "step"
    DAY = "day"
    RANGE = "range"
    EVIDENCE = "evidence"


_BOUNDS = {AT_STEP: Bound.STEP, AT_DAY: Bound.DAY, AT_RANGE: Bound.RANGE}


@dataclass(frozen=True, slots=True)
class WeightLimits:
    """Limits of a weight's movement; fractions are of the weight that is moved.

    * ``max_step_fraction``: one update, of the old weight (0.15).
    * ``max_day_fraction``: all movement, up and down added, in any 24 h of venue time, of the
      lowest weight a step of those 24 h started from (0.30).
    * ``min_new_trades``: closed trades since the last move (5).
    * ``min_weight`` / ``max_weight``: the range (0.1 to 2.0).

    Raises:
        WeightingError: a limit that is looser than the shipped one, or no number.
    """

    max_step_fraction: float = 0.15
    max_day_fraction: float = 0.30
    min_new_trades: int = 5
    min_weight: float = 0.1
    max_weight: float = 2.0

    def __post_init__(self) -> None:
        if not 0.0 < self.max_step_fraction <= 0.15:
            raise WeightingError(f"max step must be in (0, 0.15], was {self.max_step_fraction}")
        if not 0.0 < self.max_day_fraction <= 1.0:
            raise WeightingError(f"max day must be in (0, 1], was {self.max_day_fraction}")
        if self.min_new_trades < 1:
            raise WeightingError(f"min new trades must be 1 or more, was {self.min_new_trades}")
        if not 0.1 <= self.min_weight <= self.max_weight <= 2.0:
            raise WeightingError(
                f"weights must be within 0.1 and 2.0, was {self.min_weight} to {self.max_weight}"
            )

    def clamp(self, weight: float) -> float:
        """Return the weight inside the range.

        Raises:
            WeightingError: the weight is not finite.
        """
        if not isfinite(weight):
            raise WeightingError(f"a weight must be finite, was {weight}")
        return min(max(weight, self.min_weight), self.max_weight)


@dataclass(frozen=True, slots=True)
class Move:
    """One movement of a weight at ``at_ms`` of venue time."""

    at_ms: int
    old: float
    new: float


@dataclass(frozen=True, slots=True)
class HeldWeight:
    """A weight with what its next move depends on.

    ``moves`` are those of the last 24 h, oldest first; ``trades_seen`` and ``total_r_seen`` are
    the lifetime count of closed trades and their summed R when it last moved (or began).
    """

    weight: float
    moves: tuple[Move, ...] = ()
    trades_seen: int = 0
    total_r_seen: float = 0.0


@kernel
def limited(
    old: float,
    target: float,
    spent: float,
    reference: float,
    max_step: float,
    max_day: float,
    low: float,
    high: float,
) -> tuple[float, int]:
    """Return the weight reached from ``old`` on the way to ``target``, and what stopped it.

    ``spent`` is the movement of the last 24 h (>= 0), ``reference`` the lowest weight a step of
    those 24 h started from, ``old`` included. A weight outside [``low``, ``high``] (a range that
    was tightened since) walks inside by the same bounds.
    """
    goal, hit = target, 0
    if goal > high:
        goal, hit = high, 3
    elif goal < low:
        goal, hit = low, 3
    step = max_step * old
    if abs(goal - old) > step:
        goal, hit = old + (step if goal > old else -step), 1
    room = max(max_day * reference - spent, 0.0)
    if abs(goal - old) > room:
        goal, hit = old + (room if goal > old else -room), 2
    # The sums above are rounded: a last bit is given up, or the move, rather than the limit.
    for _ in range(8):
        if abs(goal - old) <= step and spent + abs(goal - old) <= max(max_day * reference, spent):
            return goal, hit
        goal = np.nextafter(goal, old)
    return old, hit


def move_towards(
    held: HeldWeight,
    target: float,
    *,
    now_ms: int,
    closed_trades: int,
    total_r: float,
    limits: WeightLimits,
) -> tuple[HeldWeight, Bound | None]:
    """Move a weight towards its target as far as the limits allow.

    Returns the weight and the bound that held it back, None where it arrived. A weight that does
    not move keeps its evidence waiting: trades go on adding up towards ``min_new_trades``.

    Raises:
        WeightingError: the target is not finite, or time went back.
    """
    if not isfinite(target):
        raise WeightingError(f"a target weight must be finite, was {target}")
    if held.moves and now_ms < held.moves[-1].at_ms:
        raise WeightingError(
            f"weights must not be moved back in time, last was {held.moves[-1].at_ms}"
        )
    if closed_trades - held.trades_seen < limits.min_new_trades:
        return held, Bound.EVIDENCE if limits.clamp(target) != held.weight else None
    # The step at the far end of the 24 h counts: "any 24 h" includes both of its ends.
    recent = tuple(move for move in held.moves if move.at_ms >= now_ms - DAY_MS)
    new, hit = limited(
        held.weight,
        target,
        sum(abs(move.new - move.old) for move in recent),
        min([held.weight, *(move.old for move in recent)]),
        limits.max_step_fraction,
        limits.max_day_fraction,
        limits.min_weight,
        limits.max_weight,
    )
    bound = _BOUNDS.get(int(hit))
    if new == held.weight:
        return held, bound
    moves = (*recent, Move(at_ms=now_ms, old=held.weight, new=new))
    return HeldWeight(new, moves, closed_trades, total_r), bound


def normalised_shares(weights: Mapping[str, float], tradable: Collection[str]) -> dict[str, float]:
    """Return each tradable strategy's share of the weights; they sum to 1 (OPT-64).

    Weights that are all 0 share equally; nothing tradable has no shares.

    Raises:
        WeightingError: a weight is negative or not finite.
    """
    kept = {code: weight for code, weight in weights.items() if code in tradable}
    for code, weight in kept.items():
        if not isfinite(weight) or weight < 0.0:
            raise WeightingError(f"weight of {code} must be 0 or more, was {weight}")
    total = sum(kept.values())
    if total == 0.0:
        return {code: 1.0 / len(kept) for code in kept}
    return {code: weight / total for code, weight in kept.items()}
