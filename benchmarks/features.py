"""What regimes and features cost: a bar of a long history, and the newest bar of a live window."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Sequence

from benchmarks.figures import Figure, Options, percentile
from benchmarks.replays import MINUTE_MS, START_MS, SYMBOL
from engine.features import BLOCK_ROWS, FEATURES, feature_frame, feature_row
from engine.market_columns import market_columns
from engine.quality import bar_at
from engine.types.bars import ColumnStore
from engine.window import RollingWindow, with_references
from market.sources.synthetic_path import synthetic_bars
from tradeplatform.running import WINDOW_BARS

# numba compiles and caches on the first rows; that is no part of a row's cost
WARM_UP_ROWS = 50


def columns_and_rows(options: Options) -> Sequence[Figure]:
    """Columns over a whole history, then bar by bar as the trading worker asks for them."""
    return [*_columns(options), *_rows(options)]


def _columns(options: Options) -> list[Figure]:
    n_bars = 20_000 if options.quick else 100_000
    bars = synthetic_bars(1, SYMBOL, START_MS, MINUTE_MS, n_bars)
    other = synthetic_bars(2, "ETH/USDT", START_MS, MINUTE_MS, n_bars)
    market_columns(small := ColumnStore(bars.rows(0, 1_000), other))
    feature_frame(small)
    store = ColumnStore(bars, other)
    market_us = _us_a_bar(lambda: market_columns(store), n_bars)
    features_us = _us_a_bar(lambda: feature_frame(store), n_bars)
    peak_mib = _replay_peak_mib(ColumnStore(bars, other), n_bars)
    detail = f"{n_bars:,} bars, {len(FEATURES)} features, one thread"
    return [
        Figure(name="market columns, a bar", value=market_us, unit="us", detail=detail),
        Figure(name="feature columns, a bar", value=features_us, unit="us", detail=detail),
        Figure(
            name="memory while a replay reads every feature row",
            value=peak_mib,
            unit="MiB",
            detail=f"{n_bars:,} bars, blocks of {BLOCK_ROWS:,} rows, columns included",
        ),
    ]


def _us_a_bar(compute: Callable[[], object], n_bars: int) -> float:
    gc.collect()
    # processor time: one thread computes, and what else the machine does is not its cost
    began = time.process_time_ns()
    compute()
    return round((time.process_time_ns() - began) / 1_000 / n_bars, 3)


def _replay_peak_mib(store: ColumnStore, n_bars: int) -> float:
    tracemalloc.start()
    for row in range(0, n_bars, 16):
        feature_row(store, row)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(peak / 2**20, 1)


def _rows(options: Options) -> list[Figure]:
    n_rows = 500 if options.quick else 3_000
    total = WINDOW_BARS + n_rows + WARM_UP_ROWS
    bars = synthetic_bars(1, SYMBOL, START_MS, MINUTE_MS, total)
    other = synthetic_bars(2, "ETH/USDT", START_MS, MINUTE_MS, total)
    windows = with_references(
        {
            "own": RollingWindow(bars.rows(0, WINDOW_BARS), WINDOW_BARS),
            "other": RollingWindow(other.rows(0, WINDOW_BARS), WINDOW_BARS),
        }
    )
    market_us: list[float] = []
    features_us: list[float] = []
    for row in range(WINDOW_BARS, total):
        windows["other"].append(bar_at(other, row))
        began = time.perf_counter_ns()
        store, at = windows["own"].append(bar_at(bars, row))
        market_columns(store)
        between = time.perf_counter_ns()
        feature_row(store, at)
        ended = time.perf_counter_ns()
        if row >= WINDOW_BARS + WARM_UP_ROWS:
            market_us.append((between - began) / 1_000)
            features_us.append((ended - between) / 1_000)
    detail = f"{n_rows:,} bars, window of {WINDOW_BARS:,}"
    return [
        Figure(
            name=f"{what}, {name}",
            value=round(percentile(values, fraction), 1),
            unit="us",
            detail=detail,
        )
        for what, values in (
            ("live window and market condition", market_us),
            (f"live row of {len(FEATURES)} features", features_us),
        )
        for name, fraction in (("p50", 0.5), ("p99", 0.99))
    ]
