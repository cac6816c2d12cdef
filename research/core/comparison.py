"""Two replays of the same bars, without and with the layer: what differs, and is it noise?

A difference counts only where its 95 % block-bootstrap interval leaves 0 out and both samples
are large enough; everything else is "not enough evidence". It says so too when the layer hurts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from engine.types.ledger import Trade
from research.core.comparison_journal import Compared, SignalKey
from research.core.resampling import Interval, Rows, block_rows, interval

FloatArray = npt.NDArray[np.float64]
DAY_MS = 86_400_000
YEAR_MS = 365.25 * DAY_MS
# Below these a difference is a story about a handful of trades or days.
MIN_TRADES = 30
MIN_PERIODS = 30
# A few hours are one market: however many trades they hold, another day may say the opposite.
MIN_DAYS = 7
# Periods are days; shorter histories are cut into this many equal periods.
FEWEST_PERIODS = 60
N_RESAMPLES = 2_000

BETTER, WORSE, UNCLEAR = "better", "worse", "not enough evidence"
# Each figure, whether more of it is better, and whether it rests on trades.
METRICS: tuple[tuple[str, bool, bool], ...] = (
    ("return_fraction", True, False),
    ("sharpe", True, False),
    ("sortino", True, False),
    ("max_drawdown_fraction", False, False),
    ("expectancy_r", True, True),
    ("win_rate_fraction", True, True),
    ("profit_factor", True, True),
)


@dataclass(frozen=True, slots=True)
class MetricDifference:
    """One figure without (``off``) and with (``on``) the layer; ``difference`` = on - off."""

    off: float | None
    on: float | None
    difference: float | None
    low: float | None
    high: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class FilteredReason:
    """What one reason kept out. ``traded`` of the signals were trades without the layer; their
    losses were ``saved_quote`` (>= 0), their wins ``missed_quote`` (>= 0)."""

    signals: int
    traded: int
    saved_quote: float
    missed_quote: float
    net_quote: float
    expectancy_r: float | None


@dataclass(frozen=True, slots=True)
class Sizing:
    """Trades that both runs took: how much larger or smaller, and what that earned."""

    trades: int
    mean_multiplier: float | None
    mean_multiplier_favourable: float | None
    mean_multiplier_unfavourable: float | None
    added_quote: float


@dataclass(frozen=True, slots=True)
class Selection:
    """Signals of the run without the layer: those it also executed against those it filtered."""

    executed: int
    filtered: int
    expectancy_r_executed: Interval
    expectancy_r_filtered: Interval
    expectancy_r_difference: Interval
    win_rate_executed: Interval
    win_rate_filtered: Interval
    favourable_share_off: Interval
    favourable_share_on: Interval


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything ``compare`` reports besides the two replays themselves."""

    periods: int
    period_hours: float
    differences: dict[str, MetricDifference]
    filtering: dict[str, FilteredReason]
    sizing: Sizing
    selection: Selection


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums by period (n_periods,), of trades closed in it."""

    count: FloatArray
    count_r: FloatArray
    total_r: FloatArray
    wins: FloatArray
    gross_win: FloatArray
    gross_loss: FloatArray

    def expectancy_r(self, rows: Rows) -> FloatArray:
        return _over(self.total_r[rows].sum(axis=1), self.count_r[rows].sum(axis=1))

    def win_rate(self, rows: Rows) -> FloatArray:
        return _over(self.wins[rows].sum(axis=1), self.count[rows].sum(axis=1))

    def profit_factor(self, rows: Rows) -> FloatArray:
        return _over(self.gross_win[rows].sum(axis=1), self.gross_loss[rows].sum(axis=1))


def compare(
    off: Compared,
    on: Compared,
    favourable: Mapping[str, frozenset[str]],
    rng: np.random.Generator,
) -> Comparison:
    """Return what the layer changed; ``favourable`` are each strategy's regimes by name.

    Raises:
        ValueError: the runs did not see the same bars.
    """
    if off.equity_ms != on.equity_ms:
        raise ValueError(
            f"runs must see the same bars, were {len(off.equity_ms)} and {len(on.equity_ms)}"
        )
    edges = period_edges(off)
    n = len(edges) - 1
    rows = block_rows(n, N_RESAMPLES, rng)
    return Comparison(
        periods=n,
        period_hours=float(edges[1] - edges[0]) / 3_600_000,
        differences=differences(off, on, edges, rows),
        filtering={reason: filtered_reason(*kept) for reason, kept in kept_out(off, on).items()},
        sizing=_sizing(off, on, favourable),
        selection=_selection(off, on, favourable, edges, rows),
    )


def differences(
    off: Compared, on: Compared, edges: FloatArray, rows: Rows
) -> dict[str, MetricDifference]:
    """Return every figure of ``METRICS`` on both sides; ``rows`` resample the periods."""
    figures = [_Figures(run, edges) for run in (off, on)]
    traded = min(len(off.closed), len(on.closed)) >= MIN_TRADES
    seen = is_long_enough(edges)
    return {
        name: _difference(name, figures, rows, is_higher, seen and (traded or not of_trades))
        for name, is_higher, of_trades in METRICS
    }


def is_long_enough(edges: FloatArray) -> bool:
    """Return whether the periods are many and long enough for any verdict."""
    return len(edges) > MIN_PERIODS and bool(edges[-1] - edges[0] >= MIN_DAYS * DAY_MS)


def period_edges(run: Compared) -> FloatArray:
    """Return the edges of the periods (n_periods + 1,) in ms: days, or 60 equal parts."""
    first, last = run.equity_ms[0], run.equity_ms[-1]
    periods = max((last - first) // DAY_MS, FEWEST_PERIODS)
    return np.linspace(first, max(last, first + 1), periods + 1)


class _Figures:
    """One run's figures, of the whole and of resampled periods."""

    def __init__(self, run: Compared, edges: FloatArray) -> None:
        times = np.array(run.equity_ms, dtype=np.float64)
        equity = np.array(run.equity_quote)
        at = np.searchsorted(times, edges, side="right") - 1
        levels = np.maximum(equity[np.maximum(at, 0)], 1e-9)
        self._returns: FloatArray = np.diff(np.log(levels))
        self._periods_a_year = YEAR_MS / float(edges[1] - edges[0])
        self._sums = _sums(run.closed, edges)

    def of(self, name: str, rows: Rows) -> FloatArray:
        """Return the figure of each row of periods, NaN where it is not defined."""
        return getattr(self, f"_{name}")(rows)  # type: ignore[no-any-return]

    def _return_fraction(self, rows: Rows) -> FloatArray:
        fraction: FloatArray = np.expm1(self._returns[rows].sum(axis=1))
        return fraction

    def _sharpe(self, rows: Rows) -> FloatArray:
        steps = np.expm1(self._returns[rows])
        return _over(steps.mean(axis=1), steps.std(axis=1, ddof=1)) * sqrt(self._periods_a_year)

    def _sortino(self, rows: Rows) -> FloatArray:
        steps = np.expm1(self._returns[rows])
        down = np.sqrt((np.minimum(steps, 0.0) ** 2).mean(axis=1))
        return _over(steps.mean(axis=1), down) * sqrt(self._periods_a_year)

    def _max_drawdown_fraction(self, rows: Rows) -> FloatArray:
        path = np.cumsum(self._returns[rows], axis=1)
        peak = np.maximum(np.maximum.accumulate(path, axis=1), 0.0)
        fall: FloatArray = -np.expm1((path - peak).min(axis=1))
        return fall

    def _expectancy_r(self, rows: Rows) -> FloatArray:
        return self._sums.expectancy_r(rows)

    def _win_rate_fraction(self, rows: Rows) -> FloatArray:
        return self._sums.win_rate(rows)

    def _profit_factor(self, rows: Rows) -> FloatArray:
        return self._sums.profit_factor(rows)


