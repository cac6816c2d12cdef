"""What we did: intents, orders, fills, and the venue's answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from engine.types.opinions import Side


class OrderType(StrEnum):
    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"


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
