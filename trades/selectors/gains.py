"""Realised gains of an account by year, from every fill of its runs (D-59)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from accounts.exports import csv_cell
from engine.types.ledger import ZERO
from engine.types.opinions import Side
from trades.core.gains import Disposal, Movement, disposals, in_year
from trades.models import ExternalFill, Fill, LedgerAdjustment, Mode, RequestKind, TradingRun
from trades.records import milliseconds, moment

COLUMNS = (
    "symbol",
    "quantity_base",
    "acquired_at",
    "disposed_at",
    "holding_days",
    "proceeds_quote",
    "cost_quote",
    "fees_quote",
    "gain_quote",
    "quote",
    "unvalued_fee",
)


def gain_list(*, run: TradingRun | None, year: int) -> list[Disposal]:
    """Return the disposals of a UTC year on the run's account, over all its runs of that mode."""
    if run is None:
        return []
    return in_year(disposals(_movements(run)), year)


def gain_rows(found: Iterable[Disposal]) -> list[dict[str, Any]]:
    """Return disposals as they are shown: times in UTC, money as exact decimals or None."""
    return [
        {
            "symbol": d.symbol,
            "quantity_base": d.quantity_base,
            "acquired_at": None if d.acquired_at_ms is None else moment(d.acquired_at_ms),
            "disposed_at": moment(d.disposed_at_ms),
            "holding_days": d.holding_days,
            "proceeds_quote": d.proceeds_quote,
            "cost_quote": d.cost_quote,
            "fees_quote": d.fees_quote,
            "gain_quote": d.gain_quote,
            "quote": _quote(d.symbol),
            "unvalued_fee": d.other_fee,
        }
        for d in found
    ]


def gain_totals(found: Sequence[Disposal]) -> list[dict[str, Any]]:
    """Return the year's sums by quote asset; ``unknown`` counts disposals of unknown cost, which
    are in no gain."""
    by_quote: dict[str, list[Disposal]] = {}
    for disposal in found:
        by_quote.setdefault(_quote(disposal.symbol), []).append(disposal)
    return [{"quote": quote, **_sums(by_quote[quote])} for quote in sorted(by_quote)]


def _sums(found: Sequence[Disposal]) -> dict[str, Any]:
    known = [d for d in found if d.gain_quote is not None]
    return {
        "disposals": len(found),
        "unknown": len(found) - len(known),
        "proceeds_quote": sum((d.proceeds_quote for d in found), ZERO),
        "cost_quote": sum((d.cost_quote or ZERO for d in known), ZERO),
        "fees_quote": sum((d.fees_quote for d in found), ZERO),
        "gain_quote": sum((d.gain_quote or ZERO for d in known), ZERO),
    }


def _quote(symbol: str) -> str:
    return symbol.partition("/")[2].partition(":")[0]


def gain_csv(found: Iterable[Disposal]) -> str:
    """Return the disposals as CSV with a header; an empty cell is not known."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in gain_rows(found):
        writer.writerow([_cell(row[name]) for name in COLUMNS])
    return out.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return format(value.normalize() + ZERO, "f")
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return csv_cell(text)


def _movements(run: TradingRun) -> list[Movement]:
    """Every change of coins on the account, oldest first. A trade made by hand counts once: as the
    fill it was booked as, else as itself."""
    runs = TradingRun.objects.filter(venue=run.venue, account=run.account, mode=run.mode)
    if run.mode == Mode.REPLAY:
        runs = runs.filter(pk=run.pk)
    moved = _opening(runs.order_by("started_at", "pk").first())
    executed = (
        Fill.objects.filter(run__in=runs),
        ExternalFill.objects.filter(run__in=runs, closed_lots=False),
    )
    for rows in executed:
        moved.extend(_movement(row) for row in rows.order_by("executed_at", "pk"))
    declared = LedgerAdjustment.objects.filter(run__in=runs, request__kind=RequestKind.ADJUST)
    moved.extend(
        _unpriced(f"{row.asset}/{row.run.quote}", row.amount, milliseconds(row.at))
        for row in declared.select_related("run")
        if row.asset != row.run.quote
    )
    return sorted(moved, key=lambda movement: movement.ts_ms)


def _opening(first: TradingRun | None) -> list[Movement]:
    """What was there before the first run is older than everything."""
    if first is None:
        return []
    return [
        _unpriced(symbol, Decimal(held), 0)
        for symbol in first.symbols
        if (held := str(first.opening_balances.get(symbol.partition("/")[0], "0")))
        and Decimal(held) > 0
    ]


def _movement(row: Fill | ExternalFill) -> Movement:
    in_quote = row.fee_asset == _quote(row.symbol)
    in_base = row.fee_asset == row.symbol.partition("/")[0]
    return Movement(
        symbol=row.symbol,
        side=Side(row.side),
        quantity_base=row.quantity_base,
        price=row.price,
        fee_quote=row.fee if in_quote else ZERO,
        fee_base=row.fee if in_base else ZERO,
        ts_ms=milliseconds(row.executed_at),
        other_fee="" if in_quote or in_base or not row.fee else f"{row.fee} {row.fee_asset}",
    )


def _unpriced(symbol: str, amount: Decimal, ts_ms: int) -> Movement:
    side = Side.BUY if amount > 0 else Side.SELL
    return Movement(symbol, side, abs(amount), None, ZERO, ZERO, ts_ms)
