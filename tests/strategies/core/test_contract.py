"""One set of checks for every rule, so a new one is tested by being listed.

ORC-08 (no look-ahead), I-26 (same input, same output).
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from engine.ports import RuleSource
from engine.types.bars import BarColumns, ColumnStore
from engine.types.opinions import REGIMES, RuleColumns
from strategies.core.registry import RULES, rule_sources
from tests.bar_factory import cut, flat, from_close, labelled_regimes, random_walk, real_bars

NAMES = [field.name for field in fields(RuleColumns)]
BARS, _ = labelled_regimes(61, cycles=2)


def mirrored(bars: BarColumns) -> BarColumns:
    """The same market upside down, around a price far enough from zero."""
    about = 2.0 * float(bars.close[0])
    return BarColumns(
        bars.ts_ms,
        about - bars.open,
        about - bars.low,
        about - bars.high,
        about - bars.close,
        bars.volume,
        bars.timeframe_ms,
    )


def rule_of(code: str) -> RuleSource:
    return rule_sources(codes=[code])[0]


def columns_of(code: str, bars: BarColumns) -> RuleColumns:
    return rule_of(code).columns(ColumnStore(bars))


@pytest.mark.parametrize("code", RULES)
class TestEveryRule:
    def test_says_who_it_is_and_where_it_belongs(self, code: str) -> None:
        rule = rule_of(code)
        assert rule.code == code
        assert rule.favourable_regimes and rule.favourable_regimes <= set(REGIMES)
        assert len(rule.favourable_regimes) < len(REGIMES)

    def test_proposes_both_sides_often_enough_and_not_always(self, code: str) -> None:
        side = columns_of(code, BARS).side
        per_bar = [(side == 1).mean(), (side == -1).mean()]
        assert min(per_bar) > 0.002, per_bar
        assert max(per_bar) < 0.08, per_bar

    def test_opinion_is_a_probability_that_leans_both_ways(self, code: str) -> None:
        """ORC-81: neither constant nor certain."""
        opinion = columns_of(code, BARS).probability_up
        assert np.isfinite(opinion).all()
        assert 0.3 <= opinion.min() < 0.48
        assert 0.52 < opinion.max() <= 0.7

    def test_proposals_have_stop_and_target_on_the_right_sides(self, code: str) -> None:
        columns, close = columns_of(code, BARS), BARS.close
        for sign in (1, -1):
            rows = columns.side == sign
            assert (sign * columns.stop_price[rows] < sign * close[rows]).all()
            assert (sign * columns.target_price[rows] > sign * close[rows]).all()
            assert (columns.confidence[rows] > 0.0).all()
            assert (columns.confidence[rows] <= 1.0).all()
            assert (sign * (columns.probability_up[rows] - 0.5) > -0.05).all()

    def test_nothing_but_opinion_and_exits_where_nothing_is_proposed(self, code: str) -> None:
        columns = columns_of(code, BARS)
        silent = columns.side == 0
        assert np.isnan(columns.stop_price[silent]).all()
        assert np.isnan(columns.target_price[silent]).all()
        assert (columns.confidence[silent] == 0.0).all()

    def test_asks_to_leave_longs_and_shorts(self, code: str) -> None:
        columns = columns_of(code, BARS)
        assert columns.exit_long.any() and columns.exit_short.any()
        both = columns.exit_long & columns.exit_short
        assert both.mean() < 0.001
        # An entry and an exit of the same side on one bar would open and close at once.
        assert not (columns.exit_long & (columns.side == 1)).any()
        assert not (columns.exit_short & (columns.side == -1)).any()

    def test_is_silent_before_warm_up_and_awake_after(self, code: str) -> None:
        warm_up = rule_of(code).warm_up_bars
        columns = columns_of(code, cut(BARS, 0, warm_up - 1))
        assert not columns.side.any()
        assert (columns.probability_up == 0.5).all()
        assert not columns.exit_long.any() and not columns.exit_short.any()
        soon = columns_of(code, cut(BARS, 0, warm_up + 100))
        assert (soon.probability_up[warm_up:] != 0.5).any()

    def test_no_row_sees_the_future(self, code: str) -> None:
        """ORC-08."""
        full, part = columns_of(code, BARS), columns_of(code, cut(BARS, 0, 1_501))
        for name in NAMES:
            np.testing.assert_array_equal(getattr(part, name), getattr(full, name)[:1_501])

    def test_live_window_agrees_with_the_whole_history(self, code: str) -> None:
        """Architecture section 8: replay and live read the same row."""
        self.assert_windows_agree(code, BARS, 97)

    def test_live_window_agrees_with_the_whole_of_a_real_history(self, code: str) -> None:
        bars = real_bars("binance_spot_BTCUSDT_1m_2021-09.parquet", 60_000, 15_000)
        self.assert_windows_agree(code, bars, 613)

    def assert_windows_agree(self, code: str, bars: BarColumns, step: int) -> None:
        full = columns_of(code, bars)
        for end in range(2_501, len(bars), step):
            window = columns_of(code, cut(bars, end - 2_500, end))
            for name in NAMES:
                np.testing.assert_allclose(
                    getattr(window, name)[-20:],
                    getattr(full, name)[end - 20 : end],
                    rtol=1e-9,
                    err_msg=f"{name} at {end}",
                )

    def test_same_bars_give_the_same_columns(self, code: str) -> None:
        """I-26."""
        first = columns_of(code, BARS)
        columns_of(code, random_walk(62, 500))
        second = columns_of(code, BARS)
        for name in NAMES:
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))

    def test_upside_down_market_gives_the_opposite_columns(self, code: str) -> None:
        """Long and short are one rule: no side is favoured by an off-by-one."""
        bars = cut(BARS, 0, 2_000)
        up, down = columns_of(code, bars), columns_of(code, mirrored(bars))
        differing = (up.side != -down.side).sum()
        assert differing <= 2, differing
        np.testing.assert_allclose(up.probability_up, 1.0 - down.probability_up, atol=1e-6)
        assert (up.exit_long != down.exit_short).sum() <= 2

    def test_market_that_stands_still_gives_no_opinion_and_no_proposal(self, code: str) -> None:
        """F-070: no volume, no range: nothing is divided by zero and nothing is said."""
        columns = columns_of(code, flat(400))
        assert not columns.side.any()
        assert (columns.probability_up == 0.5).all()

    def test_market_that_stops_moving_silences_it_again(self, code: str) -> None:
        """The remains of an old move, decayed to rounding, are no signal."""
        walk = random_walk(63, 500).close
        close = np.concatenate((walk, np.full(2_500, walk[-1])))
        columns = columns_of(code, from_close(close))
        assert not columns.side[-1_500:].any()
        assert (columns.probability_up[-1_500:] == 0.5).all()

    def test_wild_prices_never_give_an_impossible_stop(self, code: str) -> None:
        """F-069: a stop at or below zero is no proposal."""
        rng = np.random.default_rng(64)
        close = np.exp(np.cumsum(rng.normal(0.0, 0.8, 3_000)) * 0.3)
        bars = from_close(close, wick=close * 0.0, volume=rng.lognormal(0.0, 2.0, 3_000))
        columns = columns_of(code, bars)
        proposed = columns.side != 0
        assert proposed.any()
        assert (columns.stop_price[proposed] > 0.0).all()
        assert (columns.target_price[proposed] > 0.0).all()

    @pytest.mark.parametrize("n", [0, 1, 2, 3])
    def test_short_histories_are_answered(self, code: str, n: int) -> None:
        columns = columns_of(code, random_walk(65, n))
        for name in NAMES:
            assert getattr(columns, name).shape == (n,)
        assert not columns.side.any()

    def test_columns_cannot_be_written_to(self, code: str) -> None:
        with pytest.raises(ValueError, match="read-only"):
            columns_of(code, cut(BARS, 0, 300)).side[0] = 1
