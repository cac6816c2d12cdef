"""A stored run that holds something, with the real gate: what people ask of it is real rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from engine.announce import EventOutcome
from engine.ledger import Ledger
from engine.quality import bar_at
from engine.types.bars import EventKind, MarketEvent
from engine.types.opinions import Side
from engine.types.orders import Fill
from tests.trades.order_factory import make_intent, write_intent
from tests.trades.stored_run import StoredRun, market
from trades import books, models
from trades.gate import DatabaseGatekeeper

BTC = "BTC/USDT"
STRATEGY = "ema-trend"


class Quiet:
    """A watch that notes what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def control_changed(self, scope: str, state: Any, reason: str) -> None:
        self.told.append((scope, str(state)))

    def alarm(self, alert: Any) -> None:
        self.told.append((alert.code, alert.text))


class AskedRun(StoredRun):
    """``tick`` is a clock event, ``bar`` the next bar; ``hold`` opens a position by a fill."""

    def __init__(self, **given: Any) -> None:
        super().__init__(market(BTC, n_bars=460), warm_up_bars=450, gate=_Later(), **given)
        self.gate.real = DatabaseGatekeeper(self.run, lambda: True, Quiet())  # type: ignore[attr-defined]
        # building a session on a busy machine outlasts a lease
        models.Lease.objects.update(expires_at=timezone.now() + timedelta(hours=1))
        first = bar_at(self.bars[BTC], self.row - 1)
        self.now_ms = first.ts_ms + 60_000
        self.price = Decimal(repr(first.close)).quantize(Decimal("0.01"))
        self.book.account.ledger.mark(BTC, self.price)

    @property
    def ledger(self) -> Ledger:
        return self.book.account.ledger

    def tick(self) -> EventOutcome:
        self.now_ms += 1_000
        event = MarketEvent(EventKind.CLOCK, "", self.now_ms, self.now_ms)
        return self.session.on_event(event)

    def bar(self) -> EventOutcome:
        outcome = self.session.on_event(self.event(BTC))
        self.row += 1
        return outcome

    def hold(
        self, quantity: str = "0.01", strategy: str = STRATEGY, stop_below: str = "0.05"
    ) -> None:
        tick = Decimal("0.01")
        stop = (self.price * (1 - Decimal(stop_below))).quantize(tick)
        entry = make_intent(quantity=quantity, stop=str(stop), decided_at_ms=self.now_ms)
        entry = replace(entry, strategy=strategy, reference_price=self.price)
        fill = Fill(
            trade_id=f"t{models.Fill.objects.count()}",
            client_order_id=entry.client_order_id,
            symbol=BTC,
            side=Side.BUY,
            price=self.price,
            quantity_base=entry.quantity_base,
            fee=Decimal("0.01"),
            fee_asset="USDT",
            ts_ms=self.now_ms,
        )
        event = MarketEvent(EventKind.CLOCK, "", self.now_ms, self.now_ms)
        outcome = EventOutcome(event)
        with self.journal.event(event):
            write_intent(self.run, entry)
            self.book.book([(fill, entry)], event, outcome, {})
            self.book.mark(event, outcome)

    def restored(self) -> Ledger:
        return books.restore_ledger(self.run, self.instruments.values())


class _Later:
    """Stands for the gate until the run that it reads exists."""

    real: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)
