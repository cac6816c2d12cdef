"""Invariants of fills, positions, cash and the candles decisions rest on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

from django.db.models import F, Q

from engine.ledger_state import DUST
from market.models import Candle, Instrument
from trades import models
from trades.invariants.breach import Breach

ZERO = Decimal(0)


def no_fill_is_also_external() -> Iterator[Breach]:
    """Unless a person had it booked as closing lots: its row then says so."""
    apart = models.ExternalFill.objects.filter(closed_lots=False)
    external = set(apart.values_list("run_id", "symbol", "trade_id"))
    for key in models.Fill.objects.values_list("run_id", "symbol", "trade_id").iterator():
        if key in external:
            yield Breach("I-3", f"trade {key[2]} in {key[1]} is booked as ours and as external")


def positions_are_the_sum_of_fills() -> Iterator[Breach]:
    """Open lots of (run, strategy, symbol) = signed fills less fees in the base and swept dust."""
    owed: defaultdict[tuple[int, str, str], Decimal] = defaultdict(Decimal)
    for fill in models.Fill.objects.iterator():
        owed[fill.run_id, fill.strategy, fill.symbol] += _signed(fill.side, fill.quantity_base)
        if fill.fee_asset == fill.symbol.partition("/")[0]:
            owed[fill.run_id, fill.strategy, fill.symbol] -= fill.fee
    for trade in models.Trade.objects.filter(exit_reason=DUST):
        owed[trade.run_id, trade.strategy, trade.symbol] -= _signed(trade.side, trade.quantity_base)
    held: defaultdict[tuple[int, str, str], Decimal] = defaultdict(Decimal)
    for lot in models.Lot.objects.filter(is_open=True):
        held[lot.run_id, lot.strategy, lot.symbol] += _signed(lot.side, lot.quantity_base)
    for key in sorted(owed.keys() | held.keys()):
        if owed[key] != held[key]:
            run_id, strategy, symbol = key
            yield Breach(
                "I-5",
                f"run {run_id}: {strategy} holds {held[key]} {symbol}, its fills say {owed[key]}",
            )


def cash_is_the_sum_of_flows() -> Iterator[Breach]:
    """Cash of the newest equity point = starting cash, what came and went without a trade, and
    every fill's payment and quote fee.

    Only for runs whose fees are in quote or base: another asset's value at the time is not a row.
    """
    for run in models.TradingRun.objects.all():
        point = run.equity_points.order_by("-at").first()
        if point is None:
            continue
        cash, assets = run.starting_cash_quote, set()
        for fill in models.Fill.objects.filter(run=run).iterator():
            cash -= _signed(fill.side, fill.quantity_base) * fill.price
            cash -= fill.fee if fill.fee_asset == run.quote else ZERO
            assets.add(fill.fee_asset)
        moved = run.adjustments.filter(asset=run.quote).values_list("amount", flat=True)
        cash += sum(moved, ZERO)
        if point.cash_quote != cash:
            yield Breach(
                "I-6", f"run {run.pk} has cash {point.cash_quote}, its flows say {cash} {run.quote}"
            )


def decisions_cite_closed_candles() -> Iterator[Breach]:
    """The bar a decision was made on is stored, under the decision's close."""
    for run in models.TradingRun.objects.exclude(mode=models.Mode.REPLAY):
        length = timedelta(milliseconds=run.timeframe_ms)
        closes: defaultdict[str, set[object]] = defaultdict(set)
        stored = Candle.objects.filter(
            instrument__venue=run.venue, timeframe_ms=run.timeframe_ms
        ).values_list("instrument__symbol", "opened_at")
        for symbol, opened_at in stored.iterator():
            closes[symbol].add(opened_at + length)
        decisions = models.Decision.objects.filter(run=run).values_list(
            "pk", "symbol", "bar_close_at"
        )
        for pk, symbol, bar_close_at in decisions.iterator():
            if bar_close_at not in closes[symbol]:
                yield Breach("I-15", f"decision {pk} cites {symbol} {bar_close_at}: no such candle")


def candles_are_finite() -> Iterator[Breach]:
    """NaN is NULL on SQLite and passes a CHECK; infinity passes every comparison."""
    top = 1e300
    bad = Candle.objects.filter(
        Q(high__gt=top)
        | Q(volume__gt=top)
        | Q(low__gt=F("high"))
        | Q(open__isnull=True)
        | Q(close__isnull=True)
    )
    for candle in bad:
        instrument = Instrument.objects.get(pk=candle.instrument_id)
        yield Breach("I-15", f"candle {instrument.symbol} {candle.opened_at} is not finite")


def _signed(side: str, quantity: Decimal) -> Decimal:
    return quantity if side == "BUY" else -quantity
