"""The run beside the book without the layer: sums, intervals, and silence below the sample."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from engine.types.ledger import Trade
from engine.types.opinions import Side
from research.core.comparison import BETTER, UNCLEAR, WORSE
from research.core.comparison_journal import Entry
from research.core.counterfactual import BookSide, Judgement, judge

# the whole of it is more than the week that any verdict needs
BAR_MS = 3_600_000
N_BARS = 300


def trade(entry: str, pnl: float, bar: int, exit_order: str = "x") -> Trade:
    return Trade(
        trade_id=f"{entry} {exit_order}",
        strategy="breakout",
        symbol="BTC/USDT",
        side=Side.BUY,
        quantity_base=Decimal(1),
        entry_price=Decimal(100),
        exit_price=Decimal(100),
        fees_quote=Decimal(0),
        pnl_quote=Decimal(str(pnl)),
        r_multiple=pnl / 10,
        opened_at_ms=bar * BAR_MS,
        closed_at_ms=(bar + 1) * BAR_MS,
        entry_regime="QUIET",
        exit_regime="QUIET",
        exit_reason="STOP",
        entry_order_id=entry,
        exit_order_id=exit_order,
    )


def side(
    closed=(), *, entries=None, refused=None, n_bars=N_BARS, pnl_a_bar=0.0, bar_ms=BAR_MS
) -> BookSide:
    times = [i * bar_ms for i in range(n_bars)]
    equity = [1_000.0 + pnl_a_bar * i for i in range(n_bars)]
    return BookSide(times, equity, entries or {}, refused or {}, list(closed))


def judged(off: BookSide, on: BookSide) -> Judgement:
    found = judge(off, on, np.random.default_rng(1))
    assert found is not None
    return found


def kept_out(results: list[float]) -> tuple[BookSide, BookSide]:
    """Entries that one book took and the run refused, a few bars apart."""
    names = [f"e{i}" for i in range(len(results))]
    signals = {name: ("breakout", "BTC/USDT", i) for i, name in enumerate(names)}
    entries = {name: Entry(signal, "QUIET", 1.0) for name, signal in signals.items()}
    closed = [
        trade(name, pnl, 5 * i) for i, (name, pnl) in enumerate(zip(names, results, strict=True))
    ]
    refused = dict.fromkeys(signals.values(), "LOW_QUALITY")
    return side(closed, entries=entries), side(refused=refused)


def test_sides_of_other_moments_are_refused_and_one_moment_is_no_comparison() -> None:
    with pytest.raises(ValueError, match="were 300 and 299"):
        judge(side(), side(n_bars=299), np.random.default_rng(1))
    assert judge(side(n_bars=1), side(n_bars=1), np.random.default_rng(1)) is None


@pytest.mark.parametrize(("pnl", "verdict"), [(-4.0, BETTER), (4.0, WORSE)])
def test_keeping_out_losses_is_better_and_keeping_out_wins_is_worse(
    pnl: float, verdict: str
) -> None:
    """OPT-83: it says so when filtering costs money."""
    found = judged(*kept_out([pnl] * 40))
    row = found.filtering["LOW_QUALITY"]
    assert row.figures.net_quote == row.effect.quote.value == -pnl * 40
    assert row.effect.verdict == found.filtered.effect.verdict == verdict


def test_results_that_go_either_way_are_not_called_anything() -> None:
    rng = np.random.default_rng(4)
    found = judged(*kept_out((rng.permutation([-5.0, 5.0] * 25)).tolist()))
    assert found.filtered.effect.verdict == UNCLEAR
    quote = found.filtered.effect.quote
    assert quote.low is not None and quote.high is not None and quote.low < 0 < quote.high


def test_nothing_kept_out_is_no_figure_rather_than_zero() -> None:
    found = judged(side(), side())
    assert found.filtering == {}
    assert found.filtered.effect.quote.value is None
    assert found.sizing.mean_multiplier is None
    assert found.shortfall == "closed trades were 0, needed are 30"


def test_part_exits_of_one_entry_count_together() -> None:
    """OPT-86: what another size earned is counted by entry, however it was closed."""
    on = side(
        [trade("e", 6.0, 5, "a"), trade("e", 2.0, 9, "b")],
        entries={"e": Entry(("breakout", "BTC/USDT", 5), "QUIET", 2.0)},
    )
    found = judged(side([trade("e", 4.0, 7, "c")]), on).sizing
    assert (found.entries, found.mean_multiplier, found.effect.quote.value) == (1, 2.0, 4.0)


def test_a_curve_that_only_looks_better_is_not_called_better() -> None:
    """OPT-88: without thirty closed trades no figure has a verdict."""
    few = judged(side(), side(pnl_a_bar=1.0))
    assert {row.verdict for row in few.differences.values()} == {UNCLEAR}
    trades = [trade(f"t{i}", -1.0, 6 * i) for i in range(40)]
    many = judged(side(trades), side(pnl_a_bar=1.0))
    assert many.shortfall == ""
    assert many.differences["return_fraction"].verdict == BETTER


def test_a_young_book_is_not_called_better_however_many_trades_it_holds() -> None:
    """OPT-88: forty trades and a straight line in a day and a half are one market, no evidence."""
    trades = [replace(trade(f"t{i}", -1.0, 6 * i), closed_at_ms=i * 3_000_000) for i in range(40)]
    young = 432_000
    found = judged(side(trades, bar_ms=young), side(pnl_a_bar=1.0, bar_ms=young))
    assert found.shortfall == "days seen were 1.5, needed are 7"
    assert {row.verdict for row in found.differences.values()} == {UNCLEAR}
    off, on = kept_out([-4.0] * 40)
    times = [i * young for i in range(N_BARS)]
    lost = judged(replace(off, equity_ms=times), replace(on, equity_ms=times))
    assert lost.filtered.effect.verdict == UNCLEAR
    assert lost.filtered.effect.quote.value == 160.0


@pytest.mark.parametrize(("bars", "verdict"), [(168, UNCLEAR), (169, BETTER)])
def test_a_verdict_needs_a_whole_week(bars: int, verdict: str) -> None:
    """OPT-88: from its seventh day on a difference beyond noise may be called one."""
    trades = [trade(f"t{i}", -1.0, 4 * i) for i in range(40)]
    found = judged(side(trades, n_bars=bars), side(n_bars=bars, pnl_a_bar=1.0))
    assert found.differences["return_fraction"].verdict == verdict
