"""Statistics of closed trades, each new one in constant time.

A figure that its data does not define is None, never 0, infinity or NaN.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from engine.ledger_state import DUST
from engine.series import Series
from engine.types.ledger import ZERO, Trade


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
        self._quote = Series()
        self._r = Series()
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
