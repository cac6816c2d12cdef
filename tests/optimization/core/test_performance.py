"""The decomposition: every cut against a recomputation, restarts, rebuilds, undefined figures."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.performance import Cut, trade_statistics
from engine.types.ledger import Trade
from optimization.core.cuts import CUTS_A_TRADE, cuts_of
from optimization.core.errors import EvidenceError
from optimization.core.performance import Decomposition, TradeColumns
from optimization.core.trade_sums import Figures
from tests.optimization.core.trades import closed, every

STRATEGIES = ("breakout", "ema-trend")
SYMBOLS = ("BTC/USDT", "ETH/USDT")
REGIMES = ("QUIET", "RANGING", "TRENDING")

one_trade = st.tuples(
    st.decimals("-500", "500", places=2),
    st.none() | st.floats(-3.0, 5.0),
    st.sampled_from(STRATEGIES),
    st.sampled_from(SYMBOLS),
    st.sampled_from(REGIMES),
    st.integers(0, 10**7),
)


@st.composite
def some_trades(draw: st.DrawFn, max_size: int = 60) -> list[Trade]:
    drawn = draw(st.lists(one_trade, min_size=1, max_size=max_size))
    return [
        closed(n, r, pnl=pnl, strategy=strategy, symbol=symbol, regime=regime, held_ms=held)
        for n, (pnl, r, strategy, symbol, regime, held) in enumerate(drawn, 1)
    ]


def book_of(trades: list[Trade], window: int = 50) -> Decomposition:
    book = Decomposition(window)
    for trade in trades:
        book.add(trade)
    return book


def columns_of(trades: list[Trade]) -> TradeColumns:
    return TradeColumns(
        strategies=STRATEGIES,
        symbols=SYMBOLS,
        regimes=REGIMES,
        strategy=np.array([STRATEGIES.index(t.strategy) for t in trades], dtype=np.int64),
        symbol=np.array([SYMBOLS.index(t.symbol) for t in trades], dtype=np.int64),
        regime=np.array([REGIMES.index(t.entry_regime) for t in trades], dtype=np.int64),
        pnl_quote=np.array([float(t.pnl_quote) for t in trades]),
        fees_quote=np.array([float(t.fees_quote) for t in trades]),
        r=np.array([math.nan if t.r_multiple is None else t.r_multiple for t in trades]),
        opened_at_ms=np.array([t.opened_at_ms for t in trades], dtype=np.int64),
        closed_at_ms=np.array([t.closed_at_ms for t in trades], dtype=np.int64),
        last_trade_id=trades[-1].trade_id if trades else "",
    )


def belongs(trade: Trade, cut: Cut) -> bool:
    return all(
        wanted is None or wanted == has
        for wanted, has in (
            (cut.strategy, trade.strategy),
            (cut.symbol, trade.symbol),
            (cut.regime, trade.entry_regime),
        )
    )


def drawdown(values: list[float]) -> float:
    total = np.concatenate([[0.0], np.cumsum(values)])
    return float(np.max(np.maximum.accumulate(total) - total))


def longest_run(values: list[float], sign: int) -> int:
    runs = "".join("x" if v * sign > 0 else " " for v in values).split()
    return max((len(run) for run in runs), default=0)


def trailing_run(values: list[float]) -> int:
    if not values or values[-1] == 0:
        return 0
    sign = 1 if values[-1] > 0 else -1
    length = 0
    for value in reversed(values):
        if value * sign <= 0:
            break
        length += 1
    return sign * length


def assert_figures(found: Figures, trades: list[Trade]) -> None:
    """Recompute every figure of these trades by the book's definition, with numpy."""
    pnl = [float(t.pnl_quote) for t in trades]
    r = [t.r_multiple for t in trades if t.r_multiple is not None]
    exact = sum((t.pnl_quote for t in trades), Decimal(0))
    assert abs(Decimal(found.pnl_quote) - exact) < Decimal("0.001")
    assert found.fees_quote == pytest.approx(float(sum(t.fees_quote for t in trades)))
    _assert_series(
        pnl,
        (found.count, found.expectancy_quote, found.profit_factor, found.sharpe, found.sortino),
        found.max_drawdown_quote,
    )
    _assert_series(
        r,
        (found.count_r, found.expectancy_r, found.profit_factor_r, found.sharpe_r, found.sortino_r),
        found.max_drawdown_r,
    )
    wins, losses = [p for p in pnl if p > 0], [p for p in pnl if p < 0]
    assert (found.wins, found.losses) == (len(wins), len(losses))
    assert found.win_rate == pytest.approx(len(wins) / len(pnl))
    assert (found.best_quote, found.worst_quote) == (max(pnl), min(pnl))
    assert found.average_win_quote == (pytest.approx(np.mean(wins)) if wins else None)
    assert found.average_loss_quote == (pytest.approx(np.mean(losses)) if losses else None)
    assert found.streak == trailing_run(pnl)
    assert found.longest_win_streak == longest_run(pnl, 1)
    assert found.longest_loss_streak == longest_run(pnl, -1)
    held = [t.closed_at_ms - t.opened_at_ms for t in trades]
    assert found.average_holding_ms == pytest.approx(np.mean(held))
    assert found.total_r == pytest.approx(sum(r), abs=1e-9)
    assert found.gained_r == pytest.approx(sum(one for one in r if one > 0), abs=1e-9)
    assert found.lost_r == pytest.approx(-sum(one for one in r if one < 0), abs=1e-9)
    spread = pytest.approx(np.std(r, ddof=1), abs=1e-6) if len(r) > 1 else None
    assert found.deviation_r == spread


