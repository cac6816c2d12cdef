"""Figures of an account against brute force."""

import math
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest

from engine.types.ledger import Trade
from engine.types.opinions import Side
from trades.core import performance as p

HOUR = 3_600_000
START_MS = 1_767_225_600_000  # 2026-01-01


def times(n, step=HOUR):
    return START_MS + step * np.arange(n, dtype=np.int64)


def walk(n, seed=3, spread=0.01):
    return np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0005, spread, n)))


def trade(pnl, r=None, strategy="a"):
    return Trade(
        "t",
        strategy,
        "BTC/USDT",
        Side.BUY,
        Decimal(1),
        Decimal(100),
        Decimal(100) + Decimal(str(pnl)),
        Decimal("0.1"),
        Decimal(str(pnl)),
        r,
        START_MS,
        START_MS + HOUR,
        "QUIET",
        "QUIET",
        "STOP",
        "e",
        "x",
    )


def test_growth_is_equity_over_the_start_where_nothing_came_or_went():
    equity = 5_000.0 * walk(50)
    assert p.growth_index(times(50), equity, [], 5_000.0) == pytest.approx(equity / 5_000.0)


def test_money_that_comes_and_goes_is_no_return():
    """D-59: the same trading with and without deposits has the same growth at every point."""
    ts_ms, growth = times(60), walk(60)
    given = {10: 4_000.0, 25: -2_500.0, 25.5: 300.0, 59: 900.0}
    equity, units, contributions = [], 1_000.0, []
    for row in range(60):
        for at in (row, row + 0.5):
            if at in given:
                before = units * growth[row]
                contributions.append(p.Contribution(int(ts_ms[row]), before, given[at]))
                units = (before + given[at]) / growth[row]
        equity.append(units * growth[row])
    found = p.growth_index(ts_ms, np.array(equity), contributions, 1_000.0)
    assert found == pytest.approx(growth)


def test_growth_from_nothing_is_refused_and_not_infinite():
    with pytest.raises(p.GrowthUndefined):
        p.growth_index(times(2), np.array([1.0, 2.0]), [], 0.0)
    gone = [p.Contribution(int(times(2)[1]), 0.0, 100.0)]
    with pytest.raises(p.GrowthUndefined):
        p.growth_index(times(2), np.array([1.0, 100.0]), gone, 10.0)


@pytest.mark.parametrize("seed", range(6))
def test_drawdowns_are_those_a_loop_over_the_curve_finds(seed):
    ts_ms, index = times(300), walk(300, seed)
    peak, falls, fall = 1.0, [], None
    before_ms = int(ts_ms[0])
    for at, level in zip(ts_ms.tolist(), index.tolist(), strict=True):
        if level >= peak:
            if fall is not None:
                falls.append((*fall, at))
            fall, peak = None, level
        else:
            depth = 1 - level / peak
            if fall is None:
                fall = (before_ms, at, depth)
            elif depth > fall[2]:
                fall = (fall[0], at, depth)
        before_ms = at
    if fall is not None:
        falls.append((*fall, None))
    falls.sort(key=lambda row: -row[2])
    found = p.drawdowns(ts_ms, index)
    assert len(found) == min(5, len(falls))
    for row, (started, trough, depth, recovered) in zip(found, falls, strict=False):
        assert (row.started_ms, row.trough_ms, row.recovered_ms) == (started, trough, recovered)
        assert row.depth_fraction == pytest.approx(depth)
        until = int(ts_ms[-1]) if recovered is None else recovered
        assert row.days == pytest.approx((until - started) / p.DAY_MS)


def test_a_curve_that_only_rises_was_never_under_water():
    index = np.linspace(1.0, 2.0, 20)
    assert p.drawdowns(times(20), index) == []
    assert p.underwater(index).max() == 0.0


def test_a_loss_from_the_first_point_on_counts_from_the_start():
    assert p.underwater(np.array([0.9, 0.95])) == pytest.approx([0.1, 0.05])
    found = p.drawdowns(times(2), np.array([0.9, 0.95]))
    assert found[0].depth_fraction == pytest.approx(0.1)
    assert found[0].recovered_ms is None


def test_months_are_utc_and_their_product_is_the_whole_return():
    ts_ms, index = times(200, 12 * HOUR), walk(200)
    by_month = {}
    for at, level in zip(ts_ms.tolist(), index.tolist(), strict=True):
        day = datetime.fromtimestamp(at / 1000, tz=UTC)
        by_month[day.year, day.month] = level
    before, expected = 1.0, []
    for (year, month), level in by_month.items():
        expected.append((year, month, pytest.approx(level / before - 1)))
        before = level
    found = p.month_returns(ts_ms, index)
    assert [(m.year, m.month, m.return_fraction) for m in found] == expected
    years = p.year_returns(found)
    assert math.prod(1 + value for value in years.values()) == pytest.approx(index[-1])
    assert p.month_returns(times(0), np.empty(0)) == []


