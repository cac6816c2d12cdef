"""A million closed trades taken apart, one new trade, and ten million fuzzed moves of a weight."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from benchmarks.figures import BenchmarkFailed, Figure, Options, percentile
from engine.compiled import kernel
from engine.performance import Cut
from engine.types.ledger import Trade
from engine.types.opinions import REGIMES, Side
from optimization.core.bounds import DAY_MS, WeightLimits, limited
from optimization.core.performance import Decomposition, TradeColumns
from optimization.core.trade_sums import Floats, Ints

STRATEGIES = tuple(f"strategy-{number}" for number in range(10))
SYMBOLS = tuple(f"COIN{number}/USDT" for number in range(20))
HOUR_MS = 3_600_000
_RING = 4_096


def trade_columns(n_trades: int, seed: int = 78) -> TradeColumns:
    """Closed trades of ten strategies on twenty symbols in four regimes; one in ten has no stop."""
    rng = np.random.default_rng(seed)
    r = rng.normal(0.05, 1.2, n_trades)
    closed = np.cumsum(rng.integers(0, 120_000, n_trades)).astype(np.int64)
    return TradeColumns(
        strategies=STRATEGIES,
        symbols=SYMBOLS,
        regimes=tuple(REGIMES),
        strategy=rng.integers(0, len(STRATEGIES), n_trades),
        symbol=rng.integers(0, len(SYMBOLS), n_trades),
        regime=rng.integers(0, len(REGIMES), n_trades),
        pnl_quote=np.round(r * rng.uniform(5.0, 50.0, n_trades), 2),
        fees_quote=np.full(n_trades, 0.02),
        r=np.where(rng.uniform(size=n_trades) < 0.1, np.nan, r),
        opened_at_ms=closed - 600_000,
        closed_at_ms=closed,
        last_trade_id=f"trade-{n_trades}",
    )


def decomposition(options: Options) -> Sequence[Figure]:
    """Full rebuild over columns in memory, and one new trade into the result."""
    n_trades = 100_000 if options.quick else 1_000_000
    columns = trade_columns(n_trades)
    Decomposition.from_columns(trade_columns(1_000))  # compiles, or loads what was compiled
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    elapsed_s, computing_s = [], []
    for _ in range(7):
        began, began_computing = time.perf_counter(), time.process_time()
        book = Decomposition.from_columns(columns)
        elapsed_s.append(time.perf_counter() - began)
        computing_s.append(time.process_time() - began_computing)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    _check_against_numpy(book, columns)
    n_cuts = len(book.cuts())
    detail = f"{n_trades:,} trades, {n_cuts:,} cuts, lifetime and last {book.window_trades}"
    return [
        Figure(
            name="rebuild the decomposition, fastest of 7",
            value=round(min(elapsed_s), 3),
            unit="s",
            target=0.5,
            ids=("OPT-78",),
            detail=(
                f"{detail}, besides the read; median {percentile(elapsed_s, 0.5):.2f} s,"
                f" of computing {percentile(computing_s, 0.5):.2f} s"
            ),
        ),
        Figure(
            name="memory of the rebuild",
            value=round(grown_kib / 1024, 1),
            unit="MiB",
            detail=f"growth of the peak; the result keeps {book.nbytes() / 2**20:.1f} MiB",
        ),
        _one_new_trade(book, 5_000 if options.quick else 100_000),
        _one_reading(book),
    ]


def _check_against_numpy(book: Decomposition, columns: TradeColumns) -> None:
    """A fast wrong answer is no figure: three cuts are recomputed from the columns."""
    for k in range(3):
        mine = columns.strategy == k
        found = book.lifetime(Cut(strategy=STRATEGIES[k]))
        pnl, r = columns.pnl_quote[mine], columns.r[mine]
        total = np.concatenate([[0.0], np.cumsum(pnl)])
        fall = float((np.maximum.accumulate(total) - total).max())
        wanted = (len(pnl), float(pnl.mean()), float(np.nanmean(r)), fall)
        has = (found.count, found.expectancy_quote, found.expectancy_r, found.max_drawdown_quote)
        if not np.allclose(np.array(wanted), np.array(has, dtype=float), rtol=1e-9):
            raise BenchmarkFailed(f"{STRATEGIES[k]} was {has}, numpy says {wanted}")


def _one_new_trade(book: Decomposition, n_trades: int) -> Figure:
    trades = [
        Trade(
            trade_id=f"new-{k}",
            strategy=STRATEGIES[k % 10],
            symbol=SYMBOLS[k % 20],
            side=Side.BUY,
            quantity_base=Decimal(1),
            entry_price=Decimal(100),
            exit_price=Decimal(101),
            fees_quote=Decimal("0.02"),
            pnl_quote=Decimal("0.98"),
            r_multiple=0.49,
            opened_at_ms=k,
            closed_at_ms=k + 1,
            entry_regime=REGIMES[k % 4],
            exit_regime=REGIMES[0],
            exit_reason="signal",
            entry_order_id="a",
            exit_order_id="b",
        )
        for k in range(n_trades)
    ]
    began = time.process_time()
    for trade in trades:
        book.add(trade)
    elapsed_us = (time.process_time() - began) / n_trades * 1e6
    return Figure(
        name="one new trade into its eight cuts",
        value=round(elapsed_us, 2),
        unit="us",
        target=5.0,
        ids=("OPT-78",),
        detail=f"of computing, mean of {n_trades:,}, lifetime and rolling",
    )


def _one_reading(book: Decomposition) -> Figure:
    cuts = book.cuts()
    began = time.process_time()
    for cut in cuts:
        book.rolling(cut)
    elapsed_us = (time.process_time() - began) / len(cuts) * 1e6
    return Figure(
        name="rolling figures of one cut",
        value=round(elapsed_us, 2),
        unit="us",
        detail=f"of computing, mean of {len(cuts):,}, the last {book.window_trades} folded anew",
    )


@kernel
def _walk(begin: float, targets: Floats, later_ms: Ints, limits: Floats, breach: Ints) -> float:
    """Move one weight towards each target and count broken promises in ``breach`` (4,).

    The window of moves is kept here, the movement itself is the product's ``limited``; what it
    did is judged by a second reading: step, range, the day's path, the day's net change.
    """
    at, old, new = np.zeros(_RING, np.int64), np.zeros(_RING), np.zeros(_RING)
    kept, weight, now = 0, begin, 0
    step, day, low, high = limits
    for t in range(len(targets)):
        now += later_ms[t]
        first = 0
        while first < kept and at[first] < now - DAY_MS:
            first += 1
        if first > 0 or kept == _RING:
            kept -= first
            for k in range(kept):
                at[k], old[k], new[k] = at[k + first], old[k + first], new[k + first]
        if kept == _RING:
            continue  # more moves a day than can be watched: no move, nothing to judge
        spent, reference = 0.0, weight
        for k in range(kept):
            spent += abs(new[k] - old[k])
            reference = min(reference, old[k])
        moved, _ = limited(weight, targets[t], spent, reference, step, day, low, high)
        if moved == weight:
            continue
        at[kept], old[kept], new[kept] = now, weight, moved
        kept += 1
        if not abs(moved - weight) <= 0.15 * weight:
            breach[0] += 1
        if not 0.1 <= moved <= 2.0:
            breach[1] += 1
        path, least = 0.0, 3.0
        for k in range(kept):
            path += abs(new[k] - old[k])
            least = min(least, old[k])
            if not abs(moved - old[k]) <= 0.30 * old[k] * (1.0 + 1e-12):
                breach[3] += 1
        if not path <= 0.30 * least * (1.0 + 1e-12):
            breach[2] += 1
        weight = moved
    return weight


def hostile_targets(rng: np.random.Generator, n_steps: int) -> tuple[Floats, Ints]:
    """Jumps between the ends, hair-width moves, reversals; from no time to two days apart."""
    kind = rng.integers(0, 4, n_steps)
    targets = np.choose(
        kind,
        [
            rng.choice([-5.0, 0.0, 0.1, 2.0, 1e6], n_steps),
            rng.uniform(0.1, 2.0, n_steps),
            1.0 + rng.normal(0.0, 1e-9, n_steps),
            np.where(np.arange(n_steps) % 2 == 0, 0.1, 2.0),
        ],
    )
    gaps = np.array([0, 1, HOUR_MS, 6 * HOUR_MS, DAY_MS, DAY_MS + 1, 2 * DAY_MS])
    chances = np.array([0.05, 0.05, 0.5, 0.3, 0.04, 0.03, 0.03])
    later = rng.choice(gaps, n_steps, p=chances)
    return targets.astype(np.float64), later.astype(np.int64)


def fuzzed_weights(options: Options) -> Sequence[Figure]:
    """Ten million seeded steps through the bounds of the weights; a breach of any kind counts."""
    chunk, chunks = 100_000, (5 if options.quick else 100)
    shipped = WeightLimits()
    limits = np.array(
        [
            shipped.max_step_fraction,
            shipped.max_day_fraction,
            shipped.min_weight,
            shipped.max_weight,
        ]
    )
    rng = np.random.default_rng(74)
    breach = np.zeros(4, dtype=np.int64)
    began = time.perf_counter()
    for _ in range(chunks):
        targets, later_ms = hostile_targets(rng, chunk)
        _walk(float(rng.uniform(0.1, 2.0)), targets, later_ms, limits, breach)
    elapsed_s = time.perf_counter() - began
    return [
        Figure(
            name="breaches in fuzzed weight moves",
            value=float(breach.sum()),
            unit="breaches",
            target=0.0,
            ids=("OPT-74", "OPT-75"),
            detail=(
                f"{chunk * chunks:,} steps in {elapsed_s:.0f} s; step, range, day's path, day's net"
                f" change: {', '.join(str(int(count)) for count in breach)}"
            ),
        )
    ]
