"""The document of one replay: course, trades, costs and assumptions beside buy-and-hold.

One document feeds the page, the HTML file and the API. Lists keep an order that JSON objects lose
in a database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from engine.types.bars import BarColumns, Instrument
from engine.types.decisions import PHASES, JsonValue
from engine.types.ledger import Trade
from research.core.deflated_sharpe import daily_returns, probabilistic_sharpe, sample_of
from research.core.monte_carlo import monte_carlo
from research.core.result import ReplayResult
from research.core.traced_journal import ReportJournal
from trades.core.performance import DAY_MS, few_days, few_trades

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
VERSION = 1
POINTS = 400
TRADES_SHOWN = 500


@dataclass(frozen=True, slots=True)
class Market:
    """What was replayed: the bars from the first event on, and the instruments, by symbol."""

    bars: Mapping[str, BarColumns]
    instruments: Mapping[str, Instrument]
    timeframe_ms: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What was asked for and assumed; ``cash_quote`` is the only money that ever came in."""

    cash_quote: float
    slippage_bps: float
    has_book: bool
    resume_after_days: int
    entry_order: str


def report_document(
    result: ReplayResult,
    journal: ReportJournal,
    market: Market,
    terms: Terms,
    rng: np.random.Generator,
) -> dict[str, JsonValue]:
    """Return the document of a finished replay; plain JSON values, fractions as fractions.

    ``rng`` draws the other courses of its trades.
    """
    times = np.array(journal.equity_ms, dtype=np.int64)
    equity = np.array(journal.equity_quote, dtype=np.float64)
    hold = hold_equity(market, times, terms.cash_quote)
    return {
        "version": VERSION,
        "quote": next(iter(market.instruments.values())).quote,
        "symbols": list(market.bars),
        "timeframe_ms": market.timeframe_ms,
        "from_ms": int(times[0]) if len(times) else None,
        "to_ms": int(times[-1]) if len(times) else None,
        "cash_quote": terms.cash_quote,
        "deposits_quote": 0.0,
        "series": thinned_series(times, equity, hold),
        "hold": _hold_figures(hold, terms.cash_quote),
        "costs": _costs(journal, market, terms),
        "funnel": funnel(result, journal),
        "refused": _refused(journal),
        "strategies": by_strategy(journal.closed),
        "trades_total": len(journal.closed),
        "trades": [trade_row(trade) for trade in journal.closed[-TRADES_SHOWN:]],
        "assumptions": list(assumptions(market, terms)),
        "sharpe_evidence": sharpe_evidence(times, equity),
        "monte_carlo": monte_carlo(
            [float(trade.pnl_quote) for trade in journal.closed],
            terms.cash_quote,
            rng,
        ),
    }


def hold_equity(market: Market, times: IntArray, cash_quote: float) -> FloatArray:
    """Return the equity of buying every symbol at its first close and holding, (n_times,).

    Cash is split in equal parts and each pays the taker fee once. Before a symbol's first close
    its part is cash.
    """
    total = np.zeros(len(times))
    if not len(times):
        return total
    part = cash_quote / len(market.bars)
    for symbol, bars in market.bars.items():
        if not len(bars):
            total += part
            continue
        fee = float(market.instruments[symbol].taker_fee_fraction)
        units = part * (1.0 - fee) / float(bars.close[0])
        at = np.searchsorted(bars.ts_ms + market.timeframe_ms, times, side="right") - 1
        total += np.where(at < 0, part, units * bars.close[np.maximum(at, 0)])
    return total


def sharpe_evidence(times: IntArray, equity: FloatArray) -> dict[str, JsonValue] | None:
    """Return how sure a Sharpe above 0 is, were this the only trial; None below 30 days."""
    sample = sample_of(daily_returns(times, equity))
    if sample is None:
        return None
    return {
        "days": sample.n,
        "sharpe_a_year": sample.sharpe * sqrt(365.25),
        "skew": sample.skew,
        "kurtosis": sample.kurtosis,
        "probability_above_0": probabilistic_sharpe(sample),
    }


def figures_lack(
    figures: Mapping[str, JsonValue], document: Mapping[str, JsonValue]
) -> dict[str, str]:
    """Return why ratios a year (``days``) and figures of trades (``trades``) of a replay say
    nothing; empty where they do. The same rule as everywhere: see ``few_trades``."""
    first, last, trades = document["from_ms"], document["to_ms"], figures["trades"]
    days = (
        last // DAY_MS - first // DAY_MS if isinstance(first, int) and isinstance(last, int) else 0
    )
    return {"days": few_days(days), "trades": few_trades(trades if isinstance(trades, int) else 0)}


def underwater(equity: FloatArray) -> FloatArray:
    """Return how far below its peak so far equity is, in [-1, 0], (n,)."""
    if not len(equity):
        return equity
    peak = np.maximum.accumulate(equity)
    shares: FloatArray = np.where(peak > 0.0, equity / np.maximum(peak, 1e-300) - 1.0, 0.0)
    return shares


def thinned_series(times: IntArray, equity: FloatArray, hold: FloatArray) -> dict[str, JsonValue]:
    """Return at most about ``POINTS`` points of the course.

    Each point stands for a stretch: its last equity, and its deepest drawdown, so that no trough
    is lost between two points.
    """
    n = len(times)
    edges = np.unique(np.linspace(0, n, min(n, POINTS) + 1).astype(np.int64))
    firsts, lasts = edges[:-1], edges[1:] - 1
    depth, hold_depth = underwater(equity), underwater(hold)
    return {
        "ts_ms": times[lasts].tolist(),
        "equity": _rounded(equity[lasts]),
        "hold": _rounded(hold[lasts]),
        "underwater": _deepest(depth, firsts),
        "hold_underwater": _deepest(hold_depth, firsts),
    }


