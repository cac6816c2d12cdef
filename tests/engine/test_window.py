"""Windows: what live keeps is what replay reads."""

from __future__ import annotations

import numpy as np
import pytest

from engine import shared_columns
from engine.features import feature_frame
from engine.market_columns import MarketColumns, market_columns
from engine.quality import bar_at
from engine.types.bars import BarColumns, ColumnStore, FloatColumn
from engine.types.opinions import RuleColumns
from engine.window import HistoryWindow, RollingWindow, with_references
from strategies.core.registry import rule_sources
from tests.bar_factory import cut, random_walk


def test_rolling_window_shows_the_last_bars_whatever_it_moved() -> None:
    bars = random_walk(3, 700)
    window = RollingWindow(cut(bars, 0, 120), capacity=100)
    for row in range(120, 700):
        store, at = window.append(bar_at(bars, row))
        assert at == 99
        assert np.array_equal(store.bars.close, bars.close[row - 99 : row + 1])
        assert np.array_equal(store.bars.ts_ms, bars.ts_ms[row - 99 : row + 1])
        assert window.last_bar == bar_at(bars, row)


def test_rolling_window_starts_from_nothing() -> None:
    bars = random_walk(3, 5)
    window = RollingWindow(cut(bars, 0, 0), capacity=3)
    assert window.last_bar is None
    store, at = window.append(bar_at(bars, 0))
    assert (len(store.bars), at) == (1, 0)


def test_a_store_handed_out_does_not_change_when_the_window_moves_on() -> None:
    """Phases of a late thread may still read the store of an earlier bar, and its columns."""
    bars = random_walk(3, 60)
    window = RollingWindow(cut(bars, 0, 10), capacity=10)
    store, _ = window.append(bar_at(bars, 10))
    before, mean = store.bars.close.copy(), shared_columns.ema(store, 3).copy()
    for row in range(11, 60):
        shared_columns.ema(window.append(bar_at(bars, row))[0], 3)
    assert np.array_equal(store.bars.close, before)
    np.testing.assert_array_equal(shared_columns.ema(store, 3), mean)
    late = shared_columns.highest(store, 4)
    assert late[-1] == bars.high[7:11].max()


def test_a_column_is_written_once_a_bar_and_only_its_new_rows() -> None:
    """One definition, asked for the rows it lacks; a bar that nobody asked about is made up."""
    bars, written = random_walk(3, 90), []

    def fill(store: ColumnStore, out: FloatColumn, start: int) -> None:
        written.append((start, len(store.bars)))
        out[start:] = 2.0 * store.bars.close[start:]

    window = RollingWindow(cut(bars, 0, 20), capacity=20)
    for row in range(20, 90):
        store, at = window.append(bar_at(bars, row))
        if row % 7:
            column = store.column("twice", fill)
            assert store.column("twice", fill) is column
            assert column[at] == 2.0 * bars.close[row]
            np.testing.assert_array_equal(column, 2.0 * store.bars.close)
            with pytest.raises(ValueError, match="read-only"):
                column[0] = 1.0
    assert written[0] == (0, 21)
    assert max(rows - start for start, rows in written[1:]) == 2


def test_columns_of_a_window_that_moves_are_those_of_the_whole_history() -> None:
    """Architecture section 8: regimes, levels and shared columns, row by row over two moves."""
    bars = random_walk(4, 9_000)
    full = ColumnStore(bars)
    window = RollingWindow(cut(bars, 0, 2_600), capacity=2_500)
    for row in range(2_600, 8_200):
        store, at = window.append(bar_at(bars, row))
        live, whole = market_columns(store), market_columns(full)
        assert live.regime[at] == whole.regime[row]
        assert live.dwell_bars[at] == whole.dwell_bars[row]
        levels = (live.volatility[at], live.liquidity[at], live.risk[at])
        assert levels == (whole.volatility[row], whole.liquidity[row], whole.risk[row])
        assert live.risk_score[at] == pytest.approx(whole.risk_score[row], rel=1e-9)
        for name in ("rsi", "atr", "ema"):
            column = getattr(shared_columns, name)
            assert column(store, 14)[at] == pytest.approx(column(full, 14)[row], rel=1e-9)


def test_a_window_built_anew_reads_as_the_one_that_never_stopped() -> None:
    """Restart-safe: nothing that a column remembers is lost with the process."""
    bars = random_walk(5, 6_500)
    old = RollingWindow(cut(bars, 0, 2_500), capacity=2_500)
    for row in range(2_500, 6_400):
        market_columns(old.append(bar_at(bars, row))[0])
    new = RollingWindow(cut(bars, 3_900, 6_400), capacity=2_500)
    for row in range(6_400, 6_500):
        (kept, at), (fresh, place) = (w.append(bar_at(bars, row)) for w in (old, new))
        ours, theirs = market_columns(kept), market_columns(fresh)
        assert ours.regime[at] == theirs.regime[place]
        np.testing.assert_allclose(
            ours.regime_probabilities[at], theirs.regime_probabilities[place], rtol=1e-9
        )


