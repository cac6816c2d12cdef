"""Statistics: the constant-time accumulators against a recomputation from all the data."""

import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.equity_performance import YEAR_MS, EquityStatistics, EquityStats
from engine.performance import (
    Cut,
    TradeBook,
    TradeStatistics,
    trade_statistics,
)
from engine.types.ledger import Trade
from engine.types.opinions import Side
from tests.engine.books import BTC, D

MINUTE_MS = 60_000


def trade(pnl: str | Decimal, r: float | None = None, **changes: object) -> Trade:
    fields: dict[str, object] = {
        "trade_id": "t",
        "strategy": "ema-trend",
        "symbol": BTC,
        "side": Side.BUY,
        "quantity_base": D("1"),
        "entry_price": D("100"),
        "exit_price": D("100"),
        "fees_quote": D("0.1"),
        "pnl_quote": D(pnl),
        "r_multiple": r,
        "opened_at_ms": 0,
        "closed_at_ms": 1000,
        "entry_regime": "TRENDING",
        "exit_regime": "QUIET",
        "exit_reason": "signal",
        "entry_order_id": "a",
        "exit_order_id": "b",
    }
    return Trade(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_known_set_of_trades_has_its_known_figures() -> None:
    """OPT-78: worked by hand."""
    stats = trade_statistics([trade(p, r) for p, r in [("30", 3.0), ("-10", -1.0), ("10", None)]])
    assert (stats.count, stats.wins, stats.losses, stats.count_r) == (3, 2, 1, 2)
    assert (stats.pnl_quote, stats.fees_quote) == (D("30"), D("0.3"))
    assert stats.expectancy_quote == pytest.approx(10.0)
    assert stats.expectancy_r == pytest.approx(1.0)
    assert stats.profit_factor == pytest.approx(4.0)
    assert stats.win_rate == pytest.approx(2 / 3)
    assert stats.sharpe == pytest.approx(10.0 / 20.0)
    assert stats.sortino == pytest.approx(10.0 / math.sqrt(100.0 / 3))
    assert stats.max_drawdown_quote == pytest.approx(10.0)
    assert (stats.streak, stats.longest_win_streak, stats.longest_loss_streak) == (1, 1, 1)
    assert (stats.average_win_quote, stats.average_loss_quote) == (20.0, -10.0)
    assert (stats.best_quote, stats.worst_quote) == (30.0, -10.0)
    assert stats.average_holding_ms == 1000.0
    assert stats.max_notional_quote == D("100")


def test_swept_dust_is_in_the_profit_and_in_nothing_else() -> None:
    """OPT-78: neither a win nor a loss, and it ends no streak."""
    real = [trade("30", 3.0), trade("10", 1.0)]
    dust = trade("-0.02", -1.0, exit_reason="dust", fees_quote=D("0.02"))
    told, without = trade_statistics([real[0], dust, real[1]]), trade_statistics(real)
    assert (told.pnl_quote, told.fees_quote) == (D("39.98"), D("0.22"))
    assert replace(told, pnl_quote=D("40"), fees_quote=D("0.2")) == without
    assert trade_statistics([dust, *real]).worst_quote == 10.0


def test_no_trades_have_no_figures_rather_than_zeros() -> None:
    """OPT-78: None is not 0 and not NaN."""
    stats = trade_statistics([])
    undefined = (
        stats.win_rate,
        stats.expectancy_quote,
        stats.expectancy_r,
        stats.profit_factor,
        stats.average_win_quote,
        stats.best_quote,
        stats.sharpe,
        stats.sharpe_r,
        stats.sortino,
        stats.average_holding_ms,
    )
    assert undefined == (None,) * len(undefined)
    assert (stats.count, stats.pnl_quote) == (0, 0)


def test_winners_alone_have_no_profit_factor_and_equal_trades_no_sharpe() -> None:
    """OPT-78"""
    stats = trade_statistics([trade("0.1")] * 7)
    assert (stats.profit_factor, stats.sharpe, stats.sortino) == (None, None, None)
    assert stats.expectancy_quote == pytest.approx(0.1)


def _brute_drawdown(values: list[float]) -> float:
    total = np.concatenate([[0.0], np.cumsum(values)])
    return float(np.max(np.maximum.accumulate(total) - total))


def _brute_runs(values: list[float], sign: int) -> int:
    runs = "".join("x" if v * sign > 0 else " " for v in values).split()
    return max((len(run) for run in runs), default=0)


def _assert_brute(stats: TradeStatistics, trades: list[Trade]) -> None:
    pnl = [float(t.pnl_quote) for t in trades]
    r = [t.r_multiple for t in trades if t.r_multiple is not None]
    wins, losses = [p for p in pnl if p > 0], [p for p in pnl if p < 0]
    assert stats.pnl_quote == sum(t.pnl_quote for t in trades)
    assert (stats.wins, stats.losses, stats.count) == (len(wins), len(losses), len(pnl))
    assert stats.expectancy_quote == pytest.approx(np.mean(pnl), rel=1e-9, abs=1e-9)
    assert (stats.expectancy_r is None) == (not r)
    if r:
        assert stats.expectancy_r == pytest.approx(np.mean(r), rel=1e-9, abs=1e-9)
    assert (stats.profit_factor is None) == (not losses)
    if losses:
        assert stats.profit_factor == pytest.approx(sum(wins) / -sum(losses))
    if len(pnl) > 1 and np.std(pnl) > 1e-6:
        assert stats.sharpe == pytest.approx(np.mean(pnl) / np.std(pnl, ddof=1), rel=1e-6, abs=1e-9)
    if len(pnl) > 1 and losses:
        downside = math.sqrt(np.mean(np.minimum(pnl, 0.0) ** 2))
        assert stats.sortino == pytest.approx(np.mean(pnl) / downside, rel=1e-9, abs=1e-9)
    assert stats.max_drawdown_quote == pytest.approx(_brute_drawdown(pnl), abs=1e-6)
    assert stats.max_drawdown_r == pytest.approx(_brute_drawdown(r), abs=1e-9)
    assert stats.longest_win_streak == _brute_runs(pnl, 1)
    assert stats.longest_loss_streak == _brute_runs(pnl, -1)


some_trades = st.lists(
    st.builds(
        trade,
        st.decimals("-500", "500", places=2),
        st.none() | st.floats(-3.0, 5.0),
        strategy=st.sampled_from(["breakout", "ema-trend"]),
        symbol=st.sampled_from([BTC, "ETH/USDT"]),
        entry_regime=st.sampled_from(["TRENDING", "QUIET"]),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(some_trades)
def test_every_cut_matches_a_recomputation_from_its_trades(trades: list[Trade]) -> None:
    """OPT-78, OPT-29"""
    book = TradeBook()
    for one in trades:
        book.add(one)
    for cut, stats in book.by_key().items():
        chosen = [
            t
            for t in trades
            if cut.strategy in (None, t.strategy)
            and cut.symbol in (None, t.symbol)
            and cut.regime in (None, t.entry_regime)
        ]
        _assert_brute(stats, chosen)
    assert Cut() in book.by_key()
    assert book.cut().count == len(trades)


@settings(max_examples=50, deadline=None)
@given(some_trades)
def test_totals_of_strategies_symbols_and_regimes_sum_to_the_whole(trades: list[Trade]) -> None:
    """OPT-29: to the cent, in decimals."""
    book = TradeBook()
    for one in trades:
        book.add(one)
    whole = book.cut().pnl_quote
    cuts = book.by_key()
    for part in ("strategy", "symbol", "regime"):
        alone = [s for c, s in cuts.items() if getattr(c, part) is not None and _parts(c) == 1]
        assert sum(s.pnl_quote for s in alone) == whole
    assert sum(s.pnl_quote for c, s in cuts.items() if _parts(c) == 3) == whole


def _parts(cut: Cut) -> int:
    return sum(part is not None for part in (cut.strategy, cut.symbol, cut.regime))


def test_a_cut_by_two_parts_is_refused() -> None:
    """OPT-78: such a cut is not kept; an empty answer would be a lie."""
    with pytest.raises(ValueError, match="was 2"):
        TradeBook().cut(strategy="ema-trend", regime="QUIET")


def test_consecutive_losses_run_over_all_strategies_until_a_win() -> None:
    """D-27"""
    book = TradeBook()
    assert book.consecutive_losses == 0
    for strategy in ("ema-trend", "breakout", "ema-trend"):
        book.add(trade("-1", strategy=strategy))
    assert book.consecutive_losses == 3
    book.add(trade("1"))
    assert book.consecutive_losses == 0


def equity(points: list[float], step_ms: int = MINUTE_MS) -> EquityStatistics:
    stats = EquityStats()
    for n, value in enumerate(points):
        stats.add(n * step_ms, value)
    return stats.statistics()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.floats(50.0, 200.0), min_size=3, max_size=60),
    st.sampled_from([MINUTE_MS, 86_400_000]),
)
def test_equity_figures_match_a_recomputation(points: list[float], step_ms: int) -> None:
    """OPT-78, OPT-88"""
    stats = equity(points, step_ms)
    curve = np.array(points)
    returns = curve[1:] / curve[:-1] - 1.0
    year = YEAR_MS / step_ms
    assert stats.steps == len(returns)
    assert stats.total_return_fraction == pytest.approx(curve[-1] / curve[0] - 1.0, abs=1e-9)
    if np.std(returns) > 1e-6:
        sharpe = np.mean(returns) / np.std(returns, ddof=1) * math.sqrt(year)
        assert stats.sharpe == pytest.approx(sharpe, rel=1e-6, abs=1e-6)
    if returns.min() < 0:
        downside = math.sqrt(np.mean(np.minimum(returns, 0.0) ** 2))
        assert stats.sortino == pytest.approx(np.mean(returns) / downside * math.sqrt(year))
    falls = 1.0 - curve / np.maximum.accumulate(curve)
    assert stats.max_drawdown_fraction == pytest.approx(falls.max(), abs=1e-9)


def test_a_day_of_minutes_and_a_day_in_one_step_are_annualised_by_their_own_length() -> None:
    """OPT-88"""
    up_and_down = [100.0, 101.0, 100.0, 102.0]
    minutes, days = equity(up_and_down), equity(up_and_down, 86_400_000)
    assert minutes.sharpe is not None
    assert days.sharpe is not None
    assert minutes.sharpe / days.sharpe == pytest.approx(math.sqrt(1440))


def test_a_deposit_is_no_return_and_no_recovery() -> None:
    """D-59"""
    stats = EquityStats()
    stats.add(0, 100.0)
    stats.add(1, 80.0, exposure=40.0)
    stats.add(2, 180.0, deposit=100.0)
    found = stats.statistics()
    assert found.total_return_fraction == pytest.approx(-0.2)
    assert found.max_drawdown_fraction == pytest.approx(0.2)
    assert found.longest_drawdown_ms == 2
    assert found.max_exposure_fraction == 0.5


def test_several_points_of_one_time_are_one_step() -> None:
    """OPT-78: two symbols close their bars in the same millisecond."""
    stats = EquityStats()
    for ts_ms, value in [(0, 100.0), (0, 100.0), (1, 90.0), (1, 110.0)]:
        stats.add(ts_ms, value)
    found = stats.statistics()
    assert found.steps == 1
    assert found.total_return_fraction == pytest.approx(0.1)
    assert found.max_drawdown_fraction == 0.0


def test_asking_for_the_figures_changes_nothing() -> None:
    """OPT-78"""
    stats = EquityStats()
    for n, value in enumerate([100.0, 90.0, 95.0]):
        stats.add(n, value)
        stats.statistics()
    assert stats.statistics() == equity([100.0, 90.0, 95.0], 1)


def test_an_empty_or_flat_curve_has_no_ratios() -> None:
    """OPT-78"""
    empty, flat = EquityStats().statistics(), equity([100.0] * 5)
    assert (empty.total_return_fraction, empty.sharpe, empty.max_exposure_fraction) == (None,) * 3
    assert (flat.total_return_fraction, flat.sharpe, flat.sortino) == (0.0, None, None)


@pytest.mark.parametrize(("ts_ms", "value"), [(-1, 100.0), (1, math.nan), (1, math.inf)])
def test_a_point_out_of_order_or_not_finite_is_refused(ts_ms: int, value: float) -> None:
    """OPT-78"""
    stats = EquityStats()
    stats.add(0, 100.0)
    with pytest.raises(ValueError, match="was"):
        stats.add(ts_ms, value)