def _difference(
    name: str, figures: Sequence[_Figures], rows: Rows, is_higher: bool, enough: bool
) -> MetricDifference:
    whole = np.arange(rows.shape[1], dtype=np.int64)[None, :]
    off, on = (_known(run.of(name, whole)[0]) for run in figures)
    value = None if off is None or on is None else on - off
    spread = interval(value, figures[1].of(name, rows) - figures[0].of(name, rows))
    return MetricDifference(
        off, on, value, spread.low, spread.high,
        verdict_of(spread, is_higher, enough),
    )  # fmt: skip


def verdict_of(spread: Interval, is_higher: bool, enough: bool) -> str:
    if not enough or spread.low is None or spread.high is None:
        return UNCLEAR
    if spread.low > 0.0:
        return BETTER if is_higher else WORSE
    if spread.high < 0.0:
        return WORSE if is_higher else BETTER
    return UNCLEAR


# -- what filtering and sizing did -----------------------------------------------------------------


def _signal(run: Compared, trade: Trade) -> SignalKey | None:
    entry = run.entries.get(trade.entry_order_id)
    return None if entry is None else entry.signal


def kept_out(off: Compared, on: Compared) -> dict[str, tuple[int, list[Trade]]]:
    """Return what was refused with the layer on and ordered without it, by reason code: signals,
    and their closed trades without it.

    Both sides refuse much for the same reason (a breaker, a cap): that is not the layer's doing.
    """
    ordered = {entry.signal for entry in off.entries.values()}
    refused = {signal: code for signal, code in on.refused.items() if signal in ordered}
    kept: dict[str, tuple[int, list[Trade]]] = {
        code: (n, []) for code, n in sorted(Counter(refused.values()).items())
    }
    for trade in off.closed:
        code = refused.get(_signal(off, trade) or ("", "", 0))
        if code is not None:
            kept[code][1].append(trade)
    return kept


