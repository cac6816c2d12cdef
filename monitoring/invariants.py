"""Invariants with evidence in this room: a gap that a person was told of is no breach."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal

from django.utils import timezone

from market.models import Instrument
from monitoring.models import Alert
from trades import models
from trades.alerts import UNPROTECTED
from trades.invariants import Breach, Check
from trades.send_rules import AT_THE_VENUE

ZERO = Decimal(0)
UNPROTECTED_FOR = timedelta(seconds=60)


def positions_have_their_stop() -> Iterator[Breach]:
    """Each open position whose last fill is a minute old has stops at the venue for its quantity,
    to one lot step, or an open alert that says it has not.

    Runs that judge stops at closes, by their configuration or for want of a venue's stops, have
    no such orders and are left out; so are runs that ended.
    """
    for run in models.TradingRun.objects.filter(ended_at__isnull=True):
        trading = run.config.get("trading", {})
        if not trading.get("resting_stops", True) or trading.get("protection") == "take_profit":
            continue
        alerts = Alert.objects.filter(run_code=str(run.code), resolved_at__isnull=True)
        told = set(alerts.values_list("dedupe_key", flat=True))
        if alerts.filter(code="NO_RESTING_STOPS").exists():
            continue
        yield from _of_run(run, told)


def _of_run(run: models.TradingRun, told: set[str]) -> Iterator[Breach]:
    resting: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    stops = models.Order.objects.filter(
        run=run, cause="protection", stop_price__isnull=False, status__in=AT_THE_VENUE
    )
    for order in stops:
        resting[order.strategy, order.symbol] += order.quantity_base - order.filled_base
    lots = dict(Instrument.objects.filter(venue=run.venue).values_list("symbol", "lot_size"))
    for (strategy, symbol), quantity in _positions(run).items():
        fills = models.Fill.objects.filter(run=run, strategy=strategy, symbol=symbol)
        last = fills.order_by("-applied_at").first()
        if last is None or timezone.now() - last.applied_at <= UNPROTECTED_FOR:
            continue
        there = resting[strategy, symbol]
        if abs(quantity - there) < lots.get(symbol, ZERO) or quantity == there:
            continue
        if f"{UNPROTECTED}:{run.code}:{strategy} {symbol}" not in told:
            yield Breach(
                "I-20",
                f"{strategy} holds {quantity} {symbol}, stops at the venue were {there}, "
                "and no alert is open",
            )


def _positions(run: models.TradingRun) -> dict[tuple[str, str], Decimal]:
    held: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for lot in models.Lot.objects.filter(run=run, is_open=True):
        held[lot.strategy, lot.symbol] += lot.quantity_base
    return dict(held)


CHECKS: Mapping[str, tuple[Check, ...]] = {"I-20": (positions_have_their_stop,)}
