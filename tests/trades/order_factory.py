"""Rows and objects that tests of the order path start from."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from engine.protection import Guard
from engine.types.bars import EventKind, Instrument, MarketEvent
from engine.types.opinions import Side
from engine.types.orders import Fill, OrderIntent, OrderType, Purpose
from strategies.models import Strategy
from trades import books, models, records
from trades.alerts import Alert
from trades.brokers.ccxt_live import VenueBroker
from trades.brokers.venue_client import VenueClient
from trades.journal import DatabaseJournal
from trades.lease import Fence, lease_acquire
from trades.reconcile import Patience, RunReconciler, entries_held
from trades.venue_rules import ClosedSymbols

BTC = "BTC/USDT"
INSTALLATION = "abc123"
STRATEGY = "ema-trend"
START_MS = 1_700_000_000_000
QUICK = Patience(grace_s=10.0, gap_s=5.0)

INSTRUMENT = Instrument(
    symbol=BTC,
    base="BTC",
    quote="USDT",
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.00001"),
    min_notional_quote=Decimal(10),
    min_quantity_base=Decimal("0.00001"),
    maker_fee_fraction=Decimal("0.001"),
    taker_fee_fraction=Decimal("0.001"),
)


def make_run(**fields: Any) -> models.TradingRun:
    now = timezone.now()
    defaults: dict[str, Any] = {
        "code": uuid.uuid4(),
        "mode": "practice",
        "venue": "binance",
        "account": f"main-{uuid.uuid4().hex[:8]}",
        "symbols": [BTC],
        "timeframe_ms": 60_000,
        "quote": "USDT",
        "starting_cash_quote": Decimal(10_000),
        "config": {},
        "config_digest": "0" * 64,
        "code_version": "test",
        "started_at": now,
    }
    Strategy.objects.get_or_create(
        code=STRATEGY, defaults={"name": STRATEGY, "status_changed_at": now, "created_at": now}
    )
    return models.TradingRun.objects.create(**{**defaults, **fields})


def held_fence(run: models.TradingRun, holder: str = "worker-1") -> Fence:
    fence = lease_acquire(run=run, holder=holder, code_version="test")
    assert fence is not None
    return fence


def lose_lease(run: models.TradingRun) -> None:
    """Let the lease expire, as it does for a worker that was frozen."""
    past = timezone.now() - timedelta(seconds=1)
    models.Lease.objects.filter(run=run).update(expires_at=past)


def make_intent(
    *,
    quantity: str = "0.00200",
    side: Side = Side.BUY,
    purpose: Purpose = Purpose.ENTRY,
    kind: OrderType = OrderType.MARKET,
    limit: str | None = None,
    stop: str | None = None,
    decided_at_ms: int = START_MS,
    client_order_id: str = "",
) -> OrderIntent:
    return OrderIntent(
        client_order_id=client_order_id or INSTALLATION + uuid.uuid4().hex[:26],
        strategy=STRATEGY,
        symbol=BTC,
        side=side,
        purpose=purpose,
        order_type=kind,
        quantity_base=Decimal(quantity),
        limit_price=None if limit is None else Decimal(limit),
        stop_price=None if stop is None else Decimal(stop),
        target_price=None,
        reference_price=Decimal(50_000),
        decided_at_ms=decided_at_ms,
        regime="TRENDING",
    )


def write_intent(run: models.TradingRun, intent: OrderIntent) -> models.Order:
    """Write what the journal writes for a decision's intent, without the decision."""
    now = timezone.now()
    order = records.order_row(run, None, intent, now)  # type: ignore[arg-type]
    order.save(force_insert=True)
    models.OrderEvent.objects.create(order=order, seq=1, from_status="", to_status="INTENT", at=now)
    return order


def hold(run: models.TradingRun, quantity: str = "0.00200", side: Side = Side.BUY) -> models.Lot:
    """Give the run's strategy a position, as fills of before left it."""
    return models.Lot.objects.create(
        run=run,
        lot_id=f"{BTC}:{uuid.uuid4().hex[:12]}",
        strategy=STRATEGY,
        symbol=BTC,
        side=side.value,
        quantity_base=Decimal(quantity),
        entry_price=Decimal(50_000),
        entry_fee_quote=Decimal(0),
        risk_per_unit_quote=Decimal(500),
        stop_price=Decimal(49_500),
        opened_at=records.moment(START_MS),
        entry_order_id="",
    )


