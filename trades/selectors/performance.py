"""How the account of a run did: figures, drawdowns, months, distributions, tables by key.

Deposits and withdrawals are kept out (D-59). Estimates are floats; money that was added up exactly
is converted once, at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
from django.db.models import F, FloatField, Max, Min, Q, QuerySet, Sum, Window
from django.db.models.functions import Cast, RowNumber

from engine.ledger_state import DUST
from engine.performance import TradeStatistics, TradeStats
from engine.types.ledger import Trade as ClosedTrade
from market.models import Candle
from trades.core import performance as core
from trades.core.performance import LEAST_TRADES, Column, Figure, Times
from trades.models import EquityPoint, Fill, Lot, Trade, TradingRun
from trades.records import milliseconds, moment, trade_value
from trades.selectors.ledger import trade_list

# More would make the page wait; the document says where it looked at less than there is.
POINTS_READ = 50_000
TRADES_READ = 20_000
POINTS_DRAWN = 600
_LOOKED_UP = 500

NO_RUN = "No trading run yet: performance begins with the first one."
NO_EQUITY = "No equity yet: the first closed bar brings the first point."
CURRENCIES = frozenset({"pnl", "fees", "expectancy_quote", "equity"})


@dataclass(frozen=True, slots=True)
class Quote:
    """The currency totals are told in; ``rate`` is the price of one of it in the run's quote."""

    code: str
    rate: float
    at_ms: int | None


@dataclass(frozen=True, slots=True)
class _Curve:
    ts_ms: Times
    equity: Column
    exposure: Column
    stored: int


def performance_document(*, run: TradingRun | None, quote: str = "") -> dict[str, Any]:
    """Return everything the performance page shows, as JSON; ``empty`` says why there is nothing.

    ``quote`` names the currency of totals: the run's own, or an asset that it trades against it.

    Raises:
        ValueError: the currency is neither; says which are.
    """
    if run is None:
        return {"empty": NO_RUN}
    told = _quote(run, quote)
    curve = _curve(run)
    head = {
        "run": str(run.code),
        "quote": run.quote,
        "told_in": told.code,
        "rate": told.rate,
        "rate_at_ms": told.at_ms,
        "quotes": quotes_of(run),
        "needed_trades": LEAST_TRADES,
        "needed_days": core.LEAST_DAYS,
    }
    if not curve.ts_ms.size:
        return {**head, "empty": NO_EQUITY}
    try:
        index = core.growth_index(
            curve.ts_ms, curve.equity, _contributions(run), float(run.starting_cash_quote)
        )
    except core.GrowthUndefined as error:
        return {**head, "empty": f"{str(error)[0].upper()}{str(error)[1:]}."}
    trades = _Trades.of(trade_list(run=run))
    months = core.month_returns(curve.ts_ms, index)
    return {
        **head,
        "empty": "",
        "since_ms": int(curve.ts_ms[0]),
        "until_ms": int(curve.ts_ms[-1]),
        "points": {"used": int(curve.ts_ms.size), "stored": curve.stored},
        "trades": {"used": len(trades.closed), "stored": trades.stored, "dust": trades.dust},
        "figures": [asdict(f) for f in _figures(run, curve, index, trades, told)],
        "curve": _drawn(run, curve, index),
        "drawdowns": [asdict(fall) for fall in core.drawdowns(curve.ts_ms, index)],
        "months": [asdict(month) for month in months],
        "years": [
            {"year": year, "return_fraction": value}
            for year, value in core.year_returns(months).items()
        ],
        "distributions": trades.distributions(),
        "groups": {name: trades.table(name, told.rate) for name in GROUPS},
    }


def quotes_of(run: TradingRun) -> list[str]:
    """Return the currencies totals can be told in: the run's quote, then what it trades."""
    bases = [symbol.partition("/")[0] for symbol in run.symbols]
    return list(dict.fromkeys([run.quote, *bases]))


def _quote(run: TradingRun, code: str) -> Quote:
    if code in ("", run.quote):
        return Quote(run.quote, 1.0, None)
    symbol = next((s for s in run.symbols if s.partition("/")[0] == code), None)
    if symbol is None:
        allowed = ", ".join(quotes_of(run))
        raise ValueError(f"quote was {code[:20]!r}, allowed: {allowed}")
    last = _bars(run, symbol).order_by("-opened_at").values_list("close", "opened_at").first()
    if last is None:
        raise ValueError(f"quote was {code}, no candle of {symbol} tells its price")
    return Quote(code, float(last[0]), milliseconds(last[1]) + run.timeframe_ms)


# -- equity ----------------------------------------------------------------------------------------


