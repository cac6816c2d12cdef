"""Phase 3: what the order book and the flow of orders say about trading now (ORC-09, ORC-86)."""

from __future__ import annotations

from math import log, sqrt

import numpy as np

from engine import book as books
from engine.book import Levels, liquidity_score
from engine.order_flow import LEVELS, NO_READING, FlowReading
from engine.phases import execution
from engine.phases.config import PipelineConfig
from engine.phases.execution import style as advice
from engine.phases.market_analysis import sentiment
from engine.types.bars import Book, FloatColumn, Snapshot
from engine.types.decisions import JsonValue
from engine.types.opinions import FeatureView, Missing, OrderFlowView

__all__ = ["NO_BOOK", "advice", "describe", "liquidity_score", "read_order_flow"]

INPUTS_VERSION = "order-flow-1"
CLIP = 5.0
NO_BOOK = Missing("no book")
_LOST_BOOK = Missing("no book now, earlier bars had one")
# Depth is told within these multiples of the configured band.
_BANDS = (1.0, 2.5, 5.0)
_SHORT_BARS, _LONG_BARS = 8, 64
# The microprice's distance from the middle in half spreads is the best level's imbalance.
INPUT_NAMES = (
    "microprice_gap",
    "imbalance_band",
    "imbalance_weighted",
    "spread_log",
    "depth_near_share",
    *(f"ofi_{level}" for level in range(1, LEVELS + 1)),
    "taker_imbalance",
    "short_volatility",
)


def read_order_flow(
    snapshot: Snapshot, config: PipelineConfig, flow: FlowReading = NO_READING
) -> OrderFlowView | Missing:
    """Return what the supplied book says; ``flow`` is what changed since the bar before.

    Missing where there is no book, or none that can be read: constants are never invented.
    """
    book = snapshot.event.book
    if book is None:
        return _LOST_BOOK if flow.expected else NO_BOOK
    fault = books.fault(book.bids, book.asks) or _stale(book, snapshot, config)
    if fault:
        return Missing(fault)
    bids, asks = book.bids, book.asks
    centre = books.middle(bids, asks)
    spread_bps = (asks[0][0] - bids[0][0]) / centre * 1e4
    bands = _bands(bids, asks, config.depth_band_bps)
    _, bid_depth, ask_depth = bands[0]
    best = _known(books.share(bids[0][1], asks[0][1]), 0.0)
    # a spread wider than the band: the best level is all there is to compare
    imbalance = _known(books.share(bid_depth, ask_depth), best)
    impact_bps = books.impact_bps(bids, asks, config.reference_notional_quote)
    score = liquidity_score(
        bids, asks, snapshot.close, config.reference_notional_quote / snapshot.close
    )
    buy, sell = execution.capacities(bids, asks, config)
    plan = execution.plan(
        spread_bps,
        impact_bps,
        score,
        min(buy, sell),
        config.reference_notional_quote / centre,
        snapshot.store.bars.volume[max(0, snapshot.row - 31) : snapshot.row + 1],
        config,
    )
    taker = _taker_imbalance(snapshot)
    weighted = books.weighted_imbalance(bids, asks)
    return OrderFlowView(
        spread_bps=spread_bps,
        microprice=books.microprice(bids, asks),
        depth_quote=bid_depth + ask_depth,
        imbalance=imbalance,
        impact_bps=impact_bps,
        liquidity_score=score,
        advice=plan.style,
        inputs=_inputs(book, spread_bps, bands, (imbalance, weighted), flow, taker, snapshot),
        best_imbalance=best,
        weighted_imbalance=weighted,
        depth_bands=bands,
        ofi_levels=flow.levels,
        ofi_impact=flow.impact,
        short_volatility_bps=_volatility_bps(snapshot, _SHORT_BARS),
        taker_imbalance=taker,
        buy_capacity_base=buy,
        sell_capacity_base=sell,
        execution=plan,
    )


