"""What phases 9 and 10 return, and how a stored state of the pipeline is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.phases import evolution, learning
from engine.types.decisions import EvolutionTrigger, JsonValue, PhaseRecord, Settlement
from engine.types.opinions import MarketView, Missing


@dataclass(frozen=True, slots=True)
class LearningResult:
    """Phases 9 and 10 of one bar, as proposals: nothing has changed until they are applied."""

    settlements: tuple[Settlement, ...]
    triggers: tuple[EvolutionTrigger, ...]
    records: tuple[PhaseRecord, ...]
    learned: learning.Learned | None = None
    evolution: evolution.EvolutionStep | None = None
    felt: tuple[str, MarketView | Missing] | None = None


def part_of(state: Mapping[str, JsonValue], name: str) -> Mapping[str, JsonValue]:
    """Return one mapping of a stored state.

    Raises:
        ValueError: it is not one that ``state`` wrote.
    """
    part = state.get(name)
    if not isinstance(part, dict):
        raise ValueError(f"pipeline state must have a mapping {name}, was {part!r}")
    return part
