"""Stops that were taken away for an exit which the venue then refused: put back as they were.

Outside a halt the next plan of stops does this by itself. Here it is done for the brake that would
come in between: nothing rests anew in a halt, so what gave way is back before it is pulled (I-20).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from django.db import transaction

from engine.client_ids import client_order_id
from engine.types.orders import Cause, OrderIntent, OrderStatus, OrderType, Purpose
from trades import models, records
from trades.journal import DatabaseJournal
from trades.lease import Fence
from trades.send_rules import AT_THE_VENUE, reducible

_TRIGGERED = [kind.value for kind in OrderType if kind.has_trigger]


def owed(run: models.TradingRun) -> list[models.Order]:
    """Return the cancelled stop of each position that is held by now without anything at the venue
    that would end it; a stop that filled, or that the venue refused, is owed to nobody."""
    return [stop for stop in _newest_stops(run) if _room(stop)]


def put_back(stop: models.Order, run: models.TradingRun, fence: Fence) -> OrderIntent | None:
    """Write the same stop ahead under a name of its own, for what is still held; None where nothing
    is. It is to be sent like any other order.

    Raises:
        LeaseLost: another worker runs this run now; nothing was written.
    """
    with transaction.atomic():
        fence.assert_held()
        quantity = _room(stop)
        if not quantity:
            return None
        newest = models.Order.objects.filter(
            run=run, strategy=stop.strategy, symbol=stop.symbol
        ).latest("pk")
        at_ms = records.milliseconds(newest.decided_at)
        name = client_order_id(
            stop.client_order_id[:6],
            run.account,
            str(run.code),
            stop.strategy,
            stop.symbol,
            at_ms,
            0,
            f"{Cause.PROTECTION.value}:back:{stop.client_order_id}",
        )
        intent = replace(
            records.order_intent(stop),
            client_order_id=name,
            quantity_base=quantity,
            decided_at_ms=at_ms,
            leg=0,
        )
        DatabaseJournal(run, fence, {}).record_intent(intent)
    return intent


def _newest_stops(run: models.TradingRun) -> Iterator[models.Order]:
    """Return the newest stop of each position held, where it was cancelled."""
    held = models.Lot.objects.filter(run=run, is_open=True).values_list("strategy", "symbol")
    for strategy, symbol in held.distinct().order_by("strategy", "symbol"):
        stop = (
            models.Order.objects.filter(
                run=run,
                strategy=strategy,
                symbol=symbol,
                cause=Cause.PROTECTION,
                order_type__in=_TRIGGERED,
            )
            .order_by("-pk")
            .first()
        )
        if stop is not None and stop.status == OrderStatus.CANCELED:
            yield stop


def _room(stop: models.Order) -> Decimal:
    """Return what the stop may take: its own rest at most, 0 while another order may end the
    position or take a part of it."""
    leaving = models.Order.objects.filter(
        run=stop.run_id,
        strategy=stop.strategy,
        symbol=stop.symbol,
        purpose=Purpose.EXIT,
        status__in=AT_THE_VENUE,
    )
    if leaving.exists():
        return Decimal(0)
    held, _ = reducible(stop)
    return min(stop.quantity_base - stop.filled_base, held)
