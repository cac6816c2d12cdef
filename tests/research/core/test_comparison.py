"""Two replays of the same bars: what the layer changed, and whether it is more than noise."""

from __future__ import annotations

from array import array
from dataclasses import replace

import numpy as np
import pytest

from engine.limits import RiskLimits
from engine.types.ledger import Trade
from engine.types.opinions import Side
from research.core.comparison import BETTER, DAY_MS, UNCLEAR, WORSE, Comparison, compare
from research.core.comparison_journal import ComparisonJournal, Entry
from research.core.resampling import block_length, block_rows, interval
from tests.engine.books import BTC, D

DAYS = 200
LIKED = {"one": frozenset({"TRENDING"})}
TRADE = Trade(
    trade_id="t",
    strategy="one",
    symbol=BTC,
    side=Side.BUY,
    quantity_base=D("1"),
    entry_price=D("100"),
    exit_price=D("101"),
    fees_quote=D("0"),
    pnl_quote=D("1"),
    r_multiple=1.0,
    opened_at_ms=0,
    closed_at_ms=0,
    entry_regime="TRENDING",
    exit_regime="TRENDING",
    exit_reason="TARGET",
    entry_order_id="",
    exit_order_id="",
)


def run(
    results: dict[int, float],
    *,
    days: int = DAYS,
    refused: dict[int, str] | None = None,
    multiplier: float = 1.0,
    regime: str = "TRENDING",
) -> ComparisonJournal:
    """A run that closed a trade on each given day; equity moves by its result (in quote)."""
    made = ComparisonJournal([BTC], RiskLimits())
    equity = 10_000.0
    for day in range(days):
        if day in results:
            pnl = results[day]
            equity += pnl
            order = f"order-{day}"
            made.entries[order] = Entry(("one", BTC, day * DAY_MS), regime, multiplier)
            made.closed.append(
                replace(
                    TRADE,
                    pnl_quote=D(repr(float(pnl))),
                    r_multiple=pnl / 10.0,
                    closed_at_ms=day * DAY_MS,
                    entry_order_id=order,
                    exit_order_id=f"exit-{day}",
                )
            )
        made.equity_ms.append(day * DAY_MS)
        made.equity_quote.append(equity)
    made.refused = {("one", BTC, day * DAY_MS): code for day, code in (refused or {}).items()}
    return made


def compared(off: ComparisonJournal, on: ComparisonJournal, seed: int = 1) -> Comparison:
    return compare(off, on, LIKED, np.random.default_rng(seed))


def noise(seed: int, mean: float = 0.0) -> dict[int, float]:
    rng = np.random.default_rng(seed)
    return {day: float(x) for day, x in enumerate(rng.normal(mean, 20.0, DAYS))}


def test_a_layer_that_changes_nothing_is_not_found_to_change_anything() -> None:
    """OPT-88: no claim without evidence."""
    off = run(noise(1))
    result = compared(off, run(noise(1)))
    for difference in result.differences.values():
        assert difference.difference == 0.0
        assert (difference.low, difference.high) == (0.0, 0.0)
        assert difference.verdict == UNCLEAR
    assert result.filtering == {} and result.sizing.added_quote == 0.0


def test_a_filter_that_keeps_out_the_losers_is_found_better() -> None:
    """OPT-83, OPT-88, OPT-96: and what it kept out is counted by reason."""
    rng = np.random.default_rng(3)
    winners = {d: float(x) for d, x in zip(range(0, DAYS, 2), rng.normal(10, 5, 100), strict=True)}
    losers = {d: float(x) for d, x in zip(range(1, DAYS, 2), rng.normal(-10, 5, 100), strict=True)}
    on = run(winners, refused=dict.fromkeys(losers, "FILTERED"))
    result = compared(run(winners | losers), on)
    for name in ("return_fraction", "sharpe", "expectancy_r", "win_rate_fraction"):
        assert result.differences[name].verdict == BETTER
    assert result.differences["max_drawdown_fraction"].verdict == BETTER
    assert result.differences["max_drawdown_fraction"].difference < 0  # type: ignore[operator]
    saved = result.filtering["FILTERED"]
    assert (saved.signals, saved.traded) == (100, 100)
    assert saved.net_quote == pytest.approx(-sum(losers.values()))
    assert saved.saved_quote - saved.missed_quote == pytest.approx(saved.net_quote)
    chosen = result.selection
    assert (chosen.executed, chosen.filtered) == (100, 100)
    assert chosen.expectancy_r_difference.low > 0  # type: ignore[operator]
    assert chosen.win_rate_executed.value > chosen.win_rate_filtered.value  # type: ignore[operator]