def describe(view: OrderFlowView) -> dict[str, JsonValue]:
    """Return the view as JSON; what is unavailable is its reason."""
    plan, impact = view.execution, view.ofi_impact
    return {
        "spread_bps": view.spread_bps,
        "microprice": view.microprice,
        "depth_quote": view.depth_quote,
        "depth_bands": [list(band) for band in view.depth_bands],
        "imbalance": view.imbalance,
        "best_imbalance": view.best_imbalance,
        "weighted_imbalance": view.weighted_imbalance,
        "ofi_levels": _told(view.ofi_levels),
        "ofi_impact": (
            impact.reason
            if isinstance(impact, Missing)
            else [impact.bps_per_unit, impact.r2, impact.observations]
        ),
        "short_volatility_bps": _told(view.short_volatility_bps),
        "taker_imbalance": _told(view.taker_imbalance),
        "impact_bps": view.impact_bps,
        "buy_capacity_base": view.buy_capacity_base,
        "sell_capacity_base": view.sell_capacity_base,
        "liquidity_score": view.liquidity_score,
        "advice": view.advice,
        "execution": [plan.slices, plan.schedule, plan.reason],
    }


def _told(value: float | tuple[float, ...] | Missing) -> JsonValue:
    if isinstance(value, Missing):
        return value.reason
    return list(value) if isinstance(value, tuple) else value


def _known(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _stale(book: Book, snapshot: Snapshot, config: PipelineConfig) -> str:
    age_s = (snapshot.event.ts_ms - book.ts_ms) / 1000.0
    if age_s <= config.book_max_age_s:
        return ""
    return (
        f"stale book: {age_s:.1f} s old at the bar's close, maximum was {config.book_max_age_s:g}"
    )


def _bands(bids: Levels, asks: Levels, band_bps: float) -> tuple[tuple[float, float, float], ...]:
    return tuple(
        (band_bps * times, *books.depth_within(bids, asks, band_bps * times)) for times in _BANDS
    )


def _taker_imbalance(snapshot: Snapshot) -> float | Missing:
    flow = snapshot.event.flow
    return Missing("no trade flow") if flow is None else sentiment(flow)


def _volatility_bps(snapshot: Snapshot, n_bars: int) -> float | Missing:
    """Return the standard deviation of the last ``n_bars`` log returns around zero, in bps."""
    if snapshot.row < n_bars:
        return Missing(f"{snapshot.row} returns known, {n_bars} needed")
    closes = snapshot.store.bars.close[snapshot.row - n_bars : snapshot.row + 1]
    moves = np.diff(np.log(closes))
    return sqrt(float(np.mean(moves * moves))) * 1e4


def _inputs(
    book: Book,
    spread_bps: float,
    bands: tuple[tuple[float, float, float], ...],
    imbalances: tuple[float, float],
    flow: FlowReading,
    taker: float | Missing,
    snapshot: Snapshot,
) -> FeatureView:
    """Return the finite row that predictors of order flow read, each value within +-5.

    It is ready where order flow and both volatilities are known. A bar without trades has a
    taker imbalance of 0: nobody leaned.
    """
    short = _volatility_bps(snapshot, _SHORT_BARS)
    long = _volatility_bps(snapshot, _LONG_BARS)
    near, far = bands[0][1] + bands[0][2], bands[-1][1] + bands[-1][2]
    centre = books.middle(book.bids, book.asks)
    half_spread = (book.asks[0][0] - book.bids[0][0]) / 2.0
    gap = (books.microprice(book.bids, book.asks) - centre) / half_spread
    change = 0.0
    if not isinstance(short, Missing) and not isinstance(long, Missing) and long > 0.0:
        change = short / long - 1.0
    row = (
        gap,
        *imbalances,
        log(max(spread_bps, 1e-3)),
        near / far if far > 0.0 else 0.0,
        *_scaled(book, flow.levels),
        0.0 if isinstance(taker, Missing) else taker,
        change,
    )
    values: FloatColumn = np.clip(np.array(row, dtype=np.float64), -CLIP, CLIP)
    unknown = any(isinstance(value, Missing) for value in (flow.levels, short, long))
    return FeatureView(INPUTS_VERSION, INPUT_NAMES, values, not unknown)


def _scaled(book: Book, levels: tuple[float, ...] | Missing) -> list[float]:
    """Return each level's order flow over the mean size that stands there now, 0 where unknown."""
    known = () if isinstance(levels, Missing) else levels
    scaled = [
        ofi / ((bid[1] + ask[1]) / 2.0)
        for ofi, bid, ask in zip(known, book.bids, book.asks, strict=False)
    ]
    return scaled + [0.0] * (LEVELS - len(scaled))
