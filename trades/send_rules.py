"""What is asked of an order in the transaction that sends it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet

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


@dataclass(frozen=True, slots=True)
class Clearance:
    """The right of what a position's stop was taken away for, read in the transaction that took it.

    ``epoch`` is the kill switch's at that time ``at``, which allowed exits; ``newest_order_id`` the
    newest order on disk: what was written down later is no reason the stop gave way for.
    ``stop_id`` is the stop that went.
    """

    run_id: int
    stop_id: int
    strategy: str
    symbol: str
    epoch: int
    newest_order_id: int
    at: datetime

    @property
    def said(self) -> dict[str, str]:
        """What the history of a send by this right says of it."""
        return {"cleared_at": self.at.isoformat()}

    def covers(self, order: models.Order) -> bool:
        """True for an exit or stop of the same position that was on disk by then."""
        position = (order.run_id, order.strategy, order.symbol)
        is_of_it = position == (self.run_id, self.strategy, self.symbol)
        return is_of_it and order.purpose == Purpose.EXIT and order.pk <= self.newest_order_id

    def covered(self) -> QuerySet[models.Order]:
        """Return the orders it covers that were not sent yet."""
        return models.Order.objects.filter(
            run=self.run_id,
            strategy=self.strategy,
            symbol=self.symbol,
            purpose=Purpose.EXIT,
            status=OrderStatus.INTENT,
            pk__lte=self.newest_order_id,
        )


def clearance_of(order: models.Order, at: datetime) -> Clearance | None:
    """Return what the end of this order clears the way for; None unless it guards a position and
    exits may leave. Call in the transaction that cancels."""
    if not _guards(order) or _is_halted(order):
        return None
    newest = models.Order.objects.order_by("-pk").values_list("pk", flat=True).first()
    return Clearance(
        run_id=order.run_id,
        stop_id=order.pk,
        strategy=order.strategy,
        symbol=order.symbol,
        epoch=control_epoch(),
        newest_order_id=newest or order.pk,
        at=at,
    )


def control_epoch() -> int:
    """Return the number of changes of the kill switch so far."""
    return sum(models.ControlState.objects.values_list("epoch", flat=True))


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
    cancels, or that reads anew what a cancel which was lost makes room for."""
    if not _guards(order) or not _is_halted(order):
        return False
    held, promised = reducible(order)
    left: Decimal = order.quantity_base - order.filled_base
    return left <= held - promised


def _guards(order: models.Order) -> bool:
    return order.cause == Cause.PROTECTION and OrderType(order.order_type).has_trigger


def _is_halted(order: models.Order) -> bool:
    rows = models.ControlState.objects.filter(scope__in=scopes_of(order))
    return bool(halt_file.reason()) or rows.filter(state=TradingState.HALTED).exists()


def own_refusal(code: str, text: str) -> Rejection:
    """Return a denial of ours: nothing was sent."""
    return Rejection(code, text, by_venue=False)
