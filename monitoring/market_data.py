"""A stretch of one symbol's market with what we did in it: candles, features, fills, decisions.

Never more than BARS_SHOWN bars at once: a longer stretch comes with bars joined by the server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db.models import Q, QuerySet

from engine.features import FEATURE_NAMES, FEATURES, feature_rows
from engine.types.bars import BarColumns, ColumnStore
from engine.types.decisions import Action
from engine.types.orders import Cause, Purpose
from market.selectors import candle_columns, candle_span
from monitoring.charts import as_float, as_ms, datetime_of
from trades.models import Decision, Fill, Lot, Order, Trade, TradingRun

BARS_SHOWN = 2_000
BARS_AT_FIRST = 300
MARKS_SHOWN = 400
FEATURES_SHOWN = 3
# the longest recursive span of the features is forgotten ten times over
WARM_UP_BARS = 600

ZOOM_IN = "Features are of single bars: zoom in until one candle is one bar."


class BadWindow(ValueError):
    """What was asked for is no stretch of a market; the message says what is allowed."""


def feature_choices() -> list[tuple[str, list[str]]]:
    """Return the names of all features by category, in the order of the feature row."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, category in FEATURES:
        found[category].append(name)
    return list(found.items())


def features_asked(text: str) -> list[str]:
    """Return the features an address names.

    Raises:
        BadWindow: a name is unknown, or there are too many.
    """
    names = list(dict.fromkeys(name for name in text.split(",") if name))
    unknown = [name for name in names if name not in FEATURE_NAMES]
    if unknown:
        raise BadWindow(f"feature was {unknown[0][:60]!r}, allowed: one of {len(FEATURE_NAMES)}")
    if len(names) > FEATURES_SHOWN:
        raise BadWindow(f"{len(names)} features were asked for, allowed: {FEATURES_SHOWN}")
    return names


def market_view(
    run: TradingRun,
    symbol: str,
    *,
    since_ms: int | None = None,
    until_ms: int | None = None,
    features: Sequence[str] = (),
) -> dict[str, Any]:
    """Return a stretch of the market as JSON; without a period, the newest bars of all.

    Raises:
        BadWindow: the period is none.
    """
    of = {"venue": run.venue, "symbol": symbol, "timeframe_ms": run.timeframe_ms}
    span = candle_span(**of)
    head = {"symbol": symbol, "run": str(run.code), "timeframe_ms": run.timeframe_ms}
    if span is None:
        return {**head, "span": None, "bars": _bars(None), "empty": "No candle is stored yet."}
    since, until = _period(run, span, since_ms, until_ms)
    bars = candle_columns(**of, since=since, until=until, max_bars=BARS_SHOWN)
    is_plain = bars.timeframe_ms == run.timeframe_ms
    trades = _trades(run, symbol, since, until)
    lots = _lots(run, symbol, until)
    return {
        **head,
        "empty": "",
        "span": [as_ms(span[0]), as_ms(span[1])],
        "since_ms": as_ms(since),
        "until_ms": as_ms(until),
        "bars": _bars(bars),
        "features": _features(run, symbol, bars, features) if is_plain else {},
        "features_note": "" if is_plain or not features else ZOOM_IN,
        "fills": _fills(run, symbol, since, until),
        "trades": trades,
        "stops": _stops(run, symbol, trades, lots),
        "decisions": _decisions(run, symbol, since, until),
    }


def _period(
    run: TradingRun,
    span: tuple[datetime, datetime],
    since_ms: int | None,
    until_ms: int | None,
) -> tuple[datetime, datetime]:
    bar = timedelta(milliseconds=run.timeframe_ms)
    end = span[1] + bar
    until = end if until_ms is None else min(datetime_of(until_ms), end)
    since = until - BARS_AT_FIRST * bar if since_ms is None else datetime_of(since_ms)
    since = max(since, span[0])
    if since >= until:
        raise BadWindow(
            f"the period began {since:%Y-%m-%d %H:%M} and ended {until:%Y-%m-%d %H:%M}, allowed: "
            f"within {span[0]:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"
        )
    return since, until


def _bars(bars: BarColumns | None) -> dict[str, Any]:
    names = ("ts_ms", "open", "high", "low", "close", "volume")
    if bars is None:
        return {**{name: [] for name in names}, "timeframe_ms": None}
    return {
        **{name: getattr(bars, name).tolist() for name in names},
        "timeframe_ms": bars.timeframe_ms,
    }


def _features(
    run: TradingRun, symbol: str, bars: BarColumns, names: Sequence[str]
) -> dict[str, list[float | None]]:
    """Return columns of features as the trading session computes them; None until warm."""
    if not names or not len(bars):
        return {}
    first, last = datetime_of(int(bars.ts_ms[0])), datetime_of(int(bars.ts_ms[-1]) + 1)
    others = [other for other in run.symbols if other != symbol]
    whole = _warm(run, symbol, first, last)
    reference = _warm(run, others[0], first, last) if others else None
    rows = len(whole)
    shown = feature_rows(ColumnStore(whole, reference), rows - len(bars), rows)
    values = np.where(shown.ready[:, None], shown.matrix, np.nan)
    return {
        name: [as_float(value) for value in values[:, FEATURE_NAMES.index(name)]] for name in names
    }


def _warm(run: TradingRun, symbol: str, first: datetime, last: datetime) -> BarColumns:
    """Return a symbol's bars of the stretch with those before it that warm the columns up."""
    return candle_columns(
        venue=run.venue,
        symbol=symbol,
        timeframe_ms=run.timeframe_ms,
        since=first - WARM_UP_BARS * timedelta(milliseconds=run.timeframe_ms),
        until=last,
        max_bars=BARS_SHOWN + WARM_UP_BARS,
    )