def filtered_reason(signals: int, trades: Sequence[Trade]) -> FilteredReason:
    """Return what keeping these trades out saved and missed."""
    results = [float(trade.pnl_quote) for trade in trades]
    saved = -sum(result for result in results if result < 0)
    missed = sum(result for result in results if result > 0)
    rs = [trade.r_multiple for trade in trades if trade.r_multiple is not None]
    return FilteredReason(
        signals, len(trades), saved, missed, saved - missed, sum(rs) / len(rs) if rs else None
    )


def _sizing(off: Compared, on: Compared, favourable: Mapping[str, frozenset[str]]) -> Sizing:
    without: dict[tuple[str, str], float] = {}
    for trade in off.closed:
        key = (trade.entry_order_id, trade.exit_order_id)
        without[key] = without.get(key, 0.0) + float(trade.pnl_quote)
    taken: dict[tuple[str, str], float] = {}
    for trade in on.closed:
        key = (trade.entry_order_id, trade.exit_order_id)
        if key in without:
            taken[key] = taken.get(key, 0.0) + float(trade.pnl_quote)
    every = [on.entries[entry] for entry, _ in taken if entry in on.entries]
    home = [e.multiplier for e in every if e.regime in favourable.get(e.signal[0], frozenset())]
    away = [e.multiplier for e in every if e.regime not in favourable.get(e.signal[0], frozenset())]
    return Sizing(
        trades=len(taken),
        mean_multiplier=_mean(home + away),
        mean_multiplier_favourable=_mean(home),
        mean_multiplier_unfavourable=_mean(away),
        added_quote=sum(result - without[key] for key, result in taken.items()),
    )


def _selection(
    off: Compared,
    on: Compared,
    favourable: Mapping[str, frozenset[str]],
    edges: FloatArray,
    rows: Rows,
) -> Selection:
    executed_signals = {entry.signal for entry in on.entries.values()}
    executed = [t for t in off.closed if _signal(off, t) in executed_signals]
    filtered = [t for t in off.closed if _signal(off, t) in on.refused]
    taken, left = _sums(executed, edges), _sums(filtered, edges)
    return Selection(
        executed=len(executed),
        filtered=len(filtered),
        expectancy_r_executed=_resampled(taken.expectancy_r, rows),
        expectancy_r_filtered=_resampled(left.expectancy_r, rows),
        expectancy_r_difference=_resampled(
            lambda some: taken.expectancy_r(some) - left.expectancy_r(some), rows
        ),
        win_rate_executed=_resampled(taken.win_rate, rows),
        win_rate_filtered=_resampled(left.win_rate, rows),
        favourable_share_off=_favourable_share(off, favourable, edges, rows),
        favourable_share_on=_favourable_share(on, favourable, edges, rows),
    )


def _favourable_share(
    run: Compared,
    favourable: Mapping[str, frozenset[str]],
    edges: FloatArray,
    rows: Rows,
) -> Interval:
    entries = list(run.entries.values())
    period = period_of([entry.signal[2] for entry in entries], edges)
    home = np.array(
        [e.regime in favourable.get(e.signal[0], frozenset()) for e in entries], dtype=np.float64
    )
    n = len(edges) - 1
    liked = np.bincount(period, weights=home, minlength=n)
    every = np.bincount(period, weights=np.ones(len(entries)), minlength=n)
    return _resampled(lambda some: _over(liked[some].sum(axis=1), every[some].sum(axis=1)), rows)


def _resampled(figure: Callable[[Rows], FloatArray], rows: Rows) -> Interval:
    whole = np.arange(rows.shape[1], dtype=np.int64)[None, :]
    return interval(_known(figure(whole)[0]), figure(rows))


# -- arithmetic ------------------------------------------------------------------------------------


def _sums(trades: Sequence[Trade], edges: FloatArray) -> _Sums:
    period = period_of([trade.closed_at_ms for trade in trades], edges)
    pnl = np.array([float(trade.pnl_quote) for trade in trades])
    has_r = np.array([trade.r_multiple is not None for trade in trades], dtype=np.float64)
    r = np.array([trade.r_multiple or 0.0 for trade in trades])
    n = len(edges) - 1

    def summed(weights: FloatArray) -> FloatArray:
        return np.bincount(period, weights=weights, minlength=n).astype(np.float64)

    return _Sums(
        count=summed(np.ones(len(trades))),
        count_r=summed(has_r),
        total_r=summed(r),
        wins=summed((pnl > 0).astype(np.float64)),
        gross_win=summed(np.maximum(pnl, 0.0)),
        gross_loss=summed(np.maximum(-pnl, 0.0)),
    )


def period_of(times_ms: Sequence[int], edges: FloatArray) -> npt.NDArray[np.int64]:
    at = np.searchsorted(edges, np.array(times_ms, dtype=np.float64), side="right") - 1
    return np.clip(at, 0, len(edges) - 2).astype(np.int64)


def _over(top: FloatArray, bottom: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: FloatArray = np.where(bottom > 0.0, top / bottom, np.nan)
    return ratio


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
