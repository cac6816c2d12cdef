"""The books of a run rebuilt from its rows: what every start begins with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from django.db.models import Max

from engine.equity import DAY_MS, EquityCurveState
from engine.ledger import Ledger
from engine.ledger_state import DUST
from engine.trading_book import Resumed
from engine.types.bars import Instrument
from engine.types.ledger import Lot
from engine.types.orders import Cause, Purpose
from trades import models, records


def restore_ledger(run: models.TradingRun, instruments: Iterable[Instrument]) -> Ledger:
    """Rebuild the books of a run by applying its fills and adjustments in the order they were
    booked.

    Lots, balances and trades follow from them, and from the closed trades that tell of swept
    dust; stop and target of an open lot are those of its row, because a person may have moved
    them. Peak and day of the equity curve come from the last stored point.
    """
    shortable = [i.symbol for i in instruments if i.shortable]
    ledger = Ledger(run.quote, {run.quote: run.starting_cash_quote}, shortable=shortable)
    adjusted = list(run.adjustments.order_by("pk"))
    fills = models.Fill.objects.filter(run=run).select_related("order").order_by("pk")
    swept = _swept(run)
    for row in fills.iterator(chunk_size=2000):
        while adjusted and adjusted[0].after_fill_id < row.pk:
            _adjust(ledger, adjusted.pop(0))
        key, is_entry = (row.strategy, row.symbol), row.order.purpose == Purpose.ENTRY
        _sweep_again(ledger, swept, key, row.executed_at, is_entry=is_entry)
        ledger.apply_fill(
            records.fill_value(row), records.order_intent(row.order), row.order.regime
        )
    for adjustment in adjusted:
        _adjust(ledger, adjustment)
    for key in swept:
        _sweep_again(ledger, swept, key, None)
    state = replace(ledger.state(), lots=_with_exits(run, ledger.lots))
    last = models.EquityPoint.objects.filter(run=run).order_by("-at").first()
    if last is not None:
        curve = EquityCurveState(
            peak_equity_quote=last.peak_equity_quote,
            last_equity_quote=last.equity_quote,
            day=records.milliseconds(last.at) // DAY_MS,
            day_start_equity_quote=last.equity_quote - last.day_pnl_quote,
        )
        state = replace(state, curve=curve)
    return Ledger.restore(state, shortable=shortable)


def _adjust(ledger: Ledger, row: models.LedgerAdjustment) -> None:
    """Book it at the price it was valued at, so that it is worth what it was worth then."""
    if row.asset != ledger.quote and row.price_quote:
        ledger.mark_asset(row.asset, row.price_quote)
    ledger.adjust(row.asset, row.amount)


def _with_exits(run: models.TradingRun, lots: Iterable[Lot]) -> tuple[Lot, ...]:
    rows = models.Lot.objects.filter(run=run, is_open=True)
    exits = {r.lot_id: (r.stop_price, r.target_price) for r in rows}
    return tuple(
        replace(lot, stop_price=exits[lot.lot_id][0], target_price=exits[lot.lot_id][1])
        if lot.lot_id in exits
        else lot
        for lot in lots
    )


_Swept = dict[tuple[str, str], list[models.Trade]]


def _swept(run: models.TradingRun) -> _Swept:
    """Return the trades by which dust left the books, by strategy and symbol, oldest first."""
    found: _Swept = {}
    for row in models.Trade.objects.filter(run=run, exit_reason=DUST).order_by("closed_at", "pk"):
        found.setdefault((row.strategy, row.symbol), []).append(row)
    return found


def _sweep_again(
    ledger: Ledger,
    swept: _Swept,
    key: tuple[str, str],
    before: datetime | None,
    *,
    is_entry: bool = True,
) -> None:
    """Sweep what was swept before the next fill of that position; all that is left for None.

    At one moment an exit leaves the dust, which is swept, and only then somebody enters anew.
    """
    rows = swept.get(key, [])
    while rows:
        at = rows[0].closed_at
        if before is not None and (at > before or (at == before and not is_entry)):
            return
        row = rows.pop(0)
        ledger.mark(row.symbol, row.exit_price)
        ledger.sweep_dust(*key, records.milliseconds(row.closed_at), row.exit_regime)


def resumed(run: models.TradingRun) -> Resumed:
    """Return what a book has to know beside its ledger after a restart."""
    last = models.EquityPoint.objects.filter(run=run).order_by("-at").first()
    remainders: dict[tuple[str, str], int] = {}
    held = models.Lot.objects.filter(run=run, is_open=True).values_list("strategy", "symbol")
    for strategy, symbol in held.distinct().order_by("strategy", "symbol"):
        fills = models.Fill.objects.filter(run=run, strategy=strategy, symbol=symbol)
        newest = fills.select_related("order").order_by("-pk").first()
        if newest is not None and newest.order.purpose == Purpose.EXIT:
            remainders[strategy, symbol] = records.milliseconds(newest.executed_at)
    return Resumed(remainders, -1 if last is None else records.milliseconds(last.at))


def newest_stops(run: models.TradingRun) -> dict[tuple[str, str], tuple[int, int]]:
    """Return time and leg of the newest protective stop by (strategy, symbol): after a restart the
    next one must not take its name."""
    own = models.Order.objects.filter(run=run, cause=Cause.PROTECTION)
    newest = own.values("strategy", "symbol").annotate(newest=Max("pk")).values("newest")
    rows = models.Order.objects.filter(pk__in=newest)
    return {(o.strategy, o.symbol): (records.milliseconds(o.decided_at), o.leg) for o in rows}