# -- what we did -----------------------------------------------------------------------------------


def _newest(rows: QuerySet[Any]) -> tuple[list[Any], int]:
    """Return the newest MARKS_SHOWN rows, oldest first, and how many there are."""
    found = list(rows[:MARKS_SHOWN])
    count = rows.count() if len(found) == MARKS_SHOWN else len(found)
    return found[::-1], count


def _fills(run: TradingRun, symbol: str, since: datetime, until: datetime) -> list[dict[str, Any]]:
    rows = Fill.objects.filter(run=run, symbol=symbol, executed_at__range=(since, until))
    found, _ = _newest(rows.select_related("order__decision").order_by("-executed_at", "-id"))
    return [
        {
            "ts_ms": as_ms(row.executed_at),
            "side": row.side,
            "purpose": row.order.purpose,
            "strategy": row.strategy,
            "price": as_float(row.price),
            "quantity": as_float(row.quantity_base),
            "decision": str(row.order.decision.code) if row.order.decision else "",
        }
        for row in found
    ]


def _trades(run: TradingRun, symbol: str, since: datetime, until: datetime) -> list[dict[str, Any]]:
    rows = Trade.objects.filter(run=run, symbol=symbol, closed_at__gte=since, opened_at__lt=until)
    found, _ = _newest(rows.order_by("-closed_at", "-id"))
    return [
        {
            "strategy": row.strategy,
            "entry_order_id": row.entry_order_id,
            "opened_ms": as_ms(row.opened_at),
            "closed_ms": as_ms(row.closed_at),
            "entry_price": as_float(row.entry_price),
            "exit_price": as_float(row.exit_price),
            "pnl_quote": as_float(row.pnl_quote),
            "r_multiple": as_float(row.r_multiple),
            "exit_reason": row.exit_reason,
        }
        for row in found
    ]


def _lots(run: TradingRun, symbol: str, until: datetime) -> list[Lot]:
    rows = Lot.objects.filter(run=run, symbol=symbol, is_open=True, opened_at__lt=until)
    return list(rows.order_by("opened_at")[:MARKS_SHOWN])


def _stops(
    run: TradingRun, symbol: str, trades: Sequence[dict[str, Any]], lots: Iterable[Lot]
) -> list[dict[str, Any]]:
    """Return the stop of each position as steps over its life: that of the entry, then each one
    that was placed at the venue. ``closed_ms`` is None while the position is held."""
    held: dict[str, tuple[str, int, int | None]] = {
        row["entry_order_id"]: (row["strategy"], row["opened_ms"], row["closed_ms"])
        for row in trades
    }
    for lot in lots:
        held[lot.entry_order_id] = (lot.strategy, as_ms(lot.opened_at) or 0, None)
    if not held:
        return []
    placed = _placed(run, symbol, min(opened for _, opened, _ in held.values()))
    first = _first_stops(run, list(held))
    first.update({lot.entry_order_id: lot.stop_price for lot in lots if lot.stop_price is not None})
    lines = []
    for order_id, (strategy, opened, closed) in held.items():
        steps = [(opened, as_float(first[order_id]))] if order_id in first else []
        steps += [
            (at, price)
            for at, price in placed[strategy]
            if at > opened and (closed is None or at < closed)
        ]
        if steps:
            lines.append({"strategy": strategy, "closed_ms": closed, "steps": steps})
    return lines


def _first_stops(run: TradingRun, order_ids: list[str]) -> dict[str, Any]:
    found = {}
    for first in range(0, len(order_ids), 500):
        rows = Order.objects.filter(
            run=run,
            client_order_id__in=order_ids[first : first + 500],
            purpose=Purpose.ENTRY,
            stop_price__isnull=False,
        )
        found.update(dict(rows.values_list("client_order_id", "stop_price")))
    return found


def _placed(run: TradingRun, symbol: str, since_ms: int) -> dict[str, list[tuple[int, Any]]]:
    rows = Order.objects.filter(
        run=run,
        symbol=symbol,
        cause=Cause.PROTECTION,
        decided_at__gte=datetime_of(since_ms),
        stop_price__isnull=False,
    )
    found: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    for strategy, at, price in rows.order_by("decided_at", "id").values_list(
        "strategy", "decided_at", "stop_price"
    ):
        found[strategy].append((as_ms(at) or 0, as_float(price)))
    return found


def _decisions(run: TradingRun, symbol: str, since: datetime, until: datetime) -> dict[str, Any]:
    """Return what was acted on, and the proposals that were stopped, each with its code."""
    rows = Decision.objects.filter(run=run, symbol=symbol, bar_close_at__range=(since, until))
    rows = rows.order_by("-bar_close_at", "-id").defer("payload")
    is_stopped = Q(action=Action.HOLD.value, blocking_phase__isnull=False)
    acted, n_acted = _newest(rows.exclude(action=Action.HOLD.value))
    stopped, n_stopped = _newest(rows.filter(is_stopped))
    return {
        "acted": [_decision(row) for row in acted],
        "acted_n": n_acted,
        "stopped": [_decision(row) for row in stopped],
        "stopped_n": n_stopped,
    }


def _decision(row: Decision) -> dict[str, Any]:
    return {
        "id": str(row.code),
        "ts_ms": as_ms(row.bar_close_at),
        "action": row.action,
        "strategy": row.strategy,
        "price": as_float(row.price),
        "reason_code": row.reason_code,
        "reason": row.reason,
    }