def test_history_window_reads_one_store_row_by_row() -> None:
    bars = random_walk(3, 20)
    window = HistoryWindow(bars, first_row=5)
    assert window.last_bar == bar_at(bars, 4)
    first, row = window.append(bar_at(bars, 5))
    second, next_row = window.append(bar_at(bars, 6))
    assert first is second
    assert (row, next_row) == (5, 6)


def test_history_in_blocks_has_the_columns_of_the_whole_history() -> None:
    """I-26: to the last bit; and what is kept at a time does not grow with the history."""
    bars = random_walk(4, 4_300, sigma=0.002)
    whole, window = ColumnStore(bars), HistoryWindow(bars, block_bars=600, kept=2_500)
    expected = market_columns(whole)
    boards = {rule.code: rule.columns(whole) for rule in rule_sources()}
    for row in range(len(bars)):
        store, at = window.append(bar_at(bars, row))
        if row % 53 and (row - 2_500) % 600 > 3:
            continue
        assert len(store.bars) <= 3_100
        found = store.get("all", lambda s: (market_columns(s), feature_frame(s)))
        for name in MarketColumns.__slots__:
            ours, theirs = getattr(found[0], name)[at], getattr(expected, name)[row]
            np.testing.assert_array_equal(ours, theirs, err_msg=f"{name} of row {row}")
        np.testing.assert_array_equal(found[1].matrix[at], feature_frame(whole).matrix[row])
        for rule in rule_sources():
            answer = store.get(rule.code, rule.columns)
            for name in RuleColumns.__slots__:
                ours, theirs = getattr(answer, name)[at], getattr(boards[rule.code], name)[row]
                np.testing.assert_array_equal(ours, theirs, err_msg=f"{rule.code} {name} {row}")


def test_bars_that_are_passed_over_are_as_if_they_had_been_appended() -> None:
    """I-26: up to the end of a block; the next one begins with a bar that is appended."""
    bars = random_walk(4, 900)
    walked, passed = (HistoryWindow(bars, 300, block_bars=100, kept=200) for _ in range(2))
    for row in range(300, 399):
        walked.append(bar_at(bars, row))
    passed.append(bar_at(bars, 300))
    store, row, n_rows = passed.ahead()
    passed.skip(98)
    assert (store.bars.ts_ms[row], n_rows) == (bars.ts_ms[301], len(store.bars))
    assert passed.last_bar == walked.last_bar == bar_at(bars, 398)
    with pytest.raises(ValueError, match="cannot pass over"):
        passed.skip(n_rows)
    ours, theirs = (window.append(bar_at(bars, 399)) for window in (passed, walked))
    assert ours[1] == theirs[1]
    np.testing.assert_array_equal(ours[0].bars.close, theirs[0].bars.close)


def test_a_replay_that_begins_late_begins_like_a_live_session() -> None:
    """D-25: with the bars a venue would give, so that nothing before them is computed."""
    bars = random_walk(4, 900)
    window = HistoryWindow(bars, first_row=700, block_bars=100, kept=200)
    assert window.last_bar == bar_at(bars, 699)
    store, row = window.append(bar_at(bars, 700))
    assert (row, store.bars.ts_ms[row]) == (200, bars.ts_ms[700])


def test_history_window_refuses_a_bar_that_is_not_its_next() -> None:
    bars = random_walk(3, 20)
    window = HistoryWindow(bars)
    with pytest.raises(ValueError, match="out of step"):
        window.append(bar_at(bars, 1))


def of_three(kind: type[RollingWindow] | type[HistoryWindow]) -> list[BarColumns | None]:
    bars = {name: random_walk(seed, 30) for name, seed in (("A", 1), ("B", 2), ("C", 3))}
    build = {
        RollingWindow: lambda b: RollingWindow(cut(b, 0, 20), 40),
        HistoryWindow: lambda b: HistoryWindow(b, 20),
    }[kind]
    windows = with_references({name: build(b) for name, b in bars.items()})
    return [windows[name].append(bar_at(bars[name], 20))[0].reference for name in "ABC"]


@pytest.mark.parametrize("kind", [RollingWindow, HistoryWindow])
def test_reference_is_the_first_other_symbol_in_declared_order(
    kind: type[RollingWindow] | type[HistoryWindow],
) -> None:
    found = of_three(kind)
    first, second = random_walk(1, 30), random_walk(2, 30)
    for reference, expected in zip(found, (second, first, first), strict=True):
        assert reference is not None
        np.testing.assert_array_equal(reference.close[:20], expected.close[:20])


def test_one_symbol_has_no_reference() -> None:
    bars = random_walk(1, 30)
    windows = with_references({"A": RollingWindow(cut(bars, 0, 20), 40)})
    assert windows["A"].append(bar_at(bars, 20))[0].reference is None