def test_sharpe_and_sortino_are_of_daily_returns_a_year():
    ts_ms, index = times(24 * 45), walk(24 * 45)
    days = [1.0, *index[23::24]]
    returns = np.diff(days) / np.array(days[:-1])
    n, sharpe, sortino = p.daily_statistics(ts_ms, index)
    # the first day begins at its first point, an hour short of a day
    a_year = n * p.YEAR_MS / (int(ts_ms[-1] - ts_ms[0]) + 1)
    assert n == 45
    assert sharpe == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(a_year))
    down = math.sqrt(np.mean(np.minimum(returns, 0.0) ** 2))
    assert sortino == pytest.approx(returns.mean() / down * math.sqrt(a_year))


@pytest.mark.parametrize(("days", "is_given"), [(30, False), (31, True), (365.25, True)])
def test_a_yearly_rate_is_given_only_after_thirty_days(days, is_given):
    ts_ms = np.array([START_MS, START_MS + round(days * p.DAY_MS)])
    found = p.yearly_growth(ts_ms, np.array([1.0, 1.1]))
    assert (found is not None) is is_given
    if days > 365:
        assert found == pytest.approx(0.1)
    assert p.yearly_growth(ts_ms, np.array([1.0, 0.0])) is None


def test_exposure_is_weighted_by_the_time_it_lasted():
    ts_ms = START_MS + np.array([0, 1, 4, 10]) * HOUR
    equity = np.array([100.0, 100.0, 200.0, 100.0])
    found = p.exposure_of(ts_ms, equity, np.array([0.0, 50.0, 100.0, 99.0]))
    assert found.mean_fraction == pytest.approx((1 * 0 + 3 * 0.5 + 6 * 0.5) / 10)
    assert found.in_market_fraction == pytest.approx(0.9)
    assert found.mean_equity == pytest.approx((1 * 100 + 3 * 100 + 6 * 200) / 10)
    assert p.exposure_of(ts_ms[:1], equity[:1], equity[:1]).mean_fraction is None


@pytest.mark.parametrize("scale", [0.003, 1.0, 7_000.0])
def test_every_value_is_counted_once_in_its_bar_and_zero_is_an_edge(scale):
    values = (scale * np.random.default_rng(1).standard_normal(500)).tolist()
    found = p.histogram(values)
    assert 0.0 in found.edges
    assert 8 <= len(found.counts) <= 40
    for low, high, count in zip(found.edges, found.edges[1:], found.counts, strict=False):
        assert count == sum(low <= value < high for value in values)
    assert sum(found.counts) == 500


def test_one_value_and_no_value_have_a_distribution():
    assert sum(p.histogram([0.0]).counts) == 1
    assert p.histogram([-3.0, -3.0]).counts.count(2) == 1
    assert p.histogram([]) == p.Histogram([], [])


def test_groups_hold_each_trade_once_and_the_best_comes_first():
    trades = [trade(5, strategy="a"), trade(-1, strategy="b"), trade(9, strategy="b")]
    found = p.groups(trades, lambda place, row: f"{row.strategy}{place > 1}")
    assert [(g.key, g.statistics.count) for g in found] == [
        ("bTrue", 1),
        ("aFalse", 1),
        ("bFalse", 1),
    ]


@pytest.mark.parametrize("n", [29, 30])
def test_figures_of_too_few_trades_say_so_and_give_no_number(n):
    results = [(-1 if i % 3 else 4, None) for i in range(n)]
    book = [trade(pnl, r) for pnl, r in results]
    group = p.groups(book, lambda _, row: row.strategy)[0]
    figures = {f.code: f for f in p.trade_figures(group.statistics, "USDT")}
    assert figures["trades"].value == n
    wins = sum(pnl > 0 for pnl, _ in results)
    if n < 30:
        for code in ("win_rate", "profit_factor", "expectancy_quote"):
            assert figures[code].value is None
            assert figures[code].why_not == "too few trades (29 of 30)"
    else:
        assert figures["win_rate"].value == pytest.approx(wins / n)
        assert figures["profit_factor"].value == pytest.approx(4 * wins / (n - wins))
        assert figures["expectancy_quote"].value == pytest.approx((4 * wins - (n - wins)) / n)
    assert figures["expectancy_r"].why_not == "too few trades with a stop (0 of 30)"


def test_thinning_for_the_screen_keeps_the_last_point_and_the_deepest_fall():
    index = walk(5_000)
    index[1_234] *= 0.5
    rows = p.shown_rows(index, 100)
    assert len(rows) <= 101
    assert rows[-1] == 4_999
    assert int(np.argmax(p.underwater(index))) in rows
    assert p.shown_rows(index[:7], 100).tolist() == list(range(7))


def test_figures_of_growth_say_what_is_missing():
    ts_ms, index = times(24 * 40), walk(24 * 40)
    seen = p.exposure_of(ts_ms, index, index * 0.25)
    figures = {f.code: f for f in p.equity_figures(ts_ms, index, seen)}
    assert figures["return"].value == pytest.approx(index[-1] - 1)
    assert figures["max_drawdown"].value == pytest.approx(float(p.underwater(index).max()))
    assert figures["exposure"].value == pytest.approx(0.25)
    assert figures["sharpe"].value is not None
    short = {f.code: f for f in p.equity_figures(ts_ms[:30], index[:30], seen)}
    assert short["sharpe"].value is None
    assert short["sharpe"].why_not == "too few days (2 of 30)"
    assert short["cagr"].why_not == "1.2 days traded, more than 30 are needed"
