"""What a rule asks of a bar before it enters: conditions with their two numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import inf, isfinite

from engine.types.opinions import Side


class Wants(StrEnum):
    """How ``value`` must stand to ``limit``."""

    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison. ``value`` is None where nothing could be measured: then it is not met.

    ``scale`` is a distance that counts as far in this unit (one ATR, ten points of RSI): it makes
    the distances of different conditions comparable and is no part of the condition.
    """

    name: str
    value: float | None
    wants: Wants
    limit: float
    unit: str = ""
    scale: float = 1.0

    @property
    def met(self) -> bool:
        value = self.value
        if value is None or not isfinite(value):
            return False
        match self.wants:
            case Wants.ABOVE:
                return value > self.limit
            case Wants.AT_LEAST:
                return value >= self.limit
            case Wants.BELOW:
                return value < self.limit
        return value <= self.limit

    @property
    def missing(self) -> float:
        """How far ``value`` is from its limit, >= 0 and 0 where met; inf where not measured."""
        return 0.0 if self.met else self.gap

    @property
    def gap(self) -> float:
        """How far ``value`` is from its limit on either side; inf where not measured."""
        value = self.value
        return inf if value is None or not isfinite(value) else abs(value - self.limit)

    @property
    def sentence(self) -> str:
        """Say what was needed and what was there."""
        unit = f" {self.unit}" if self.unit else ""
        needed = f"{self.wants.value} {self.limit:.4g}{unit}"
        if self.value is None or not isfinite(self.value):
            return f"{self.name}: needed {needed}, there was nothing to measure"
        if self.met:
            return f"{self.name}: {self.value:.4g}{unit}, needed {needed}"
        return f"{self.name}: {self.value:.4g}{unit}, needed {needed}, missing {self.missing:.3g}"


@dataclass(frozen=True, slots=True)
class Setup:
    """One way in which a rule enters: it does where every condition is met."""

    name: str
    side: Side
    conditions: tuple[Condition, ...]

    @property
    def unmet(self) -> tuple[Condition, ...]:
        return tuple(condition for condition in self.conditions if not condition.met)

    @property
    def distance(self) -> float:
        """Return how far it is from entering, for comparing setups of different rules.

        Each unmet condition counts one half and its distance in its own scale, at most ten.
        """
        return sum([0.5 + min(c.gap / c.scale, 10.0) for c in self.conditions if not c.met])


@dataclass(frozen=True, slots=True)
class NearMiss:
    """What one source lacked on a bar on which nobody proposed: its closest setup."""

    source: str
    setup: Setup

    @property
    def sentence(self) -> str:
        lacks = "; ".join(condition.sentence for condition in self.setup.unmet)
        return f"{self.source} {self.setup.side.value} by {self.setup.name}, which lacked {lacks}"