def _assert_series(
    values: list[float],
    found: tuple[int, float | None, float | None, float | None, float | None],
    fall: float,
) -> None:
    count, expectancy, factor, sharpe, sortino = found
    gains, lost = sum(v for v in values if v > 0), -sum(v for v in values if v < 0)
    assert count == len(values)
    assert (expectancy is None) == (not values)
    if values:
        assert expectancy == pytest.approx(np.mean(values), rel=1e-9, abs=1e-9)
    assert factor == (pytest.approx(gains / lost) if lost else None)
    spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
    if spread > 1e-6:
        assert sharpe == pytest.approx(np.mean(values) / spread, rel=1e-6, abs=1e-9)
    elif len(values) < 2:
        assert sharpe is None
    downside = math.sqrt(np.mean(np.minimum(values, 0.0) ** 2)) if values else 0.0
    if len(values) > 1 and downside > 1e-6:
        assert sortino == pytest.approx(np.mean(values) / downside, rel=1e-6, abs=1e-9)
    elif len(values) < 2 or downside == 0.0:
        assert sortino is None
    assert fall == pytest.approx(drawdown(values), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(some_trades())
def test_every_cut_over_its_life_matches_a_recomputation(trades: list[Trade]) -> None:
    """OPT-78, OPT-29: strategy, symbol, entry regime and every cross of them."""
    book = book_of(trades)
    cells = {(t.strategy, t.symbol, t.entry_regime) for t in trades}
    assert set(book.cuts()) == {cut for cell in cells for cut in cuts_of(*cell)}
    for cut in book.cuts():
        assert_figures(book.lifetime(cut), [t for t in trades if belongs(t, cut)])


@settings(max_examples=60, deadline=None)
@given(some_trades(), st.integers(2, 12))
def test_every_rolling_cut_is_that_of_its_last_trades_alone(
    trades: list[Trade], window: int
) -> None:
    """OPT-33, OPT-78: a trade older than the window changes nothing."""
    book = book_of(trades, window)
    for cut in book.cuts():
        last = [t for t in trades if belongs(t, cut)][-window:]
        assert_figures(book.rolling(cut), last)
        assert book.rolling(cut) == book_of(last, window).lifetime(Cut())


@settings(max_examples=60, deadline=None)
@given(some_trades(), st.integers(2, 12), st.data())
def test_a_restart_at_any_trade_goes_on_to_the_last_bit(
    trades: list[Trade], window: int, data: st.DataObject
) -> None:
    """OPT-78: state to JSON and back, then the rest, equals never having stopped."""
    stop = data.draw(st.integers(0, len(trades)))
    again = Decomposition.from_state(json.loads(json.dumps(book_of(trades[:stop], window).state())))
    for trade in trades[stop:]:
        again.add(trade)
    whole = book_of(trades, window)
    assert again.state() == whole.state()
    for cut in whole.cuts():
        assert again.rolling(cut) == whole.rolling(cut)
        assert again.recent_r(cut) == whole.recent_r(cut)


@settings(max_examples=60, deadline=None)
@given(some_trades(), st.integers(2, 12))
def test_a_rebuild_from_columns_is_the_same_to_the_last_bit(
    trades: list[Trade], window: int
) -> None:
    """OPT-78: same trades, same state, whichever way they came."""
    built = Decomposition.from_columns(columns_of(trades), window)
    one_by_one = book_of(trades, window)
    assert built.state() == one_by_one.state()
    built.add(closed(10_000, 1.0))
    one_by_one.add(closed(10_000, 1.0))
    assert built.state() == one_by_one.state()


@settings(max_examples=40, deadline=None)
@given(some_trades(max_size=20))
def test_the_decomposition_agrees_with_the_engine_s_statistics(trades: list[Trade]) -> None:
    """OPT-78: two ways to the same figures."""
    found, known = book_of(trades).lifetime(Cut()), trade_statistics(trades)
    for name in ("count", "wins", "losses", "streak", "longest_loss_streak", "count_r"):
        assert getattr(found, name) == getattr(known, name), name
    for name in ("profit_factor", "expectancy_r", "win_rate", "average_holding_ms", "sharpe_r"):
        expected = getattr(known, name)
        if expected is not None:
            expected = pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert getattr(found, name) == expected, name


def test_totals_reconcile_with_the_ledger_to_the_cent() -> None:
    """OPT-29: 20,000 trades of a cent to a million; each cut's sum is that of its trades."""
    rng = np.random.default_rng(29)
    trades = [
        closed(
            n,
            0.1,
            pnl=Decimal(int(cents)).scaleb(-2),
            strategy=STRATEGIES[n % 2],
            symbol=SYMBOLS[n % 3 % 2],
            regime=REGIMES[n % 3],
        )
        for n, cents in enumerate(rng.integers(-(10**8), 10**8, 20_000), 1)
    ]
    book = book_of(trades)
    for cut in book.cuts():
        exact = sum((t.pnl_quote for t in trades if belongs(t, cut)), Decimal(0))
        assert round(Decimal(book.lifetime(cut).pnl_quote), 2) == exact
    cells = [book.lifetime(cut).count for cut in book.cuts() if cut.symbol and cut.regime]
    assert sum(cells) == 2 * len(trades), "once with and once without the strategy"


def test_a_trade_stays_in_the_regime_it_was_entered_in() -> None:
    """OPT-29: the exit's regime (QUIET) gets nothing."""
    book = book_of(every([1.0, -1.0]))
    assert book.lifetime(Cut(regime="TRENDING")).count == 2
    assert book.lifetime(Cut(regime="QUIET")).count == 0
    assert len(book.cuts()) == CUTS_A_TRADE


def test_no_trades_have_no_figures_rather_than_zeros() -> None:
    """OPT-78: None, not 0, infinity or NaN."""
    for found in (Decomposition().lifetime(Cut()), Decomposition().rolling(Cut(strategy="x"))):
        undefined = (
            found.win_rate,
            found.expectancy_quote,
            found.profit_factor,
            found.sharpe,
            found.sortino,
            found.best_quote,
            found.average_win_quote,
            found.expectancy_r,
            found.deviation_r,
            found.profit_factor_r,
            found.sharpe_r,
            found.average_holding_ms,
        )
        assert undefined == (None,) * len(undefined)
        assert found.count == 0


def test_winners_alone_have_no_profit_factor_and_equal_trades_no_sharpe() -> None:
    """OPT-78"""
    found = book_of(every([0.1] * 7)).lifetime(Cut())
    assert (found.profit_factor_r, found.sharpe_r, found.sortino_r) == (None, None, None)
    assert found.expectancy_r == pytest.approx(0.1)


def test_a_trade_without_a_stop_counts_in_money_and_not_in_r() -> None:
    """OPT-78"""
    found = book_of([closed(1, None, pnl="30"), closed(2, -1.0)]).rolling(Cut())
    assert (found.count, found.count_r) == (2, 1)
    assert (found.expectancy_quote, found.expectancy_r) == (10.0, -1.0)


def test_a_copy_goes_its_own_way() -> None:
    book = book_of(every([1.0, -1.0, 2.0]))
    twin = book.copy()
    before = book.state()
    twin.add(closed(50, 1.0, strategy="breakout"))
    assert book.state() == before
    assert twin.trades == 4


@pytest.mark.parametrize(
    ("bad", "line"),
    [
        (closed(1, math.nan, pnl="5"), "trade trade-1 must be finite, was 5.0, 0.02, nan"),
        (closed(1, 1.0, pnl="Infinity"), "trade trade-1 must be finite, was inf, 0.02, 1.0"),
    ],
)
def test_a_figure_that_is_not_finite_is_refused(bad: Trade, line: str) -> None:
    """OPT-78: one NaN would make every later figure NaN."""
    book = Decomposition()
    with pytest.raises(EvidenceError) as refused:
        book.add(bad)
    assert str(refused.value) == line
    assert book.cuts() == ()


def test_the_same_trade_twice_in_a_row_is_refused() -> None:
    book = book_of([closed(1, 1.0)])
    with pytest.raises(EvidenceError, match="trade-1 was taken in before"):
        book.add(closed(1, 1.0))
    assert book.trades == 1


def test_columns_with_a_hole_are_refused_and_no_trades_are_an_empty_book() -> None:
    columns = columns_of(every([1.0, 2.0]))
    columns.pnl_quote[1] = math.nan
    with pytest.raises(EvidenceError, match="pnl_quote of trade 1 must be finite, was nan"):
        Decomposition.from_columns(columns)
    assert Decomposition.from_columns(columns_of([])).as_of is None


def test_a_window_of_one_trade_and_a_state_of_another_version_are_refused() -> None:
    with pytest.raises(EvidenceError, match="2 or more, was 1"):
        Decomposition(1)
    with pytest.raises(EvidenceError, match="must be 1, was 9"):
        Decomposition.from_state({"version": 9})


def test_a_cut_beyond_the_first_rows_is_kept_like_the_others() -> None:
    """OPT-78: forty symbols are more cuts than rows were made for."""
    trades = [
        closed(n, 0.5 if n % 3 else -1.0, symbol=f"C{n % 40}/USDT", regime=REGIMES[n % 3])
        for n in range(1, 241)
    ]
    book = book_of(trades, window=3)
    for cut in book.cuts():
        assert_figures(book.lifetime(cut), [t for t in trades if belongs(t, cut)])
    again = Decomposition.from_state(json.loads(json.dumps(book.state())))
    assert again.state() == book.state() and book.nbytes() == again.nbytes()
    assert (len(book.cuts()), book.nbytes()) == (328, 512 * (28 + 3 * 5) * 8)


def test_cents_are_not_lost_beside_a_fortune() -> None:
    """OPT-29: what an addition rounds away is kept, whichever of the two is the larger."""
    for pnls in (["1e16", *["0.01"] * 500, "-1e16"], ["0.01", "1e16", *["0.01"] * 499, "-1e16"]):
        book = book_of([closed(n, None, pnl=pnl) for n, pnl in enumerate(pnls, 1)])
        found = book.lifetime(Cut())
        assert found.pnl_quote == pytest.approx(5.0, abs=1e-9)
        assert found.expectancy_quote == pytest.approx(5.0 / found.count, abs=1e-9)


def test_the_last_results_are_those_with_a_stop_oldest_first() -> None:
    """OPT-33: of the window's trades; a cut without trades has none."""
    book = book_of([closed(1, 9.0), closed(2, 1.0), closed(3, None), closed(4, -1.0)], window=3)
    assert book.recent_r(Cut()) == (1.0, -1.0)
    assert book.recent_r(Cut(strategy="nobody")) == ()


def test_the_latest_close_is_known_whatever_the_order() -> None:
    """OPT-89: evidence from the future is told by it."""
    book = Decomposition()
    assert book.last_closed_at_ms == 0
    for n, at_ms in enumerate((5, 9, 7), 1):
        book.add(closed(n, 1.0, closed_at_ms=at_ms))
    assert book.last_closed_at_ms == 9


def test_no_spread_is_no_sharpe_even_where_nothing_was_earned() -> None:
    """OPT-78"""
    found = book_of(every([0.0, 0.0])).lifetime(Cut())
    assert (found.sharpe, found.sharpe_r, found.sortino_r, found.deviation_r) == (
        None,
        None,
        None,
        0.0,
    )
