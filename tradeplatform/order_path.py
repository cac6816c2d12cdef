"""The order path of a stored run: broker, reconciler and gatekeeper, by the run's mode."""

from __future__ import annotations

from decimal import Decimal

from django.conf import settings
from django.utils import timezone

from engine.ports import Broker
from engine.protection import Guard
from engine.risk import RiskLimits
from engine.types.bars import Instrument
from tradeplatform.watch import RunWatch
from trades.brokers.ccxt_live import VenueBroker
from trades.brokers.paper import StoredPaperBroker
from trades.brokers.send_checks import SendChecks
from trades.brokers.venue_client import VenueClient
from trades.ceilings import ceiling_fault, stored_ceilings
from trades.clock_guard import ClockGuard
from trades.core.operating_limits import OperatingLimits
from trades.gate import DatabaseGatekeeper
from trades.lease import Fence
from trades.loop import Reconciler
from trades.models import Mode, TradingRun
from trades.reconcile import RunReconciler, is_reconciled
from trades.venue_rules import ClosedSymbols


class NothingToReconcile:
    """The reconciler of paper runs: the venue knows none of our orders."""

    def run_if_due(self) -> None:
        return None


def order_path(
    run: TradingRun,
    fence: Fence,
    venue: VenueClient,
    instruments: dict[str, Instrument],
    watch: RunWatch,
    limits: RiskLimits,
    operating: OperatingLimits,
    guard: Guard | None,
    closed: ClosedSymbols,
) -> tuple[Broker, Reconciler, DatabaseGatekeeper]:
    """Return what orders of this run go through; nothing enters before it is reconciled (I-19)."""
    booted_at = timezone.now()
    if run.mode == Mode.PAPER:
        paper = StoredPaperBroker(run, fence, instruments)
        return paper, NothingToReconcile(), DatabaseGatekeeper(run, lambda: True, watch)
    venue.load()
    # the practice exchange's clock is virtual: it says nothing of ours
    is_virtual = run.mode == Mode.PRACTICE
    clock = ClockGuard(venue.venue_ms, operating, watch.alarm, subject=str(run.pk))
    broker = VenueBroker(
        run,
        venue,
        fence,
        instruments=instruments,
        guard=guard,
        entries_held=lambda: (
            ceiling_fault()
            if is_reconciled(run, booted_at)
            else "not reconciled with the venue since the start"
        ),
        alarm=watch.alarm,
        closed=closed,
        fills_answered=watch.fills_answered,
        checks=SendChecks(
            run,
            instruments,
            venue.quote,
            limits,
            operating,
            clock=(lambda: None) if is_virtual else clock,
            ceilings=stored_ceilings,
        ),
        limits=operating,
    )
    reconciler = RunReconciler(
        run,
        venue,
        broker,
        fence,
        instruments,
        installation=settings.INSTALLATION_ID,
        booted_at=booted_at,
        alarm=watch.alarm,
        closed=closed,
        agreed=watch.balances_agree,
        over=watch.over,
        baseline={asset: Decimal(held) for asset, held in run.opening_balances.items()},
        limits=operating,
    )
    return broker, reconciler, DatabaseGatekeeper(run, reconciler.is_reconciled, watch)
