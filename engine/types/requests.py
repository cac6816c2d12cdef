"""What people ask of a running book, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from engine.types.opinions import Side
from engine.types.orders import OrderIntent


@dataclass(frozen=True, slots=True)
class ClosePosition:
    """Sell (or buy back) a position at the market: ``quantity_base`` of it, or ``fraction`` in
    (0, 1] of what is held when the request is carried out; both None means all of it."""

    request_id: str
    strategy: str
    symbol: str
    actor: str
    quantity_base: Decimal | None = None
    fraction: Decimal | None = None


@dataclass(frozen=True, slots=True)
class MoveExits:
    """Move stop or target of a position. ``changes`` holds ``stop_price`` and ``target_price``,
    None to take one away; what it leaves out stays. ``may_widen`` allows more risk than before."""

    request_id: str
    strategy: str
    symbol: str
    actor: str
    changes: Mapping[str, Decimal | None]
    may_widen: bool = False


@dataclass(frozen=True, slots=True)
class Flatten:
    """Close every position in ``scope`` (``global``, ``strategy:CODE``, ``symbol:SYMBOL``, or one
    of them within this run's own account), then halt it (D-28). ``legs`` is how many orders each
    (strategy, symbol) has had of it so far, ``misses`` how many of the newest took nothing, one
    after the other; ``missed_ms`` when the last of those was decided, in venue time.
    """

    request_id: str
    scope: str
    actor: str
    reason: str
    legs: Mapping[tuple[str, str], int] = field(default_factory=dict)
    misses: Mapping[tuple[str, str], int] = field(default_factory=dict)
    missed_ms: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def covers(self, strategy: str, symbol: str) -> bool:
        return self.inside in ("global", f"strategy:{strategy}", f"symbol:{symbol}")

    @property
    def inside(self) -> str:
        """The scope within the run's book: ``account:NAME`` is all of it."""
        if not self.scope.startswith("account:"):
            return self.scope
        return self.scope.partition("/")[2] or "global"

    @property
    def judged_as(self) -> tuple[str, str]:
        """Symbol and strategy, one or none of them named, whose trading state is the scope's."""
        kind, _, name = self.inside.partition(":")
        return (name if kind == "symbol" else "", name if kind == "strategy" else "")


@dataclass(frozen=True, slots=True)
class Adjust:
    """Money or coins that came (> 0) or went (< 0) without a trade: no gain and no loss.

    ``own_base`` of a coin on the account were the owner's, those of before the run included.
    """

    request_id: str
    asset: str
    amount: Decimal
    actor: str
    own_base: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class BookExternal:
    """A trade made by hand on the venue, to be taken into the books (F-013).

    ``as_lots``: it closed what strategies hold (``strategy``, or the oldest first where empty);
    else it was the owner's own coins, of which ``own_base`` were on the account.
    """

    request_id: str
    symbol: str
    trade_id: str
    side: Side
    price: Decimal
    quantity_base: Decimal
    fee: Decimal
    fee_asset: str
    ts_ms: int
    actor: str
    as_lots: bool
    strategy: str = ""
    own_base: Decimal = Decimal(0)


Instruction = ClosePosition | MoveExits | Flatten | Adjust | BookExternal


class Verdict(StrEnum):
    """WORKING is looked at again at the next event; the others are the end."""

    WORKING = "WORKING"
    DONE = "DONE"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One balance changed without a trade of ours. ``price_quote`` is what the asset was valued
    at, ``value_quote`` what it added to equity, which was ``equity_before_quote``."""

    asset: str
    amount: Decimal
    price_quote: Decimal
    value_quote: Decimal
    equity_before_quote: Decimal
    ts_ms: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one instruction at one event. ``intents`` are its orders of this event,
    ``filled`` those that were written down filled already and are never sent."""

    request_id: str
    verdict: Verdict
    text: str
    intents: tuple[OrderIntent, ...] = ()
    filled: tuple[OrderIntent, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()
