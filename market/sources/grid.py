"""Prices on tick and quantities on lot as floats that survive text: int steps, one division."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from engine.types.bars import FloatColumn


@dataclass(frozen=True, slots=True)
class Grid:
    """Multiples of a decimal step. ``n * numerator / denominator`` is one correctly rounded
    division of exact integers, so the float is the nearest to the decimal and its repr is that
    decimal: what a venue prints and a client parses is bit for bit the same number."""

    numerator: int
    denominator: int

    def value(self, steps: int) -> float:
        return steps * self.numerator / self.denominator

    def steps(self, value: float) -> int:
        """Return the nearest number of steps."""
        return round(value * self.denominator / self.numerator)

    def column(self, values: FloatColumn) -> npt.NDArray[np.int64]:
        """Return the nearest numbers of steps, shape (n,)."""
        return np.rint(values * (self.denominator / self.numerator)).astype(np.int64)

    def values(self, steps: npt.NDArray[np.int64]) -> FloatColumn:
        return steps * self.numerator / float(self.denominator)


@lru_cache(maxsize=256)
def grid_of(step: Decimal) -> Grid:
    """Return the grid of a positive decimal step such as 0.01 or 0.5."""
    numerator, denominator = step.as_integer_ratio()
    # A power of ten keeps denominators printable; as_integer_ratio may have cancelled factors.
    scale = 10 ** max(0, -int(step.as_tuple().exponent))
    return Grid(numerator * scale // denominator, scale)