def test_a_layer_that_hurts_is_found_worse() -> None:
    """OPT-83: reported even if negative."""
    good = noise(5, mean=8.0)
    kept = {day: x for day, x in good.items() if x < 10.0}
    on = run(kept, refused=dict.fromkeys(set(good) - set(kept), "FILTERED"))
    result = compared(run(good), on)
    assert result.differences["return_fraction"].verdict == WORSE
    assert result.differences["expectancy_r"].verdict == WORSE
    assert result.filtering["FILTERED"].net_quote < 0


def test_few_trades_are_not_enough_evidence_however_clear_they_look() -> None:
    """OPT-88"""
    off = run(dict.fromkeys(range(0, 100, 5), -50.0))
    on = run(dict.fromkeys(range(0, 100, 5), 50.0))
    assert compared(off, on).differences["expectancy_r"].verdict == UNCLEAR
    assert compared(off, on).differences["expectancy_r"].difference == pytest.approx(10.0)


def test_days_without_number_are_not_enough_evidence_however_clear_they_look() -> None:
    """OPT-88: sixty trades of six days have sixty periods and are still six days."""
    days = dict.fromkeys(range(60), -20.0)
    found = []
    for length_ms in (DAY_MS // 10, DAY_MS // 8):
        sides = []
        for results in (days, {}):
            made = run(results, days=60)
            made.equity_ms = array("q", [i * length_ms for i in range(60)])
            made.closed[:] = [
                replace(trade, closed_at_ms=i * length_ms) for i, trade in enumerate(made.closed)
            ]
            sides.append(made)
        found.append(compared(*sides).differences["return_fraction"].verdict)
    assert found == [UNCLEAR, BETTER]


def test_noise_is_seldom_called_an_improvement() -> None:
    """OPT-88: of independent runs without an edge about one in twenty may look different."""
    claims = 0
    for seed in range(60):
        result = compared(run(noise(2 * seed)), run(noise(2 * seed + 1)), seed)
        claims += result.differences["return_fraction"].verdict != UNCLEAR
    assert claims <= 9


def test_sizing_is_what_trades_of_both_runs_earned_more() -> None:
    """OPT-85: and how the multiplier lay in favourable and unfavourable regimes."""
    base = noise(7)
    on = run({day: 1.5 * x for day, x in base.items()}, multiplier=1.5)
    result = compared(run(base), on).sizing
    assert result.trades == DAYS
    assert result.added_quote == pytest.approx(0.5 * sum(base.values()))
    assert result.mean_multiplier == result.mean_multiplier_favourable == 1.5
    assert result.mean_multiplier_unfavourable is None
    away = compared(run(base), run(base, multiplier=0.4, regime="QUIET")).sizing
    assert away.mean_multiplier_unfavourable == pytest.approx(0.4)
    assert away.mean_multiplier_favourable is None


def test_what_both_runs_refuse_is_not_the_layers_doing() -> None:
    off = run(noise(1), refused={300: "DAY_LOSS"})
    on = run(noise(1), refused={300: "DAY_LOSS"})
    assert compared(off, on).filtering == {}


def test_a_run_without_trades_has_figures_that_are_none() -> None:
    result = compared(run(noise(1)), run({}))
    assert result.differences["expectancy_r"].on is None
    assert result.differences["expectancy_r"].difference is None
    assert result.differences["expectancy_r"].verdict == UNCLEAR


def test_runs_over_other_bars_are_not_compared() -> None:
    with pytest.raises(ValueError, match="same bars"):
        compared(run(noise(1)), run(noise(1), days=DAYS - 1))


def test_the_same_seed_gives_the_same_intervals() -> None:
    off, on = run(noise(1)), run(noise(2))
    assert compared(off, on) == compared(off, on)
    assert compared(off, on, 1).differences != compared(off, on, 2).differences


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """The mean of an autocorrelated series, 95 % intervals: blocks keep what neighbours share."""
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        shocks = rng.normal(0, 1, 401)
        series = shocks[1:] + 0.5 * shocks[:-1]
        rows = block_rows(400, 400, rng)
        spread = interval(float(series.mean()), series[rows].mean(axis=1))
        covered += spread.low <= 0.0 <= spread.high  # type: ignore[operator]
    assert 0.88 <= covered / 200 <= 0.98


def test_a_block_holds_neighbours_and_every_row_is_of_full_length() -> None:
    rows = block_rows(100, 50, np.random.default_rng(1))
    assert rows.shape == (50, 100)
    length = block_length(100)
    assert (np.diff(rows[:, :length], axis=1) % 100 == 1).all()
    with pytest.raises(ValueError, match="allowed: 1 or more"):
        block_rows(0, 10, np.random.default_rng(1))


def test_a_figure_that_is_seldom_defined_has_no_interval() -> None:
    assert interval(1.0, np.array([np.nan, np.nan, 1.0])).low is None
    assert interval(1.0, np.array([np.nan, 1.0, 1.0])).low == 1.0
