"""What we did: intents, orders, fills, and the venue's answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from engine.types.opinions import Side


class OrderType(StrEnum):
    """STOP and TAKE_PROFIT wait for a price and then sell at the market; STOP_LIMIT waits and then
    rests at its limit. IOC_LIMIT takes at once what its limit allows, the rest ends."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TAKE_PROFIT = "take_profit"
    IOC_LIMIT = "ioc_limit"

    @property
    def has_trigger(self) -> bool:
        """True where the order does nothing until a price is reached."""
        return self in _TRIGGERED

    @property
    def has_limit(self) -> bool:
        """True where the order never trades at a worse price than its limit."""
        return self in _LIMITED

    @property
    def takes_at_once(self) -> bool:
        """True where what is not taken at once never rests."""
        return self in (OrderType.MARKET, OrderType.IOC_LIMIT)


_TRIGGERED = frozenset({OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT})
_LIMITED = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.IOC_LIMIT})


class OrderStatus(StrEnum):
    """INTENT is on disk and not sent; UNKNOWN was sent and not answered (never 'rejected')."""

    INTENT = "INTENT"
    SENDING = "SENDING"
    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"
    PARTIAL = "PARTIAL"
    FILLED = "FILLED"
    PENDING_CANCEL = "PENDING_CANCEL"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    DENIED = "DENIED"

    @property
    def is_terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = frozenset(
    {
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.REJECTED,
        OrderStatus.EXPIRED,
        OrderStatus.DENIED,
    }
)


class Purpose(StrEnum):
    ENTRY = "entry"
    EXIT = "exit"

    @property
    def reduces_risk(self) -> bool:
        return self is Purpose.EXIT


class Cause(StrEnum):
    """Why an order exists: a decision of the pipeline, the protection of what is held, or a
    person's request. Only a decision may open a position."""

    DECISION = "decision"
    PROTECTION = "protection"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """An order we want, before any venue knows of it. Entries are built in phase 8 only (ORC-03);
    ``engine.reducing`` builds those that no decision asked for, and they only reduce.

    ``client_order_id`` is deterministic (D-19): the same decision repeats the same id. ``actor``
    is who asked for it, empty where nobody did.
    """

    client_order_id: str
    strategy: str
    symbol: str
    side: Side
    purpose: Purpose
    order_type: OrderType
    quantity_base: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    target_price: Decimal | None
    reference_price: Decimal
    decided_at_ms: int
    regime: str
    leg: int = 0
    reason_code: str = ""
    cause: Cause = Cause.DECISION
    actor: str = ""

    @property
    def trigger_price(self) -> Decimal | None:
        """The price the order waits for; None where it waits for none."""
        if not self.order_type.has_trigger:
            return None
        is_target = self.order_type is OrderType.TAKE_PROFIT
        return self.target_price if is_target else self.stop_price

    @property
    def is_resting_protection(self) -> bool:
        """True for an order that only guards what is held: it gives way to every other exit."""
        return self.cause is Cause.PROTECTION and self.order_type.has_trigger

    def remainder(self, filled_base: Decimal) -> OrderIntent:
        """Return the intent with what is left of its quantity after ``filled_base``."""
        if not filled_base:
            return self
        return replace(self, quantity_base=self.quantity_base - filled_base)


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution on the venue. ``fee`` is in ``fee_asset`` and is a cost when positive."""

    trade_id: str
    client_order_id: str
    symbol: str
    side: Side
    price: Decimal
    quantity_base: Decimal
    fee: Decimal
    fee_asset: str
    ts_ms: int
    is_maker: bool = False


@dataclass(frozen=True, slots=True)
class OrderState:
    """The venue's word on one order."""

    client_order_id: str
    venue_order_id: str
    status: OrderStatus
    filled_base: Decimal
    average_price: Decimal | None
    ts_ms: int


@dataclass(frozen=True, slots=True)
class Rejection:
    """An explicit refusal; only this may become REJECTED (the venue's) or DENIED (our own).

    ``by_venue`` is False where a limit or control of ours refused and nothing was sent; ``value``
    and ``limit`` are the numbers it compared, None where it compared none.
    """

    code: str
    message: str
    by_venue: bool = True
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No answer: the order may exist. Query by client order id, never resend blindly."""

    reason: str


SubmitResult = OrderState | Rejection | Unanswered
