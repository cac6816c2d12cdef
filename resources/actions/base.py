"""What every action is: it measures its target, changes it within declared bounds, undoes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from engine.types.decisions import JsonValue
from resources.core.config import OptimizerConfig
from resources.core.windows import RollingRounds
from resources.levers import Levers
from resources.workers import Workers

Parameters = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between which values an action may move what it moves."""

    minimum: float
    maximum: float
    unit: str

    def clamp(self, value: float) -> float:
        return min(max(value, self.minimum), self.maximum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What an action may use. ``rule`` is the code of what fired, empty on a schedule."""

    now: datetime
    config: OptimizerConfig
    levers: Levers
    workers: Workers
    rounds: RollingRounds
    var_dir: Path
    rule: str = ""
    orders_in_flight: int = 0
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an action did, as it measured it itself. ``saved`` maps bytes, cpu_s, connections.

    ``is_sent`` True: a worker does it and writes the numbers when it is done.
    """

    before: Mapping[str, float] = field(default_factory=dict)
    after: Mapping[str, float] = field(default_factory=dict)
    saved: Mapping[str, float] = field(default_factory=dict)
    side_effects: tuple[str, ...] = ()
    is_sent: bool = False


class Action(Protocol):
    @property
    def code(self) -> str: ...

    @property
    def about(self) -> str: ...

    @property
    def bounds(self) -> Mapping[str, Bounds]: ...

    @property
    def is_reversible(self) -> bool: ...

    @property
    def touches_trading(self) -> bool:
        """True where it may hold up the trading loop: never with an order in flight."""

    @property
    def once_per_incident(self) -> bool: ...

    @property
    def has_dry_run(self) -> bool:
        """True where a dry run measures what it would do; of others it is the plan alone."""

    def parameters(self, context: Context) -> Parameters | None:
        """Return what it would do now; None where there is nothing for it to do."""

    def apply(self, context: Context, parameters: Parameters, action_id: int) -> Outcome:
        """Do it.

        Raises:
            ActionFailed: it could not be done; one line.
        """

    def revert(self, context: Context, parameters: Parameters) -> str:
        """Undo it and return what was done; only of reversible actions."""


class Plain:
    """What most actions are: not reversible, far from trading, repeatable."""

    code = ""
    about = ""
    bounds: Mapping[str, Bounds] = {}
    is_reversible = False
    touches_trading = False
    once_per_incident = False
    has_dry_run = False

    def revert(self, context: Context, parameters: Parameters) -> str:
        raise NotImplementedError(f"{self.code} is not reversible")


def number(parameters: Mapping[str, Any], name: str) -> float:
    return float(parameters[name])
