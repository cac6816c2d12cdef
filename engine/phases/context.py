"""What a decision needs besides the market: who we are, what we hold, what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from engine.limits import RiskLimits, RiskView
from engine.ports import Gatekeeper, OptimizationPolicy
from engine.types.orders import OrderIntent


class Holding(Protocol):
    """A strategy's position in one symbol, as the ledger keeps it; quantity is signed."""

    @property
    def strategy(self) -> str: ...

    @property
    def symbol(self) -> str: ...

    @property
    def quantity_base(self) -> Decimal: ...

    @property
    def stop_price(self) -> Decimal | None: ...

    @property
    def target_price(self) -> Decimal | None: ...

    @property
    def opened_at_ms(self) -> int | None: ...


Positions = Mapping[str, Holding]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionContext:
    """The account's side of one decision, all of it as of this event.

    ``positions`` are those of the decision's symbol by strategy code; ``pending`` are intents
    that may still fill, including those decided earlier on this bar.
    """

    installation: str
    account: str
    run_code: str
    gatekeeper: Gatekeeper
    policy: OptimizationPolicy
    risk: RiskView
    limits: RiskLimits
    positions: Positions
    pending: tuple[OrderIntent, ...] = ()