def _deepest(depth: FloatArray, firsts: IntArray) -> list[JsonValue]:
    found = np.minimum.reduceat(depth, firsts) if len(firsts) else depth
    return [round(float(value), 6) for value in found]


def _rounded(values: FloatArray) -> list[JsonValue]:
    return [round(float(value), 2) for value in values]


def _hold_figures(hold: FloatArray, cash_quote: float) -> dict[str, JsonValue]:
    if not len(hold) or cash_quote <= 0.0:
        return {"final_equity": None, "return_fraction": None, "max_drawdown_fraction": None}
    return {
        "final_equity": round(float(hold[-1]), 2),
        "return_fraction": float(hold[-1]) / cash_quote - 1.0,
        "max_drawdown_fraction": -float(underwater(hold).min()),
    }


def _costs(journal: ReportJournal, market: Market, terms: Terms) -> dict[str, JsonValue]:
    fees = float(journal.fees_quote)
    return {
        "fees_quote": round(fees, 8),
        "fees_of_cash_fraction": fees / terms.cash_quote if terms.cash_quote > 0.0 else None,
        "turnover_quote": round(float(journal.turnover_quote), 8),
        "taker_fee_fraction": max(float(i.taker_fee_fraction) for i in market.instruments.values()),
        "maker_fee_fraction": max(float(i.maker_fee_fraction) for i in market.instruments.values()),
        "slippage_bps": None if terms.has_book else terms.slippage_bps,
    }


def funnel(result: ReplayResult, journal: ReportJournal) -> list[JsonValue]:
    """Return the steps from bars to trades, each with how many got so far."""
    steps = (
        ("bars", result.bars),
        ("decisions", result.decisions),
        ("proposals", result.proposals),
        ("passed every phase", result.proposals - result.filtered),
        ("orders", result.orders),
        ("fills", result.fills),
        ("closed trades", result.trades),
    )
    return [{"step": name, "n": n} for name, n in steps]


def _refused(journal: ReportJournal) -> list[JsonValue]:
    ranked = sorted(journal.refused.items(), key=lambda item: (-item[1], item[0]))
    return [
        {
            "phase": phase,
            "phase_name": PHASES[phase - 1] if phase else "",
            "reason_code": code,
            "n": n,
        }
        for (phase, code), n in ranked
    ]


def by_strategy(trades: Sequence[Trade]) -> list[JsonValue]:
    """Return trades, wins and net PnL of each strategy, the best first; ``lacks`` is why its
    share of wins says nothing."""
    sums: dict[str, list[float]] = {}
    for trade in trades:
        row = sums.setdefault(trade.strategy, [0, 0, 0.0, 0.0])
        row[0] += 1
        row[1] += trade.pnl_quote > 0
        row[2] += float(trade.pnl_quote)
        row[3] += float(trade.fees_quote)
    ranked = sorted(sums.items(), key=lambda item: (-item[1][2], item[0]))
    return [
        {
            "strategy": code,
            "trades": int(n),
            "win_rate_fraction": wins / n,
            "lacks": few_trades(int(n)),
            "pnl_quote": round(pnl, 8),
            "fees_quote": round(fees, 8),
        }
        for code, (n, wins, pnl, fees) in ranked
    ]


def trade_row(trade: Trade) -> dict[str, JsonValue]:
    """Return a closed trade as plain values; money as text, exact."""
    return {
        "strategy": trade.strategy,
        "symbol": trade.symbol,
        "side": trade.side.value,
        "quantity_base": str(trade.quantity_base),
        "entry_price": str(trade.entry_price),
        "exit_price": str(trade.exit_price),
        "fees_quote": str(trade.fees_quote),
        "pnl_quote": str(trade.pnl_quote),
        "r_multiple": trade.r_multiple,
        "opened_at_ms": trade.opened_at_ms,
        "closed_at_ms": trade.closed_at_ms,
        "entry_regime": trade.entry_regime,
        "exit_reason": trade.exit_reason,
    }


def assumptions(market: Market, terms: Terms) -> tuple[str, ...]:
    """Return in sentences what this replay took for granted; the reader judges it by them."""
    instrument = next(iter(market.instruments.values()))
    taker = float(instrument.taker_fee_fraction) * 100.0
    maker = float(instrument.maker_fee_fraction) * 100.0
    fills = (
        "A market order fills at once against a synthetic order book drawn from the seed; what the"
        " book cannot give is cancelled."
        if terms.has_book
        else "A market order fills whole at the open of the next bar,"
        f" {terms.slippage_bps:g} bps worse than it; the files hold no order book."
    )
    return (
        "Look-ahead: a decision at a bar's close sees that bar and earlier ones, never a later"
        " one, and fills no sooner than the next price. Features are causal columns; truncation"
        " tests hold them to it.",
        fills,
        "Limit orders and stops rest and fill on the first later bar that touches them, whole, at"
        " their price or at the open where the market jumped over it. A queue before them is not"
        " modelled, so limit fills are kinder than a venue's.",
        f"Fees: {taker:g} % taker and {maker:g} % maker of each fill, in {instrument.quote}, both"
        " ways, included in every figure.",
        "Our own orders move no price; outages, rejections and delays of a venue do not happen"
        " here.",
        f"Deposits and withdrawals: none. Starting cash {terms.cash_quote:g} {instrument.quote};"
        " idle cash earns nothing. No borrowing, no short sale, no funding.",
        "Buy-and-hold: the same cash in equal parts, bought at each symbol's first close for one"
        " taker fee, never sold.",
        "Breakers trip as live. A simulated operator re-enables at the next UTC day and resumes"
        f" {terms.resume_after_days} day(s) after a drawdown halt; each time is an intervention.",
        f"Entries are sent as {terms.entry_order} orders.",
    )