def _curve(run: TradingRun) -> _Curve:
    rows = EquityPoint.objects.filter(run=run)
    stored = rows.count()
    kept = _kept(rows, stored)
    money = {
        "equity": Cast("equity_quote", FloatField()),
        "exposure": Cast("exposure_quote", FloatField()),
    }
    found = list(kept.annotate(**money).values_list("at", "equity", "exposure"))
    ts_ms = np.array([milliseconds(row[0]) for row in found], dtype=np.int64)
    values = np.array([row[1:] for row in found], dtype=np.float64).reshape(-1, 2)
    return _Curve(ts_ms, values[:, 0], values[:, 1], stored)


def _kept(rows: QuerySet[EquityPoint], stored: int) -> QuerySet[EquityPoint]:
    """Return at most POINTS_READ of ``stored`` points, oldest first: of each stretch the last, the
    lowest and the highest, so that no peak and no trough is thinned away."""
    if stored <= POINTS_READ:
        return rows.order_by("at")
    stretches = max(POINTS_READ // 3, 1)
    # stretches of ids, which rise with time: a window over them needs no window inside it
    ends = rows.aggregate(first=Min("pk"), last=Max("pk"))
    width = -(-(ends["last"] - ends["first"] + 1) // stretches)
    stretch = (F("pk") - ends["first"]) / width
    extremes = {
        name: Window(RowNumber(), partition_by=[stretch], order_by=order)
        for name, order in (
            ("place", [F("at").desc()]),
            ("low", [F("equity_quote").asc(), F("at").asc()]),
            ("high", [F("equity_quote").desc(), F("at").asc()]),
        )
    }
    return rows.annotate(**extremes).filter(Q(place=1) | Q(low=1) | Q(high=1)).order_by("at")


def _contributions(run: TradingRun) -> list[core.Contribution]:
    return [
        core.Contribution(
            milliseconds(row.at), float(row.equity_before_quote), float(row.value_quote)
        )
        for row in run.adjustments.order_by("pk")
    ]


def _drawn(run: TradingRun, curve: _Curve, index: Column) -> dict[str, Any]:
    """Return the columns to draw: growth from 1, the fall from the peak, and holding instead."""
    rows = core.shown_rows(index, POINTS_DRAWN)
    ts_ms = curve.ts_ms[rows]
    held, missing = _held_index(run, ts_ms)
    return {
        "ts_ms": [int(at) for at in ts_ms],
        "equity_quote": [float(value) for value in curve.equity[rows]],
        "growth": [float(value) for value in index[rows]],
        "underwater_fraction": [float(value) for value in core.underwater(index)[rows]],
        "hold_growth": held,
        "hold_symbols": [symbol for symbol in run.symbols if symbol not in missing],
        "hold_missing": missing,
    }


def _held_index(run: TradingRun, ts_ms: Times) -> tuple[list[float], list[str]]:
    """Return the growth of equal parts of the traded symbols, bought at the close of the bar of
    the first point and held without fees; and the symbols whose price then is not known."""
    missing, columns = [], []
    for symbol in run.symbols:
        closes = _closes(run, symbol, ts_ms)
        if np.isnan(closes[:1]).any():
            missing.append(symbol)
        else:
            columns.append(closes / closes[0])
    if not columns:
        return [], missing
    return [float(value) for value in np.mean(columns, axis=0)], missing


def _closes(run: TradingRun, symbol: str, ts_ms: Times) -> Column:
    """Return the close of the bar that was the last at each time; where it is not stored, the one
    before it, for the first time also the open of the bar that begins then; NaN where none is."""
    opened = ts_ms // run.timeframe_ms * run.timeframe_ms - run.timeframe_ms
    wanted = sorted({int(at) for at in opened})
    known: dict[int, float] = {}
    bars = _bars(run, symbol)
    for first in range(0, len(wanted), _LOOKED_UP):
        times = [moment(at) for at in wanted[first : first + _LOOKED_UP]]
        found = bars.filter(opened_at__in=times).values_list("opened_at", "close")
        known.update((milliseconds(at), close) for at, close in found)
    closes = np.array([known.get(int(at), np.nan) for at in opened], dtype=np.float64)
    if closes.size and np.isnan(closes[0]):
        before = bars.filter(opened_at__lte=moment(int(opened[0]))).order_by("-opened_at")
        begins = bars.filter(opened_at=moment(int(opened[0]) + run.timeframe_ms))
        closes[0] = (
            before.values_list("close", flat=True).first()
            or begins.values_list("open", flat=True).first()
            or np.nan
        )
    for row in np.flatnonzero(np.isnan(closes)):
        closes[row] = closes[row - 1] if row else np.nan
    return closes


def _bars(run: TradingRun, symbol: str) -> Any:
    return Candle.objects.filter(
        instrument__venue=run.venue, instrument__symbol=symbol, timeframe_ms=run.timeframe_ms
    )


# -- trades ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Trades:
    """The newest closed trades, oldest first, each with its entry tag."""

    closed: list[ClosedTrade]
    tags: list[str]
    stored: int

    @classmethod
    def of(cls, rows: QuerySet[Trade]) -> _Trades:
        found = list(reversed(rows[:TRADES_READ]))
        stored = rows.count() if len(found) == TRADES_READ else len(found)
        return cls([trade_value(row) for row in found], [row.entry_tag for row in found], stored)

    def statistics(self) -> TradeStatistics:
        stats = TradeStats()
        for trade in self.closed:
            stats.add(trade)
        return stats.statistics()

    @property
    def dust(self) -> int:
        """How many of them were swept out of the books: no figure but the profit counts them."""
        return sum(trade.exit_reason == DUST for trade in self.closed)

    def table(self, name: str, rate: float) -> list[dict[str, Any]]:
        if name == "entry_tag":
            found = core.groups(self.closed, lambda place, _: self.tags[place])
        elif name == "mix_tag":
            found = core.groups(
                self.closed, lambda place, trade: f"{self.tags[place]} > {trade.exit_reason}"
            )
        else:
            field = GROUPS[name]
            found = core.groups(self.closed, lambda _, trade: str(getattr(trade, field)))
        return [group_row(group, rate) for group in found]

    def distributions(self) -> dict[str, Any]:
        told = [trade for trade in self.closed if trade.exit_reason != DUST]
        r = [trade.r_multiple for trade in told if trade.r_multiple is not None]
        quote = [float(trade.pnl_quote) for trade in told]
        return {
            "r": {**asdict(core.histogram(r)), "n": len(r), "left_out": len(quote) - len(r)},
            "quote": {**asdict(core.histogram(quote)), "n": len(quote), "left_out": 0},
        }


# what trades are grouped by, and where a trade has it
GROUPS = {
    "strategy": "strategy",
    "symbol": "symbol",
    "regime": "entry_regime",
    "entry_tag": "",
    "exit_reason": "exit_reason",
    "mix_tag": "",
}


def group_row(group: core.Group, rate: float = 1.0) -> dict[str, Any]:
    """Return one line of a table; what needs LEAST_TRADES trades is None below them."""
    found = group.statistics
    is_enough, is_enough_r = found.count >= LEAST_TRADES, found.count_r >= LEAST_TRADES
    return {
        "key": group.key,
        "trades": found.count,
        "wins": found.wins,
        "pnl": float(found.pnl_quote) / rate,
        "fees": float(found.fees_quote) / rate,
        "win_rate_fraction": found.win_rate if is_enough else None,
        "profit_factor": found.profit_factor if is_enough else None,
        "expectancy": _told(found.expectancy_quote, rate) if is_enough else None,
        "expectancy_r": found.expectancy_r if is_enough_r else None,
        "best": _told(found.best_quote, rate),
        "worst": _told(found.worst_quote, rate),
        "mean_holding_ms": found.average_holding_ms,
    }


def trade_tables(rows: QuerySet[Trade], names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return tables of the trades of a ``trade_list`` by these of GROUPS, in the run's quote; of
    the newest TRADES_READ where there are more."""
    trades = _Trades.of(rows)
    return {name: trades.table(name, 1.0) for name in names}


def _told(value: float | None, rate: float) -> float | None:
    return None if value is None else value / rate


def _figures(
    run: TradingRun, curve: _Curve, index: Column, trades: _Trades, told: Quote
) -> Sequence[Figure]:
    seen = core.exposure_of(curve.ts_ms, curve.equity, curve.exposure)
    of_trades = core.trade_figures(trades.statistics(), told.code)
    fees = sum((trade.fees_quote for trade in trades.closed), Decimal(0))
    for fee in Lot.objects.filter(run=run, is_open=True).values_list("entry_fee_quote", flat=True):
        fees += fee
    found = [
        Figure("equity", "Equity", float(curve.equity[-1]), told.code),
        *core.equity_figures(curve.ts_ms, index, seen),
        *of_trades,
        Figure("fees", "Fees", float(fees), told.code),
        _turnover(run, seen.mean_equity),
    ]
    return [
        replace(figure, value=_told(figure.value, told.rate))
        if figure.code in CURRENCIES
        else figure
        for figure in found
    ]


def _turnover(run: TradingRun, mean_equity: float | None) -> Figure:
    """Return what was bought and sold over the mean equity."""
    value = Cast("price", FloatField()) * Cast("quantity_base", FloatField())
    traded = Fill.objects.filter(run=run).aggregate(sum=Sum(value, output_field=FloatField()))[
        "sum"
    ]
    if mean_equity is None or mean_equity <= 0:
        return Figure("turnover", "Turnover", None, "times", "no time passed yet")
    return Figure("turnover", "Turnover", (traded or 0.0) / mean_equity, "times")
