"""How to trade what the book shows: now, with a limit, in slices, or later (ORC-86)."""

from __future__ import annotations

from math import ceil

import numpy as np

from engine.book import Levels, capacity_base, middle
from engine.phases.config import PipelineConfig
from engine.types.bars import FloatColumn
from engine.types.opinions import ExecutionAdvice

WAIT, SPLIT, LIMIT, MARKET = "wait", "split", "limit", "market"
ONCE, TWAP, VWAP = "once", "twap", "vwap"
_PROFILE_BARS = 32
# Where volume varies by more than this share of its mean, slices should follow it.
_UNEVEN_VOLUME = 0.75


def style(spread_bps: float, impact_bps: float, score: float, config: PipelineConfig) -> str:
    """Return how to trade: wait (too thin or too wide), split (size moves it), limit (the spread
    costs), market."""
    if score < config.wait_liquidity_score or spread_bps > config.wait_spread_bps:
        return WAIT
    if impact_bps - spread_bps / 2.0 > config.split_impact_bps:
        return SPLIT
    if spread_bps > config.limit_spread_bps:
        return LIMIT
    return MARKET


def capacities(bids: Levels, asks: Levels, config: PipelineConfig) -> tuple[float, float]:
    """Return the largest (buy, sell) in base units that stays within ``split_impact_bps``."""
    centre = middle(bids, asks)
    return (
        capacity_base(asks, centre, config.split_impact_bps),
        capacity_base(bids, centre, config.split_impact_bps),
    )


def plan(
    spread_bps: float,
    impact_bps: float,
    score: float,
    least_capacity_base: float,
    reference_base: float,
    volumes: FloatColumn,
    config: PipelineConfig,
) -> ExecutionAdvice:
    """Return the advice for the reference notional, with its slices and the reason.

    ``volumes`` are the bars' up to now (n_bars,); slices follow them (VWAP) where they are
    uneven, and the clock (TWAP) where they are not. More slices than ``max_slices`` is a wait.
    """
    chosen = style(spread_bps, impact_bps, score, config)
    cost = impact_bps - spread_bps / 2.0
    if chosen == WAIT:
        text = (
            f"liquidity score {score:.3f} (minimum {config.wait_liquidity_score:g}), "
            f"spread {spread_bps:.2f} bps (maximum {config.wait_spread_bps:g})"
        )
        return ExecutionAdvice(WAIT, 0, ONCE, text)
    if chosen == SPLIT:
        slices = max(2, ceil(reference_base / least_capacity_base))
        text = f"{reference_base:.6g} at once costs {cost:.2f} bps beyond the spread, "
        if slices > config.max_slices:
            text += f"{slices} slices needed, maximum was {config.max_slices}"
            return ExecutionAdvice(WAIT, 0, ONCE, text)
        uneven = _unevenness(volumes)
        schedule = VWAP if uneven > _UNEVEN_VOLUME else TWAP
        text += (
            f"limit was {config.split_impact_bps:g}: {slices} slices of at most "
            f"{least_capacity_base:.6g}; volume varies by {uneven:.2f} of its mean"
        )
        return ExecutionAdvice(SPLIT, slices, schedule, text)
    if chosen == LIMIT:
        text = (
            f"spread {spread_bps:.2f} bps, a resting order pays above {config.limit_spread_bps:g}"
        )
        return ExecutionAdvice(LIMIT, 1, ONCE, text)
    text = f"spread {spread_bps:.2f} bps and {cost:.2f} bps beyond it are within their limits"
    return ExecutionAdvice(MARKET, 1, ONCE, text)


def _unevenness(volumes: FloatColumn) -> float:
    """Return the standard deviation of the last bars' volume over its mean, 0 without volume."""
    recent = volumes[-_PROFILE_BARS:]
    mean = float(np.mean(recent)) if recent.shape[0] else 0.0
    return float(np.std(recent)) / mean if mean > 0.0 else 0.0
