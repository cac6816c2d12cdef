"""What is asked of an order in the transaction that sends it."""

from __future__ import annotations

from decimal import Decimal

from engine.ports import StrategyStatus, TradingState
from engine.types.orders import OrderStatus, Purpose, Rejection
from strategies.models import Strategy
from trades import models

ZERO = Decimal(0)
# Why an exit was denied: what it would take off is not there any more.
NOT_REDUCING = "NOT_REDUCING"
_AT_THE_VENUE = (
    OrderStatus.SENDING,
    OrderStatus.UNKNOWN,
    OrderStatus.OPEN,
    OrderStatus.PARTIAL,
    OrderStatus.PENDING_CANCEL,
)


def refusal_of(order: models.Order, entries_held: str) -> Rejection | None:
    """Return why the kill switch, a hold or the strategy's status forbids this order now."""
    scopes = ("global", f"symbol:{order.symbol}", f"strategy:{order.strategy}")
    rows = models.ControlState.objects.filter(scope__in=scopes)
    for row in sorted(rows, key=lambda r: -TradingState(r.state).severity):
        if row.state == TradingState.HALTED:
            return own_refusal("HALTED", f"{row.scope} is halted: {row.reason}")
        if row.state == TradingState.REDUCING and order.purpose == Purpose.ENTRY:
            return own_refusal("REDUCING", f"{row.scope} allows exits only: {row.reason}")
    if order.purpose != Purpose.ENTRY:
        return None
    if entries_held:
        return own_refusal("ENTRIES_HELD", entries_held)
    status = Strategy.objects.filter(code=order.strategy).values_list("status", flat=True).first()
    if status is None or not StrategyStatus(status).may_enter:
        text = f"strategy {order.strategy} was {status or 'unknown'}"
        return own_refusal("STRATEGY_STATUS", text)
    return None


def reducible(order: models.Order) -> tuple[Decimal, Decimal]:
    """Return what the order's strategy holds on the order's other side, and how much of that other
    orders at the venue may still take; call in the transaction that sends."""
    lots = models.Lot.objects.filter(
        run=order.run_id, strategy=order.strategy, symbol=order.symbol, is_open=True
    ).exclude(side=order.side)
    held = sum(lots.values_list("quantity_base", flat=True), ZERO)
    others = models.Order.objects.filter(
        run=order.run_id,
        strategy=order.strategy,
        symbol=order.symbol,
        purpose=Purpose.EXIT,
        status__in=_AT_THE_VENUE,
    ).exclude(pk=order.pk)
    promised = sum((max(o.quantity_base - o.filled_base, ZERO) for o in others), ZERO)
    return held, promised


def own_refusal(code: str, text: str) -> Rejection:
    """Return a denial of ours: nothing was sent."""
    return Rejection(code, text, by_venue=False)
