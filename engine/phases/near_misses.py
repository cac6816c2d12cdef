"""A bar on which nobody proposed: which source came closest, and what it lacked (ORC-59)."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, Protocol, cast

from engine.failsafe import Failure, attempt
from engine.phases.config import PipelineConfig
from engine.phases.cross_validation import UNRELIABLE
from engine.phases.ensemble import ENSEMBLE
from engine.ports import RuleSource
from engine.types.bars import ColumnStore, Instrument, Snapshot
from engine.types.conditions import Condition, NearMiss, Setup, Wants
from engine.types.decisions import JsonValue
from engine.types.opinions import Consensus, Side, Validation

# Whoever is further off than these was not near.
CLOSEST = 4


class ExplainsItself(Protocol):
    """A rule that can say which conditions its entries have; optional for a rule."""

    def setups(self, store: ColumnStore, row: int) -> tuple[Setup, ...]:
        """Return every way into a position with its numbers at ``row``."""


def near_misses(
    rules: Sequence[RuleSource],
    snapshot: Snapshot,
    validation: Validation | None,
    consensus: Consensus | None,
    config: PipelineConfig,
) -> tuple[NearMiss, ...]:
    """Return the closest setup of the closest sources, nearest first; met ones are left out.

    A rule that cannot say, is not warm or fails to say is left out: this only explains.
    """
    found = [_nearest(rule, snapshot) for rule in rules]
    if config.ensemble_trades:
        found.append(_ensemble(snapshot.instrument, validation, consensus, config))
    told = [near for near in found if near is not None]
    return tuple(sorted(told, key=lambda near: near.setup.distance)[:CLOSEST])


def describe(near: NearMiss) -> JsonValue:
    """Return one as JSON: source, side, setup and each condition that was not met."""
    unmet: list[JsonValue] = [
        [c.name, _digits(c.value), c.wants.value, c.limit, *([c.unit] if c.unit else [])]
        for c in near.setup.unmet
    ]
    return [near.source, near.setup.side.value, near.setup.name, unmet]


def read(row: Sequence[Any]) -> NearMiss:
    """Return what ``describe`` wrote; conditions that were met are not kept."""
    source, side, name, unmet = row
    conditions = tuple(
        Condition(cells[0], cells[1], Wants(cells[2]), cells[3], *cells[4:]) for cells in unmet
    )
    return NearMiss(source, Setup(name, Side(side), conditions))


def _digits(value: float | None) -> float | None:
    """Six significant digits; what is no number is nothing measured."""
    return float(f"{value:.6g}") if value is not None and isfinite(value) else None


def _nearest(rule: RuleSource, snapshot: Snapshot) -> NearMiss | None:
    # by name: asking whether it is an instance of a protocol takes longer than its answer
    if not hasattr(rule, "setups") or snapshot.row < rule.warm_up_bars:
        return None
    explains = cast("ExplainsItself", rule)
    setups = attempt(lambda: explains.setups(snapshot.store, snapshot.row), f"setups {rule.code}")
    if isinstance(setups, Failure):
        return None
    return _closest(rule.code, _possible(setups, snapshot.instrument))


def _possible(setups: Sequence[Setup], instrument: Instrument) -> list[Setup]:
    """Leave out what the gates would refuse whatever the numbers were: shorts that cannot be."""
    return [s for s in setups if s.unmet and (s.side is Side.BUY or instrument.shortable)]


def _closest(source: str, setups: Sequence[Setup]) -> NearMiss | None:
    if not setups:
        return None
    return NearMiss(source, min(setups, key=lambda setup: setup.distance))


def _ensemble(
    instrument: Instrument,
    validation: Validation | None,
    consensus: Consensus | None,
    config: PipelineConfig,
) -> NearMiss | None:
    """Return what the ensemble's own entry lacked (see ``propose_ensemble``)."""
    if validation is None or consensus is None:
        return None
    up = consensus.probability_up
    verdict = float(validation.verdict != UNRELIABLE)
    setups = [
        Setup(
            "consensus",
            side,
            (
                Condition(
                    "probability",
                    up if side is Side.BUY else 1.0 - up,
                    Wants.AT_LEAST,
                    config.entry_probability,
                    "",
                    0.02,
                ),
                Condition(
                    "sources that agree",
                    float(consensus.confluence(side)),
                    Wants.AT_LEAST,
                    float(config.min_confluence),
                ),
                Condition("opinions that can be relied on", verdict, Wants.AT_LEAST, 1.0),
            ),
        )
        for side in (Side.BUY, Side.SELL)
    ]
    return _closest(ENSEMBLE, _possible(setups, instrument))
