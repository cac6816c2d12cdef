"""What was asked of a run, what was traded by hand, and which position an id names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet
from django.utils import timezone

from trades.locks import lock_standing
from trades.models import (
    EntryLock,
    ExternalFill,
    LedgerAdjustment,
    OperatorRequest,
    TradingRun,
    VenueTransfer,
)
from trades.selectors.ledger import Position, position_list, run_current


def request_list(
    *, run: TradingRun | None, kind: str | None = None, status: str | None = None
) -> QuerySet[OperatorRequest]:
    rows = OperatorRequest.objects.filter(run=run)
    if kind is not None:
        rows = rows.filter(kind=kind)
    if status is not None:
        rows = rows.filter(status=status)
    return rows.select_related("run").prefetch_related("orders").order_by("-id")


def request_get(request_id: int) -> OperatorRequest | None:
    rows = OperatorRequest.objects.select_related("run").prefetch_related("orders")
    return rows.filter(pk=request_id).first()


def external_fill_list(
    *, run: TradingRun | None, symbol: str | None = None
) -> QuerySet[ExternalFill]:
    rows = ExternalFill.objects.filter(run=run)
    if symbol is not None:
        rows = rows.filter(symbol=symbol)
    return rows.select_related("run").order_by("-executed_at", "-id")


def external_fill_get(fill_id: int) -> ExternalFill | None:
    return ExternalFill.objects.select_related("run").filter(pk=fill_id).first()


def transfer_list(*, run: TradingRun | None) -> QuerySet[VenueTransfer]:
    rows = VenueTransfer.objects.filter(run=run)
    return rows.select_related("run").order_by("-transferred_at", "-id")


def position_by_id(*, run: TradingRun, position_id: str) -> Position | None:
    """Return the open position whose ``position_id`` this is, None where there is none."""
    found = (p for p in position_list(run=run) if p.position_id == position_id)
    return next(found, None)


def deposits_by_asset(*, run: TradingRun) -> dict[str, Decimal]:
    """Return what came in less what went out, by asset."""
    sums: dict[str, Decimal] = {}
    for row in LedgerAdjustment.objects.filter(run=run):
        sums[row.asset] = sums.get(row.asset, Decimal(0)) + row.amount
    return dict(sorted(sums.items()))


def growth(
    *, start_quote: Decimal, equity_quote: Decimal, adjustments: Sequence[LedgerAdjustment]
) -> float | None:
    """Return the return as a fraction with deposits and withdrawals kept out: the growth between
    two of them is multiplied, so that money that comes or goes changes nothing (D-59).

    None where equity was not above 0 before or after one of them, or at the start.
    """
    product, base = 1.0, float(start_quote)
    for row in adjustments:
        before = float(row.equity_before_quote)
        if base <= 0 or before <= 0:
            return None
        product *= before / base
        base = before + float(row.value_quote)
    return product * float(equity_quote) / base - 1 if base > 0 else None


def venue_now() -> datetime:
    """Return the time by which locks end: the last event's of the current run, else ours."""
    run = run_current()
    return timezone.now() if run is None or run.last_event_at is None else run.last_event_at


def lock_list(*, symbol: str | None = None, standing: bool = False) -> QuerySet[EntryLock]:
    """Return locks, newest first; ``standing`` only those that keep entries out now."""
    rows = lock_standing(venue_now()) if standing else EntryLock.objects.all()
    if symbol is not None:
        rows = rows.filter(symbol=symbol)
    return rows.order_by("-id")


def lock_get(lock_id: int) -> EntryLock | None:
    return EntryLock.objects.filter(pk=lock_id).first()