def make_fill(intent: OrderIntent, quantity: str, price: str = "50000", trade_id: str = "") -> Fill:
    return Fill(
        trade_id=trade_id or uuid.uuid4().hex[:12],
        client_order_id=intent.client_order_id,
        symbol=intent.symbol,
        side=intent.side,
        price=Decimal(price),
        quantity_base=Decimal(quantity),
        fee=Decimal("0.1"),
        fee_asset="USDT",
        ts_ms=intent.decided_at_ms,
    )


def age(order: models.Order, seconds: float) -> None:
    """Move an order's sends and queries into the past, instead of waiting."""
    row = models.Order.objects.get(pk=order.pk)
    by = timedelta(seconds=seconds)
    models.Order.objects.filter(pk=order.pk).update(
        sent_at=row.sent_at and row.sent_at - by,
        last_queried_at=row.last_queried_at and row.last_queried_at - by,
    )


def statuses(order: models.Order) -> list[str]:
    return list(order.events.order_by("seq").values_list("to_status", flat=True))


@dataclass
class World:
    """One run on one venue: broker, journal and reconciliation as a session would hold them."""

    run: models.TradingRun
    ccxt_client: Any
    now_ms: int
    fence: Fence = field(init=False)
    alerts: list[Alert] = field(default_factory=list)
    agreed: list[Collection[str]] = field(default_factory=list)
    over: list[tuple[str, set[str]]] = field(default_factory=list)
    fills_answered: int = 0
    booted_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    monotonic_s: float = 1_000.0

    def __post_init__(self) -> None:
        self.fence = held_fence(self.run)
        self.client = VenueClient(self.ccxt_client)
        self.client.load()
        self.reboot()
        # the run's first event, from which on sweeps look for fills
        models.EquityPoint.objects.create(
            run=self.run,
            at=records.moment(self.now_ms),
            equity_quote=Decimal(10_000),
            cash_quote=Decimal(10_000),
            exposure_quote=Decimal(0),
            peak_equity_quote=Decimal(10_000),
            drawdown_fraction=0.0,
            day_pnl_quote=Decimal(0),
        )

    def reboot(self, *, reconciled: bool = True) -> None:
        """Build the objects anew, as after a restart."""
        self.booted_at = datetime.now(UTC)
        if reconciled:
            self.run.reconciled_at = self.booted_at
            self.run.save(update_fields=["reconciled_at"])
        self.closed = ClosedSymbols(
            self.client.markets,
            self.run.symbols,
            self.alerts.append,
            monotonic=lambda: self.monotonic_s,
        )
        self.broker = VenueBroker(
            self.run,
            self.client,
            self.fence,
            instruments={BTC: INSTRUMENT},
            guard=Guard(),
            entries_held=lambda: entries_held(self.run, self.booted_at),
            alarm=self.alerts.append,
            closed=self.closed,
            fills_answered=self._count_answer,
            monotonic=lambda: self.monotonic_s,
        )
        # no sweep unless a test asks for one by moving the clock
        self.broker._sweep_at_s = self.monotonic_s + 1
        self.journal = DatabaseJournal(self.run, self.fence, {})
        self.ledger = books.restore_ledger(self.run, [INSTRUMENT])
        self.reconciler = RunReconciler(
            self.run,
            self.client,
            self.broker,
            self.fence,
            {BTC: INSTRUMENT},
            installation=INSTALLATION,
            booted_at=self.booted_at,
            alarm=self.alerts.append,
            closed=self.closed,
            agreed=self.agreed.append,
            over=lambda code, standing: self.over.append((code, set(standing))),
            patience=QUICK,
            monotonic=lambda: self.monotonic_s,
        )

    def _count_answer(self) -> None:
        self.fills_answered += 1

    @property
    def event(self) -> MarketEvent:
        return MarketEvent(EventKind.CLOCK, "", self.now_ms, self.now_ms)

    def intend(self, **fields: Any) -> OrderIntent:
        intent = make_intent(decided_at_ms=self.now_ms, **fields)
        write_intent(self.run, intent)
        return intent

    def order(self, intent: OrderIntent) -> models.Order:
        return models.Order.objects.get(client_order_id=intent.client_order_id)

    def book(self, *, sweep: bool = False) -> Sequence[Fill]:
        """Fetch fills and book them, as the session does at every event."""
        if sweep:
            self.monotonic_s += 60
        found = self.broker.fills_at(self.event)
        with self.journal.event(self.event):
            for fill, intent in found:
                effect = self.ledger.apply_fill(fill, intent)
                self.journal.record_fill(fill, intent)
                self.journal.record_lots(effect.opened, effect.changed)
        return [fill for fill, _ in found]

    def codes(self) -> list[str]:
        return [alert.code for alert in self.alerts]
