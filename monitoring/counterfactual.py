"""The run beside its counterfactual book: the same bars, as if the optimization layer were off.

The book begins as a copy of the run's account whenever the layer is switched on (D-60); what is
compared is the stretch since it last began.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from django.conf import settings
from django.db.models import F, QuerySet, Window
from django.db.models.functions import Mod, RowNumber

from engine.client_ids import client_order_id
from engine.side_books import COUNTERFACTUAL
from engine.types.ledger import Trade as ClosedTrade
from monitoring.charts import as_ms, datetime_of
from research.core.comparison import MIN_TRADES, N_RESAMPLES
from research.core.comparison_journal import Entry, SignalKey
from research.core.counterfactual import BookSide, Effect, Judgement, KeptOut, judge
from trades.models import (
    Decision,
    EquityPoint,
    Order,
    SessionState,
    SideEquityPoint,
    SideTrade,
    Trade,
    TradingRun,
)
from trades.payloads import unpack_decision
from trades.records import trade_value

POINTS_SHOWN = 600
# The newest are looked at; more would make the page wait.
TRADES_SEEN = 20_000
# An entry fills at one of the next events after the bar it was decided on.
BARS_TO_FILL = 6
# The same rows give the same intervals.
SEED = 20_260_101

NEVER = (
    "No comparison yet: a second book trades the same bars as if the layer were off, and it begins "
    "when the layer is switched on"
)
TOO_YOUNG = "The book without the layer has just begun: the next bars give its curve"


def counterfactual_view(run: TradingRun | None) -> dict[str, Any]:
    """Return curve, figures, and what filtering and sizing did since the book began, as JSON.

    Without anything to compare ``empty`` says why and nothing else is given.
    """
    if run is None:
        return {"empty": "No run trades now: nothing to compare."}
    since = book_began(run)
    if since is None:
        return {"empty": f"{NEVER}."}
    off, on = _sides(run, since)
    found = judge(off, on, np.random.default_rng(SEED))
    if found is None:
        return {"empty": f"{TOO_YOUNG}."}
    return {
        "empty": "",
        "run": str(run.code),
        "quote": run.quote,
        "since_ms": as_ms(since),
        "until_ms": off.equity_ms[-1],
        "trades": {"off": len(off.closed), "on": len(on.closed), "needed": MIN_TRADES},
        "resamples": N_RESAMPLES,
        "curve": {
            "ts_ms": list(off.equity_ms),
            "off": list(off.equity_quote),
            "on": list(on.equity_quote),
        },
        **_judged(found),
    }


def book_began(run: TradingRun) -> datetime | None:
    """Return when the run's counterfactual book last began; None where it never did."""
    stored = SessionState.objects.filter(run=run).values_list("payload", flat=True).first()
    books = stored.get("side_books", {}) if isinstance(stored, dict) else {}
    open_book = books.get(COUNTERFACTUAL) if isinstance(books, dict) else None
    since_ms = open_book.get("since_ms") if isinstance(open_book, dict) else None
    if isinstance(since_ms, int):
        return datetime_of(since_ms)
    return _last_stretch(run)


def _last_stretch(run: TradingRun) -> datetime | None:
    """Return the first moment after the last gap in which the run went on and the book did not."""
    times = list(_points(run).order_by("at").values_list("at", flat=True))
    if not times:
        return None
    bar = timedelta(milliseconds=run.timeframe_ms)
    for before, after in reversed(list(pairwise(times))):
        if after - before <= 2 * bar:
            continue
        between = EquityPoint.objects.filter(run=run, at__gt=before + bar, at__lt=after - bar)
        if between.exists():
            return after
    return times[0]


def _points(run: TradingRun) -> QuerySet[SideEquityPoint]:
    return SideEquityPoint.objects.filter(run=run, book=COUNTERFACTUAL)


# -- the two sides ---------------------------------------------------------------------------------


def _sides(run: TradingRun, since: datetime) -> tuple[BookSide, BookSide]:
    times, off_equity, on_equity = _equity(run, since)
    off_closed = _closed(SideTrade.objects.filter(run=run, book=COUNTERFACTUAL), since)
    on_closed = _closed(Trade.objects.filter(run=run), since)
    on_entries = _entries(run, {t.entry_order_id for t in (*off_closed, *on_closed)})
    refused, kept_out = _refused(run, off_closed, on_entries)
    off_entries = {
        **{entry: Entry(found.signal, found.regime, 1.0) for entry, found in on_entries.items()},
        **kept_out,
    }
    ordered = {trade.entry_order_id for trade in off_closed}
    off_entries = {entry: found for entry, found in off_entries.items() if entry in ordered}
    return (
        BookSide(times, off_equity, off_entries, {}, off_closed),
        BookSide(times, on_equity, on_entries, refused, on_closed),
    )


