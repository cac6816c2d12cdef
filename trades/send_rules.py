"""What is asked of an order in the transaction that sends it."""

from __future__ import annotations

from decimal import Decimal

from engine.ports import StrategyStatus, TradingState
from engine.types.orders import Cause, OrderStatus, OrderType, Purpose, Rejection
from strategies.models import Strategy
from trades import halt_file, models
from trades.scopes import scopes_over

ZERO = Decimal(0)
# Why an exit was denied: what it would take off is not there any more.
NOT_REDUCING = "NOT_REDUCING"
# An order in one of these may fill without us doing anything more.
AT_THE_VENUE = (
    OrderStatus.SENDING,
    OrderStatus.UNKNOWN,
    OrderStatus.OPEN,
    OrderStatus.PARTIAL,
    OrderStatus.PENDING_CANCEL,
)


def refusal_of(order: models.Order, entries_held: str) -> Rejection | None:
    """Return why the kill switch, a hold or the strategy's status forbids this order now."""
    if halted := halt_file.reason():
        return own_refusal(TradingState.HALTED.value, halted)
    rows = models.ControlState.objects.filter(scope__in=scopes_of(order))
    for row in sorted(rows, key=lambda r: -TradingState(r.state).severity):
        if row.state == TradingState.HALTED:
            return own_refusal("HALTED", f"{row.scope} is halted: {row.reason}")
        if row.state == TradingState.REDUCING and order.purpose == Purpose.ENTRY:
            return own_refusal("REDUCING", f"{row.scope} allows exits only: {row.reason}")
    if order.purpose != Purpose.ENTRY:
        return None
    if entries_held:
        return own_refusal("ENTRIES_HELD", entries_held)
    locks = models.EntryLock.objects.filter(symbol=order.symbol, lifted_at__isnull=True)
    for lock in locks:
        if lock.covers(order.symbol, order.strategy) and lock.stands_at(order.decided_at):
            return own_refusal("LOCKED", f"entries are locked: {lock.words()}")
    status = Strategy.objects.filter(code=order.strategy).values_list("status", flat=True).first()
    if status is None or not StrategyStatus(status).may_enter:
        text = f"strategy {order.strategy} was {status or 'unknown'}"
        return own_refusal("STRATEGY_STATUS", text)
    return None


def scopes_of(order: models.Order) -> tuple[str, ...]:
    """Return the scopes of the kill switch that an order stands in."""
    return scopes_over(order.run.account, order.symbol, order.strategy)


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
        status__in=AT_THE_VENUE,
    ).exclude(pk=order.pk)
    promised = sum((max(o.quantity_base - o.filled_base, ZERO) for o in others), ZERO)
    return held, promised


def guards_in_a_halt(order: models.Order) -> bool:
    """True for a stop or target that must stay while trading is halted, because what it makes room
    for would be denied: it takes no more than is held and not leaving. Call in the transaction that
    cancels."""
    if order.cause != Cause.PROTECTION or not OrderType(order.order_type).has_trigger:
        return False
    rows = models.ControlState.objects.filter(scope__in=scopes_of(order))
    if not halt_file.reason() and not rows.filter(state=TradingState.HALTED).exists():
        return False
    held, promised = reducible(order)
    left: Decimal = order.quantity_base - order.filled_base
    return left <= held - promised


def own_refusal(code: str, text: str) -> Rejection:
    """Return a denial of ours: nothing was sent."""
    return Rejection(code, text, by_venue=False)
