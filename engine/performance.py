"""Statistics of closed trades and of equity, each new value in constant time.

A figure that its data does not define is None, never 0, infinity or NaN.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from math import sqrt

from engine.ledger_state import DUST
from engine.types.ledger import ZERO, Trade

YEAR_MS = 365.25 * 86_400_000

# Spreads below this share of the mean are rounding, not variation: a ratio to them is noise.
_NO_SPREAD = 1e-12


@dataclass(frozen=True, slots=True)
class TradeStatistics:
    """Closed trades of one cut, in the order they were closed. PnL is net of fees, in quote.

    Dust that was swept out of the books (F-019) is in ``pnl_quote`` and ``fees_quote`` and in
    nothing else: its few cents would count as a win or a loss like any other.

    * ``wins`` / ``losses``: trades with PnL above / below 0; ``win_rate`` = wins / count.
    * ``expectancy_quote``: mean PnL. ``expectancy_r``: mean R over the ``count_r`` trades that
      had a stop; None without one.
    * ``profit_factor``: sum of wins / |sum of losses|; None without a loss.
    * ``sharpe``: mean / standard deviation (n - 1) of PnL per trade, not annualised; ``sharpe_r``
      the same of R. ``sortino``: mean / sqrt(mean(min(PnL, 0)^2)). None below two trades or
      without spread (for Sortino: without a loss).
    * ``max_drawdown_quote``: largest fall of cumulated PnL from its running peak (peak >= 0),
      >= 0; ``max_drawdown_r`` the same of cumulated R.
    * ``streak``: trailing run, > 0 wins, < 0 losses, 0 after a trade with PnL 0.
    * ``max_notional_quote``: largest entry notional of one trade.
    """

    count: int
    wins: int
    losses: int
    pnl_quote: Decimal
    fees_quote: Decimal
    win_rate: float | None
    expectancy_quote: float | None
    count_r: int
    expectancy_r: float | None
    profit_factor: float | None
    average_win_quote: float | None
    average_loss_quote: float | None
    best_quote: float | None
    worst_quote: float | None
    sharpe: float | None
    sharpe_r: float | None
    sortino: float | None
    max_drawdown_quote: float
    max_drawdown_r: float
    streak: int
    longest_win_streak: int
    longest_loss_streak: int
    average_holding_ms: float | None
    max_notional_quote: Decimal


class _Series:
    """Mean, spread, downside and drawdown of a stream of numbers (Welford's recurrence)."""

    __slots__ = ("count", "down_squares", "drawdown", "mean", "peak", "squares", "total")

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.squares = 0.0
        self.down_squares = 0.0
        self.total = 0.0
        self.peak = 0.0
        self.drawdown = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        delta = value - self.mean
        self.mean += delta / self.count
        self.squares += delta * (value - self.mean)
        if value < 0.0:
            self.down_squares += value * value
        self.total += value
        if self.total > self.peak:
            self.peak = self.total
        elif self.peak - self.total > self.drawdown:
            self.drawdown = self.peak - self.total

    def mean_or_none(self) -> float | None:
        return self.mean if self.count else None

    def sharpe(self) -> float | None:
        if self.count < 2:
            return None
        deviation = sqrt(self.squares / (self.count - 1))
        return self.mean / deviation if deviation > _NO_SPREAD * abs(self.mean) else None

    def sortino(self) -> float | None:
        if self.count < 2 or self.down_squares == 0.0:
            return None
        return self.mean / sqrt(self.down_squares / self.count)


class TradeStats:
    """Accumulator of one cut; ``add`` takes trades in the order they were closed."""

    __slots__ = (
        "_best",
        "_fees",
        "_gross_loss",
        "_gross_win",
        "_holding_ms",
        "_longest_loss",
        "_longest_win",
        "_losses",
        "_max_notional",
        "_pnl",
        "_quote",
        "_r",
        "_streak",
        "_wins",
        "_worst",
    )

    def __init__(self) -> None:
        self._quote = _Series()
        self._r = _Series()
        self._pnl = ZERO
        self._fees = ZERO
        self._max_notional = ZERO
        self._wins = self._losses = 0
        self._gross_win = self._gross_loss = 0.0
        self._best = self._worst = 0.0
        self._streak = self._longest_win = self._longest_loss = 0
        self._holding_ms = 0

    @property
    def streak(self) -> int:
        """Trailing run: > 0 wins, < 0 losses."""
        return self._streak

    def add(self, trade: Trade) -> None:
        """Take in one closed trade."""
        self.take(trade, float(trade.pnl_quote), trade.quantity_base * trade.entry_price)

    def take(self, trade: Trade, pnl: float, notional: Decimal) -> None:
        """As ``add``, with PnL and entry notional converted once for all the cuts of a trade."""
        self._pnl += trade.pnl_quote
        self._fees += trade.fees_quote
        if trade.exit_reason == DUST:
            return
        first = self._quote.count == 0
        self._quote.add(pnl)
        if trade.r_multiple is not None:
            self._r.add(trade.r_multiple)
        if first or pnl > self._best:
            self._best = pnl
        if first or pnl < self._worst:
            self._worst = pnl
        self._holding_ms += trade.closed_at_ms - trade.opened_at_ms
        if notional > self._max_notional:
            self._max_notional = notional
        self._count_streak(pnl)

    def _count_streak(self, pnl: float) -> None:
        # Comparisons, not max(): five cuts a trade make the calls the largest cost.
        if pnl > 0.0:
            self._wins += 1
            self._gross_win += pnl
            self._streak = self._streak + 1 if self._streak > 0 else 1
            if self._streak > self._longest_win:
                self._longest_win = self._streak
        elif pnl < 0.0:
            self._losses += 1
            self._gross_loss -= pnl
            self._streak = self._streak - 1 if self._streak < 0 else -1
            if -self._streak > self._longest_loss:
                self._longest_loss = -self._streak
        else:
            self._streak = 0

    def statistics(self) -> TradeStatistics:
        """The figures so far."""
        count = self._quote.count
        return TradeStatistics(
            count=count,
            wins=self._wins,
            losses=self._losses,
            pnl_quote=self._pnl,
            fees_quote=self._fees,
            win_rate=_ratio(self._wins, count),
            expectancy_quote=self._quote.mean_or_none(),
            count_r=self._r.count,
            expectancy_r=self._r.mean_or_none(),
            profit_factor=_ratio(self._gross_win, self._gross_loss),
            average_win_quote=_ratio(self._gross_win, self._wins),
            average_loss_quote=_ratio(-self._gross_loss, self._losses),
            best_quote=self._best if count else None,
            worst_quote=self._worst if count else None,
            sharpe=self._quote.sharpe(),
            sharpe_r=self._r.sharpe(),
            sortino=self._quote.sortino(),
            max_drawdown_quote=self._quote.drawdown,
            max_drawdown_r=self._r.drawdown,
            streak=self._streak,
            longest_win_streak=self._longest_win,
            longest_loss_streak=self._longest_loss,
            average_holding_ms=_ratio(self._holding_ms, count),
            max_notional_quote=self._max_notional,
        )


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def trade_statistics(trades: Iterable[Trade]) -> TradeStatistics:
    """Statistics of trades given in the order they were closed."""
    stats = TradeStats()
    for trade in trades:
        stats.add(trade)
    return stats.statistics()


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of all trades: None = any. ``regime`` is the regime at entry (OPT-29)."""

    strategy: str | None = None
    symbol: str | None = None
    regime: str | None = None


class TradeBook:
    """Statistics by cut: all trades, each strategy, symbol and regime, and the three together."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[str | None, str | None, str | None], TradeStats] = {}

    def add(self, trade: Trade) -> None:
        """Take in one closed trade, in every cut it belongs to."""
        strategy, symbol, regime = trade.strategy, trade.symbol, trade.entry_regime
        pnl, notional = float(trade.pnl_quote), trade.quantity_base * trade.entry_price
        for key in (
            (None, None, None),
            (strategy, None, None),
            (None, symbol, None),
            (None, None, regime),
            (strategy, symbol, regime),
        ):
            stats = self._by_key.get(key)
            if stats is None:
                stats = self._by_key[key] = TradeStats()
            stats.take(trade, pnl, notional)

    def cut(
        self, *, strategy: str | None = None, symbol: str | None = None, regime: str | None = None
    ) -> TradeStatistics:
        """Statistics of one kept cut; that of no trades where none is in it.

        Raises:
            ValueError: two of the three were given; such a cut is not kept.
        """
        given = sum(part is not None for part in (strategy, symbol, regime))
        if given == 2:
            raise ValueError("a cut has none, one or all three of its parts, number given was 2")
        stats = self._by_key.get((strategy, symbol, regime))
        return stats.statistics() if stats is not None else TradeStats().statistics()

    def by_key(self) -> dict[Cut, TradeStatistics]:
        """All cuts, in the order their first trade was closed."""
        return {Cut(*key): stats.statistics() for key, stats in self._by_key.items()}

    @property
    def consecutive_losses(self) -> int:
        """Losing trades in a row up to now, over all strategies (D-27)."""
        stats = self._by_key.get((None, None, None))
        return max(-stats.streak, 0) if stats is not None else 0


@dataclass(frozen=True, slots=True)
class EquityStatistics:
    """An equity curve; returns are those of one step each, deposits taken out.

    * ``total_return_fraction``: product of (1 + return) - 1 (time-weighted).
    * ``sharpe``: mean / standard deviation (n - 1) of returns * sqrt(steps a year), risk-free rate
      0; ``sortino``: mean / sqrt(mean(min(return, 0)^2)) * sqrt(steps a year). Steps a year =
      365.25 days over the mean step really seen. None below two returns or without spread.
    * ``max_drawdown_fraction``: largest fall of the time-weighted index from its running peak, in
      [0, 1]; ``longest_drawdown_ms``: longest time below a peak, the open one included.
    * ``max_exposure_fraction``: largest exposure / equity seen; None without a positive equity.
    """

    steps: int
    total_return_fraction: float | None
    sharpe: float | None
    sortino: float | None
    max_drawdown_fraction: float
    longest_drawdown_ms: int
    max_exposure_fraction: float | None


class EquityStats:
    """Accumulator over equity points; several points of one time count as the last of them."""

    __slots__ = (
        "_deposits",
        "_exposure",
        "_index",
        "_last",
        "_longest_ms",
        "_max_drawdown",
        "_now",
        "_peak",
        "_peak_ms",
        "_returns",
        "_start_ms",
    )

    def __init__(self) -> None:
        self._returns = _Series()
        self._last: tuple[int, float] | None = None  # the point before the current time
        self._now: tuple[int, float] | None = None
        self._deposits = 0.0
        self._exposure: float | None = None
        self._index = 1.0
        self._peak = 1.0
        self._peak_ms = 0
        self._start_ms = 0
        self._max_drawdown = 0.0
        self._longest_ms = 0

    def add(self, ts_ms: int, equity: float, exposure: float = 0.0, deposit: float = 0.0) -> None:
        """Take in one point; ``deposit`` came in (or went out, < 0) since the point before.

        Raises:
            ValueError: time went back, or a number is not finite.
        """
        if not (equity - equity == 0.0 and deposit - deposit == 0.0 and exposure - exposure == 0.0):
            raise ValueError(f"equity and deposit must be finite, was {equity} and {deposit}")
        if self._now is None:
            self._start_ms = self._peak_ms = ts_ms
        elif ts_ms < self._now[0]:
            raise ValueError(f"equity points must not go back, last was {self._now[0]}")
        elif ts_ms > self._now[0]:
            self._settle()
        self._now = (ts_ms, equity)
        self._deposits += deposit
        if equity > 0.0:
            share = exposure / equity
            self._exposure = share if self._exposure is None else max(self._exposure, share)

    def _settle(self) -> None:
        """Turn the step that ended at the current time into a return."""
        now, last = self._now, self._last
        if now is not None and last is not None and last[1] > 0.0:
            change = (now[1] - self._deposits) / last[1] - 1.0
            self._returns.add(change)
            self._index *= 1.0 + change
            self._follow_peak(now[0])
        self._last, self._deposits = now, 0.0

    def _follow_peak(self, ts_ms: int) -> None:
        if self._index >= self._peak:
            self._peak, self._peak_ms = self._index, ts_ms
            return
        self._max_drawdown = max(self._max_drawdown, min(1.0 - self._index / self._peak, 1.0))
        self._longest_ms = max(self._longest_ms, ts_ms - self._peak_ms)

    def statistics(self) -> EquityStatistics:
        """The figures so far, the current time included."""
        view = self._copy()
        view._settle()
        returns = view._returns
        steps_a_year = None
        if view._now is not None and returns.count:
            steps_a_year = returns.count * YEAR_MS / (view._now[0] - view._start_ms)
        return EquityStatistics(
            steps=returns.count,
            total_return_fraction=view._index - 1.0 if returns.count else None,
            sharpe=_annual(returns.sharpe(), steps_a_year),
            sortino=_annual(returns.sortino(), steps_a_year),
            max_drawdown_fraction=view._max_drawdown,
            longest_drawdown_ms=view._longest_ms,
            max_exposure_fraction=view._exposure,
        )

    def _copy(self) -> EquityStats:
        twin = EquityStats()
        for name in EquityStats.__slots__:
            setattr(twin, name, getattr(self, name))
        twin._returns = _Series()
        for name in _Series.__slots__:
            setattr(twin._returns, name, getattr(self._returns, name))
        return twin


def _annual(ratio: float | None, steps_a_year: float | None) -> float | None:
    return ratio * sqrt(steps_a_year) if ratio is not None and steps_a_year is not None else None
