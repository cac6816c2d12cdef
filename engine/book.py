"""What one order book says by itself: faults, depth, imbalance, and what walking it costs.

Levels are (price, quantity in base units), best first. Prices in quote units.
"""

from __future__ import annotations

from math import exp

Levels = tuple[tuple[float, float], ...]

# Liquidity is judged at the reference notional and at these multiples of it.
_SIZES = (1.0, 5.0, 25.0)
# What the book cannot fill costs this much; levels further away do not count as liquidity.
REACH_FRACTION = 0.05
_HALF_SCORE_BPS = 10.0
# Weight of a level falls by e for every so many basis points beyond the best price.
_NEAR_BPS = 5.0


def fault(bids: Levels, asks: Levels) -> str:
    """Return why a book cannot be read, empty where it can."""
    if not bids or not asks:
        return f"one-sided book: {len(bids)} bids, {len(asks)} asks"
    for price, quantity in (*bids, *asks):
        # written so that NaN fails too
        if not (0.0 < price < 1e300 and 0.0 < quantity < 1e300):
            return f"book level must be positive and finite, was {price} x {quantity}"
    if bids[0][0] >= asks[0][0]:
        return f"crossed book: bid was {bids[0][0]}, ask was {asks[0][0]}"
    return ""


def middle(bids: Levels, asks: Levels) -> float:
    return (bids[0][0] + asks[0][0]) / 2.0


def microprice(bids: Levels, asks: Levels) -> float:
    """Return the best prices weighted by the other side's size: it leans to the thinner side.

    Source: the weighted mid, the first approximation of the micro-price of Stoikov (2018).
    """
    (bid, bid_size), (ask, ask_size) = bids[0], asks[0]
    return (bid * ask_size + ask * bid_size) / (bid_size + ask_size)


def depth_within(bids: Levels, asks: Levels, band_bps: float) -> tuple[float, float]:
    """Return (bid, ask) depth in quote units within ``band_bps`` of the middle."""
    centre, reach = middle(bids, asks), band_bps / 1e4
    return (
        sum(p * q for p, q in bids if p >= centre * (1.0 - reach)),
        sum(p * q for p, q in asks if p <= centre * (1.0 + reach)),
    )


def share(bid: float, ask: float) -> float | None:
    """Return (bid - ask) / (bid + ask) in [-1, 1]; None where there is nothing to compare."""
    return (bid - ask) / (bid + ask) if bid + ask > 0.0 else None


def weighted_imbalance(bids: Levels, asks: Levels) -> float:
    """Return the imbalance of all levels in [-1, 1], near ones counting most.

    A level's quantity is weighted by exp(-distance / 5 bps) from the best price of its side.
    """

    def near(side: Levels) -> float:
        best = side[0][0]
        return sum(q * exp(-abs(p - best) / best * 1e4 / _NEAR_BPS) for p, q in side)

    bid, ask = near(bids), near(asks)
    return (bid - ask) / (bid + ask)


def impact_bps(bids: Levels, asks: Levels, notional_quote: float) -> float:
    """Return what the worse side pays beyond the middle for ``notional_quote``, half the spread
    included. What the book cannot fill costs 5 %."""
    centre = middle(bids, asks)
    quantity = notional_quote / centre
    return 1e4 * max(
        paid(asks, quantity, centre) / (quantity * centre) - 1.0,
        1.0 - received(bids, quantity, centre) / (quantity * centre),
    )


def capacity_base(side: Levels, centre: float, limit_bps: float) -> float:
    """Return the largest quantity whose mean price is at most ``limit_bps`` worse than the best.

    In base units; ``centre`` is the price basis points are counted from. Nothing is assumed
    behind the last level: where all of it is within the limit, the answer is all of it.
    """
    best, limit = side[0][0], limit_bps / 1e4 * centre
    taken = excess = 0.0
    for price, quantity in side:
        worse = abs(price - best)
        if excess + worse * quantity > limit * (taken + quantity):
            # the mean reaches the limit inside this level
            return taken + max(0.0, limit * taken - excess) / (worse - limit)
        taken += quantity
        excess += worse * quantity
    return taken


def liquidity_score(bids: Levels, asks: Levels, price: float, quantity_base: float) -> float:
    """Return liquidity in [0, 1]: the mean over three sizes of 1 / (1 + round-trip cost / 10 bps).

    The cost of buying and selling a fixed quantity is compared with ``price``, which the book
    does not move, and what the book cannot fill costs a fixed 5 %. So adding quantity anywhere
    in the book, or a better level, never lowers the score.
    """
    score = 0.0
    for size in _SIZES:
        quantity = quantity_base * size
        round_trip = paid(asks, quantity, price) - received(bids, quantity, price)
        cost_bps = max(0.0, round_trip / (quantity * price) * 1e4)
        score += 1.0 / (1.0 + cost_bps / _HALF_SCORE_BPS)
    return score / len(_SIZES)


def paid(asks: Levels, quantity: float, price: float) -> float:
    """Return the quote paid for ``quantity``, at most 5 % above ``price``."""
    worst = price * (1.0 + REACH_FRACTION)
    left, total = quantity, 0.0
    for level, size in asks:
        if left <= 0.0 or level >= worst:
            break
        part = min(left, size)
        total += part * level
        left -= part
    return total + max(0.0, left) * worst


def received(bids: Levels, quantity: float, price: float) -> float:
    """Return the quote received for ``quantity``, at least 5 % below ``price``."""
    worst = price * (1.0 - REACH_FRACTION)
    left, total = quantity, 0.0
    for level, size in bids:
        if left <= 0.0 or level <= worst:
            break
        part = min(left, size)
        total += part * level
        left -= part
    return total + max(0.0, left) * worst
