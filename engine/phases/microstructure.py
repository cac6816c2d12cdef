"""Phase 3: what the order book says about trading now (ORC-09)."""

from __future__ import annotations

from engine.phases.config import PipelineConfig
from engine.types.bars import Snapshot
from engine.types.decisions import JsonValue
from engine.types.opinions import Missing, OrderFlowView

Levels = tuple[tuple[float, float], ...]

_NO_BOOK = Missing("no book")
# Liquidity is judged at the reference notional and at these multiples of it.
_SIZES = (1.0, 5.0, 25.0)
# What the book cannot fill costs this much; levels further away do not count as liquidity.
_REACH_FRACTION = 0.05
_HALF_SCORE_BPS = 10.0


def read_order_flow(snapshot: Snapshot, config: PipelineConfig) -> OrderFlowView | Missing:
    """Return spread, depth, imbalance, impact, liquidity and advice of the supplied book.

    Missing where there is no book, or none that can be read: constants are never invented.
    """
    book = snapshot.event.book
    if book is None:
        return _NO_BOOK
    fault = _fault(book.bids, book.asks)
    if fault:
        return Missing(fault)
    (bid, bid_size), (ask, ask_size) = book.bids[0], book.asks[0]
    middle = (bid + ask) / 2.0
    spread_bps = (ask - bid) / middle * 1e4
    reach = config.depth_band_bps / 1e4
    bid_depth = sum(p * q for p, q in book.bids if p >= middle * (1.0 - reach))
    ask_depth = sum(p * q for p, q in book.asks if p <= middle * (1.0 + reach))
    depth = bid_depth + ask_depth
    if depth > 0.0:
        imbalance = (bid_depth - ask_depth) / depth
    else:  # a spread wider than the band: the best level is all there is to compare
        imbalance = (bid_size - ask_size) / (bid_size + ask_size)
    quantity = config.reference_notional_quote / middle
    impact_bps = 1e4 * max(
        _paid(book.asks, quantity, middle) / (quantity * middle) - 1.0,
        1.0 - _received(book.bids, quantity, middle) / (quantity * middle),
    )
    score = liquidity_score(
        book.bids, book.asks, snapshot.close, config.reference_notional_quote / snapshot.close
    )
    return OrderFlowView(
        spread_bps=spread_bps,
        microprice=(bid * ask_size + ask * bid_size) / (bid_size + ask_size),
        depth_quote=depth,
        imbalance=imbalance,
        impact_bps=impact_bps,
        liquidity_score=score,
        advice=advice(spread_bps, impact_bps, score, config),
    )


def liquidity_score(bids: Levels, asks: Levels, price: float, quantity_base: float) -> float:
    """Return liquidity in [0, 1]: the mean over three sizes of 1 / (1 + round-trip cost / 10 bps).

    The cost of buying and selling a fixed quantity is compared with ``price``, which the book
    does not move, and what the book cannot fill costs a fixed 5 %. So adding quantity anywhere
    in the book, or a better level, never lowers the score.
    """
    score = 0.0
    for size in _SIZES:
        quantity = quantity_base * size
        round_trip = _paid(asks, quantity, price) - _received(bids, quantity, price)
        cost_bps = max(0.0, round_trip / (quantity * price) * 1e4)
        score += 1.0 / (1.0 + cost_bps / _HALF_SCORE_BPS)
    return score / len(_SIZES)


def advice(spread_bps: float, impact_bps: float, score: float, config: PipelineConfig) -> str:
    """Return how to trade: wait (too thin), split (size moves it), limit (spread costs), market."""
    if score < config.wait_liquidity_score:
        return "wait"
    if impact_bps - spread_bps / 2.0 > config.split_impact_bps:
        return "split"
    if spread_bps > config.limit_spread_bps:
        return "limit"
    return "market"


def describe(view: OrderFlowView) -> dict[str, JsonValue]:
    """Return the view as JSON."""
    return {
        "spread_bps": view.spread_bps,
        "microprice": view.microprice,
        "depth_quote": view.depth_quote,
        "imbalance": view.imbalance,
        "impact_bps": view.impact_bps,
        "liquidity_score": view.liquidity_score,
        "advice": view.advice,
    }


def _fault(bids: Levels, asks: Levels) -> str:
    if not bids or not asks:
        return f"one-sided book: {len(bids)} bids, {len(asks)} asks"
    for price, quantity in (*bids, *asks):
        # written so that NaN fails too
        if not (0.0 < price < 1e300 and 0.0 < quantity < 1e300):
            return f"book level must be positive and finite, was {price} x {quantity}"
    if bids[0][0] >= asks[0][0]:
        return f"crossed book: bid was {bids[0][0]}, ask was {asks[0][0]}"
    return ""


def _paid(asks: Levels, quantity: float, price: float) -> float:
    worst = price * (1.0 + _REACH_FRACTION)
    left, paid = quantity, 0.0
    for level, size in asks:
        if left <= 0.0 or level >= worst:
            break
        part = min(left, size)
        paid += part * level
        left -= part
    return paid + max(0.0, left) * worst


def _received(bids: Levels, quantity: float, price: float) -> float:
    worst = price * (1.0 - _REACH_FRACTION)
    left, received = quantity, 0.0
    for level, size in bids:
        if left <= 0.0 or level <= worst:
            break
        part = min(left, size)
        received += part * level
        left -= part
    return received + max(0.0, left) * worst
