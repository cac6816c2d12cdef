"""What chance makes of the same trades: other orders of them, and other draws.

Each trade counts with its PnL in quote, added to the cash it began with. Another order of the
same trades ends at the same equity, so reshuffling speaks of drawdown only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.types.decisions import JsonValue
from research.core.resampling import block_length, block_rows

FloatArray = npt.NDArray[np.float64]
FEWEST_TRADES = 30
N_PATHS = 1_000
SHARES = (0.05, 0.5, 0.95)


def monte_carlo(
    pnl_quote: Sequence[float], cash_quote: float, rng: np.random.Generator
) -> dict[str, JsonValue] | None:
    """Return intervals of drawdown and final equity; None below ``FEWEST_TRADES`` or cash.

    ``reshuffled`` are random orders, ``drawn in blocks`` a circular block bootstrap that keeps
    streaks together.
    """
    pnl = np.array(pnl_quote, dtype=np.float64)
    if len(pnl) < FEWEST_TRADES or not cash_quote > 0.0:
        return None
    shuffled = np.array([path_drawdown(rng.permutation(pnl), cash_quote) for _ in range(N_PATHS)])
    drawn, ends = np.empty(N_PATHS), np.empty(N_PATHS)
    for path in range(N_PATHS):
        sample = pnl[block_rows(len(pnl), 1, rng)[0]]
        drawn[path] = path_drawdown(sample, cash_quote)
        ends[path] = cash_quote + sample.sum()
    seen = path_drawdown(pnl, cash_quote)
    return {
        "rows": [
            _row("reshuffled", "max drawdown", shuffled, is_fraction=True),
            _row("drawn in blocks", "max drawdown", drawn, is_fraction=True),
            _row("drawn in blocks", "final equity", ends, is_fraction=False),
        ],
        "loss_probability": float((ends < cash_quote).mean()),
        "text": (
            f"{N_PATHS:,} other courses of the same {len(pnl):,} closed trades. Trade by trade the"
            f" drawdown was {100.0 * seen:.2f} %; in {100.0 * float((shuffled >= seen).mean()):.0f}"
            " of 100 other orders it is as deep or deeper. Drawn anew in blocks of"
            f" {block_length(len(pnl))}, {100.0 * float((ends < cash_quote).mean()):.0f} of 100"
            " courses end below the starting cash. Trades are taken as they were: what they would"
            " have been in another market, nobody knows."
        ),
    }


def path_drawdown(pnl: FloatArray, cash_quote: float) -> float:
    """Return the deepest fall from the peak so far, cash included, as a fraction >= 0.

    A path that loses more than everything counts as 1.
    """
    equity = np.concatenate(([cash_quote], cash_quote + np.cumsum(pnl)))
    fall = 1.0 - equity / np.maximum.accumulate(equity)
    return float(min(fall.max(), 1.0))


def _row(method: str, figure: str, values: FloatArray, *, is_fraction: bool) -> JsonValue:
    low, middle, high = np.quantile(values, SHARES)
    return {
        "method": method,
        "figure": figure,
        "is_fraction": is_fraction,
        "p05": float(low),
        "p50": float(middle),
        "p95": float(high),
    }