def _equity(run: TradingRun, since: datetime) -> tuple[list[int], list[float], list[float]]:
    """Return evenly thinned moments that both books have, with the equity of each."""
    rows = _points(run).filter(at__gte=since)
    stride = -(-rows.count() // POINTS_SHOWN)
    if stride > 1:
        newest_first = Window(RowNumber(), order_by=F("at").desc())
        rows = rows.annotate(place=newest_first).annotate(turn=Mod(F("place"), stride))
        rows = rows.filter(turn=1)
    off = dict(rows.values_list("at", "equity_quote"))
    own = EquityPoint.objects.filter(run=run, at__in=list(off))
    on = dict(own.values_list("at", "equity_quote"))
    times = sorted(on)
    return (
        [as_ms(at) or 0 for at in times],
        [float(off[at]) for at in times],
        [float(on[at]) for at in times],
    )


def _closed(rows: QuerySet[Any], since: datetime) -> list[ClosedTrade]:
    newest = rows.filter(closed_at__gte=since).order_by("-closed_at", "-id")[:TRADES_SEEN]
    return [trade_value(row) for row in reversed(newest)]


def _entries(run: TradingRun, order_ids: set[str]) -> dict[str, Entry]:
    """Return the run's own entries among these orders, with the multiplier that sized each."""
    entries: dict[str, Entry] = {}
    rows = Order.objects.filter(run=run, decision__isnull=False).select_related("decision")
    for ids in _chunks(sorted(order_ids)):
        for order in rows.filter(client_order_id__in=ids):
            decision = order.decision
            signal = (order.strategy, order.symbol, as_ms(decision.bar_close_at) or 0)
            sizing = unpack_decision(decision.payload, {}).get("sizing") or {}
            multiplier = float(sizing.get("multiplier_applied", 1.0))
            entries[order.client_order_id] = Entry(signal, order.regime, multiplier)
    return entries


def _refused(
    run: TradingRun, closed: Sequence[ClosedTrade], own: dict[str, Entry]
) -> tuple[dict[SignalKey, str], dict[str, Entry]]:
    """Return why the run refused what the book entered alone, and those entries of the book.

    The book's orders are named as the run's would have been: the name gives the bar back.
    """
    signals = {}
    for trade in closed:
        if trade.entry_order_id not in own and trade.entry_order_id not in signals:
            signal = _signal_of(run, trade)
            if signal is not None:
                signals[trade.entry_order_id] = (signal, trade.entry_regime)
    reasons: dict[SignalKey, str] = {}
    rows = Decision.objects.filter(run=run, action="HOLD")
    for times in _chunks(sorted({signal[2] for signal, _ in signals.values()})):
        found = rows.filter(bar_close_at__in=[datetime_of(at_ms) for at_ms in times])
        for strategy, symbol, at, code in found.values_list(
            "strategy", "symbol", "bar_close_at", "reason_code"
        ):
            reasons[strategy, symbol, as_ms(at) or 0] = code
    wanted = {signal for signal, _ in signals.values()}
    entries = {entry: Entry(signal, regime, 1.0) for entry, (signal, regime) in signals.items()}
    return {signal: code for signal, code in reasons.items() if signal in wanted}, entries


def _signal_of(run: TradingRun, trade: ClosedTrade) -> SignalKey | None:
    """Return the strategy, symbol and bar close that this trade's entry order was named after."""
    last = trade.opened_at_ms // run.timeframe_ms * run.timeframe_ms
    for bars in range(BARS_TO_FILL):
        at_ms = last - bars * run.timeframe_ms
        name = client_order_id(
            settings.INSTALLATION_ID,
            run.account,
            str(run.code),
            trade.strategy,
            trade.symbol,
            at_ms,
            0,
        )
        if name == trade.entry_order_id:
            return trade.strategy, trade.symbol, at_ms
    return None


def _chunks(values: Sequence[Any], size: int = 500) -> Iterable[Sequence[Any]]:
    return (values[i : i + size] for i in range(0, len(values), size))


# -- as JSON ---------------------------------------------------------------------------------------


def _judged(found: Judgement) -> dict[str, Any]:
    return {
        "shortfall": found.shortfall,
        "figures": {name: asdict(row) for name, row in found.differences.items()},
        "filtering": [{"reason_code": code, **_kept(row)} for code, row in found.filtering.items()],
        "filtered": _kept(found.filtered),
        "sizing": {
            "entries": found.sizing.entries,
            "mean_multiplier": found.sizing.mean_multiplier,
            **_effect(found.sizing.effect),
        },
    }


def _kept(row: KeptOut) -> dict[str, Any]:
    return {**asdict(row.figures), **_effect(row.effect)}


def _effect(effect: Effect) -> dict[str, Any]:
    return {
        "earned_quote": effect.quote.value,
        "low": effect.quote.low,
        "high": effect.quote.high,
        "verdict": effect.verdict,
    }
