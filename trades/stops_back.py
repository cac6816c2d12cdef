"""Stops that were taken away for an exit which the venue then refused: back for what is held now.

Outside a halt the next plan of stops does this by itself. Here it is done for the brake that would
come in between: nothing rests anew in a halt, so what gave way is back before it is pulled (I-20).
Price and quantity are those of the position as it is, as in that plan: the stop that went may have
guarded an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.db import transaction

from engine.client_ids import RunIdentity
from engine.lots import LotBook, Position
from engine.protection import Guard, Wanted, guarding_intent, wanted_for
from engine.types.bars import Instrument
from engine.types.orders import Cause, OrderIntent, OrderStatus, OrderType, Purpose
from trades import models, records
from trades.journal import DatabaseJournal
from trades.lease import Fence
from trades.send_rules import AT_THE_VENUE

_TRIGGERED = [kind.value for kind in OrderType if kind.has_trigger]
# A stop in one of these is on its way: to its end, or to the venue.
_UNSETTLED = (OrderStatus.INTENT, OrderStatus.PENDING_CANCEL)


@dataclass(frozen=True, slots=True)
class StopsBack:
    """The stops that one run's positions lost; ``guard`` is what rests for each, None for nothing,
    and then none is owed."""

    run: models.TradingRun
    fence: Fence
    instruments: Mapping[str, Instrument]
    guard: Guard | None

    def owed(self) -> list[models.Order]:
        """Return the cancelled stop of each position that is held by now without anything at the
        venue that would end it, and that one may rest for; a stop that filled, or that the venue
        refused, is owed to nobody, nor is one to dust."""
        gone = (stop for stop in self._newest_stops() if stop.status == OrderStatus.CANCELED)
        return [stop for stop in gone if self._wanted(self._position(stop)) is not None]

    def is_unsettled(self) -> bool:
        """True while a held position's newest stop is neither at the venue nor known to be gone."""
        return any(stop.status in _UNSETTLED for stop in self._newest_stops())

    def put_back(self, stop: models.Order) -> OrderIntent | None:
        """Write ahead, under a name of its own, the stop that rests in the place of ``stop``; None
        where none is owed. It is to be sent like any other order.

        Raises:
            LeaseLost: another worker runs this run now; nothing was written.
        """
        with transaction.atomic():
            self.fence.assert_held()
            held = self._position(stop)
            wanted = self._wanted(held)
            if wanted is None or self.guard is None:
                return None
            newest = models.Order.objects.filter(
                run=self.run, strategy=stop.strategy, symbol=stop.symbol
            ).latest("pk")
            intent = guarding_intent(
                held,
                wanted,
                self.guard.order_type,
                self._identity(stop),
                at_ms=records.milliseconds(newest.decided_at),
                cause_id=f"back:{stop.client_order_id}",
            )
            DatabaseJournal(self.run, self.fence, {}).record_intent(intent)
        return intent

    def _identity(self, stop: models.Order) -> RunIdentity:
        installation = stop.client_order_id[:6]
        run = self.run
        return RunIdentity(installation, run.account, str(run.code), run.timeframe_ms)

    def _newest_stops(self) -> Iterator[models.Order]:
        """Return the newest stop of each position held, whatever became of it."""
        held = models.Lot.objects.filter(run=self.run, is_open=True)
        positions = held.values_list("strategy", "symbol").distinct()
        for strategy, symbol in positions.order_by("strategy", "symbol"):
            stops = models.Order.objects.filter(
                run=self.run,
                strategy=strategy,
                symbol=symbol,
                cause=Cause.PROTECTION,
                order_type__in=_TRIGGERED,
            )
            stop = stops.order_by("-pk").first()
            if stop is not None:
                yield stop

    def _position(self, stop: models.Order) -> Position:
        """Return what the stop's strategy holds in its symbol now, by the rows."""
        lots = models.Lot.objects.filter(
            run=self.run, strategy=stop.strategy, symbol=stop.symbol, is_open=True
        ).order_by("pk")
        book = LotBook(stop.strategy, stop.symbol, (records.lot_value(row) for row in lots))
        return book.position()

    def _wanted(self, held: Position) -> Wanted | None:
        """Return what may rest for the position; None while another order may end it or take a
        part of it, and where the venue takes no such order."""
        leaving = models.Order.objects.filter(
            run=self.run,
            strategy=held.strategy,
            symbol=held.symbol,
            purpose=Purpose.EXIT,
            status__in=AT_THE_VENUE,
        )
        if self.guard is None or leaving.exists():
            return None
        instrument = self.instruments[held.symbol]
        return wanted_for(held, abs(held.quantity_base), self.guard, instrument)[0]
