"""How far a source's lean has been borne out: the slope of outcome on opinion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.types.decisions import JsonValue

# Prior of the slope: normal around 0 with this deviation. A source is heard as far as its own
# outcomes bear it out, and not before there are any.
PRIOR_SD = 0.5
# Settled opinions of neighbouring bars share about half of their outcome.
EVIDENCE = 0.5
# The variance of an outcome of even chances.
OUTCOME_VARIANCE = 0.25
# Evidence fades with this memory: longer than a regime, shorter than a market's career.
MEMORY_SETTLED = 4_000.0


@dataclass(slots=True)
class Calibration:
    """Regression of (outcome - 0.5) on (probability - 0.5), through the origin, with a memory.

    ``agreed`` sums the products and ``leaned`` the squared leans, both faded by MEMORY_SETTLED.
    """

    agreed: float = 0.0
    leaned: float = 0.0

    def record(self, probability_up: float, outcome_up: int) -> None:
        """Count one settled opinion."""
        lean, keep = probability_up - 0.5, 1.0 - 1.0 / MEMORY_SETTLED
        self.agreed = keep * self.agreed + lean * (outcome_up - 0.5)
        self.leaned = keep * self.leaned + lean * lean

    def slope(self) -> float:
        """Return what share of a lean is to be believed, in [0, 1]; 0 before any evidence.

        The posterior mean: 1 where the frequencies were as said and there is much evidence, 0
        where the lean told nothing or the contrary.
        """
        weight = EVIDENCE / OUTCOME_VARIANCE
        precision = 1.0 / PRIOR_SD**2 + weight * self.leaned
        return min(1.0, max(0.0, weight * self.agreed / precision))

    def state(self) -> dict[str, JsonValue]:
        """Return both sums as JSON values."""
        return {"agreed": self.agreed, "leaned": self.leaned}


def restored_calibration(state: JsonValue) -> Calibration:
    """Return the calibration of a stored state.

    Raises:
        ValueError: the state is not one that ``Calibration.state`` wrote.
    """
    if not isinstance(state, Mapping):
        raise ValueError(f"calibration must be a mapping, was {state!r}")
    agreed, leaned = state.get("agreed"), state.get("leaned")
    # no product of leans exceeds half a lean, no lean exceeds a half: NaN fails every comparison
    if (
        not isinstance(agreed, float | int)
        or not isinstance(leaned, float | int)
        or not 0.0 <= leaned <= 0.25 * MEMORY_SETTLED + 1.0
        or not abs(agreed) <= 0.25 * MEMORY_SETTLED + 1.0
    ):
        raise ValueError(f"calibration must have sums agreed and leaned, was {state!r}")
    return Calibration(float(agreed), float(leaned))
