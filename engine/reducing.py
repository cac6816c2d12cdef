"""Orders that no decision asked for: protective stops and what people request. They only reduce."""

from __future__ import annotations

from decimal import Decimal

from engine.client_ids import client_order_id
from engine.lots import Position
from engine.types.ledger import ZERO
from engine.types.opinions import Side
from engine.types.orders import Cause, OrderIntent, OrderType, Purpose


def reducing_intent(
    held: Position,
    *,
    installation: str,
    account: str,
    run_code: str,
    cause: Cause,
    cause_id: str,
    quantity_base: Decimal,
    reference_price: Decimal,
    at_ms: int,
    reason_code: str,
    order_type: OrderType = OrderType.MARKET,
    limit_price: Decimal | None = None,
    stop_price: Decimal | None = None,
    target_price: Decimal | None = None,
    leg: int = 0,
    regime: str = "",
    actor: str = "",
) -> OrderIntent:
    """Return an order that takes ``quantity_base`` off a position, on the position's other side.

    ``cause_id`` tells two orders of one cause apart (a request's number, a stop's); with the
    position, the cause and the leg it makes the order's name, which a restart repeats.

    Raises:
        ValueError: a decision was given as the cause, or the quantity is not above 0 and at most
            what is held.
    """
    if cause is Cause.DECISION:
        raise ValueError("orders of decisions are built in phase 8, cause was decision")
    if not ZERO < quantity_base <= abs(held.quantity_base):
        raise ValueError(
            f"quantity_base must be above 0 and at most {abs(held.quantity_base)}, "
            f"was {quantity_base}"
        )
    return OrderIntent(
        client_order_id=client_order_id(
            installation,
            account,
            run_code,
            held.strategy,
            held.symbol,
            at_ms,
            leg,
            f"{cause.value}:{cause_id}",
        ),
        strategy=held.strategy,
        symbol=held.symbol,
        side=Side.SELL if held.quantity_base > 0 else Side.BUY,
        purpose=Purpose.EXIT,
        order_type=order_type,
        quantity_base=quantity_base,
        limit_price=limit_price,
        stop_price=stop_price,
        target_price=target_price,
        reference_price=reference_price,
        decided_at_ms=at_ms,
        regime=regime,
        leg=leg,
        reason_code=reason_code,
        cause=cause,
        actor=actor,
    )
