"""Evidence: the window, what is new, and never the future."""

from __future__ import annotations

import pytest

from engine.performance import Cut
from optimization.core.errors import EvidenceError
from optimization.core.evidence import (
    regime_effectiveness,
    require_past,
    strategies_by_expectancy,
    strategy_evidence,
)
from optimization.core.performance import Decomposition
from tests.optimization.core.trades import HOUR_MS, closed, every


def book(*trades: object, window: int = 50) -> Decomposition:
    found = Decomposition(window)
    for trade in trades:
        found.add(trade)  # type: ignore[arg-type]
    return found


def test_evidence_is_the_last_trades_and_what_is_new_since_the_last_move() -> None:
    """OPT-33, D-17"""
    performance = book(*every([1.0, 1.0, -1.0, 2.0, -1.0]), window=2)
    found = strategy_evidence(performance, "ema-trend", None, trades_seen=3, total_r_seen=1.0)
    assert found.recent.count == 2
    assert found.recent.expectancy_r == pytest.approx(0.5)
    assert (found.closed_trades, found.total_r) == (5, pytest.approx(2.0))
    assert (found.new_trades, found.new_mean_r) == (2, pytest.approx(0.5))
    assert found.numbers()["expectancy_r"] == found.recent.expectancy_r


def test_nothing_new_has_no_mean() -> None:
    performance = book(closed(1, 1.0))
    found = strategy_evidence(performance, "ema-trend", None, trades_seen=1, total_r_seen=1.0)
    assert (found.new_trades, found.new_mean_r) == (0, None)


def test_evidence_of_a_regime_is_that_of_its_trades() -> None:
    """OPT-39"""
    performance = book(closed(1, 1.0), closed(2, -1.0, regime="QUIET"), closed(3, 3.0))
    assert strategy_evidence(performance, "ema-trend", "QUIET").recent.expectancy_r == -1.0
    assert strategy_evidence(performance, "ema-trend", "TRENDING").recent.expectancy_r == 2.0


def test_evidence_from_the_future_is_refused() -> None:
    """OPT-89: a trade that closes after now is no history."""
    performance = book(closed(1, 1.0), closed(7, 1.0))
    require_past(performance, 7 * HOUR_MS)
    with pytest.raises(EvidenceError, match=f"last close was {7 * HOUR_MS}"):
        require_past(performance, 7 * HOUR_MS - 1)


def test_regime_effectiveness_is_the_same_store_as_the_cuts() -> None:
    """OPT-82: of all symbols a strategy was in that regime with."""
    performance = book(
        closed(1, 1.0),
        closed(2, -1.0, regime="QUIET", symbol="ETH/USDT"),
        closed(3, 0.5, regime="QUIET"),
    )
    found = regime_effectiveness(performance)
    assert set(found) == {("ema-trend", "TRENDING"), ("ema-trend", "QUIET")}
    cut = Cut(strategy="ema-trend", regime="QUIET")
    assert found["ema-trend", "QUIET"] == performance.lifetime(cut)
    assert found["ema-trend", "QUIET"].count == 2


def test_the_best_and_the_worst_are_strategies_and_never_a_sum() -> None:
    """OPT-82: a predecessor's worst strategy was always a roll-up of a symbol (AW-23)."""
    performance = book(
        *every([-1.0, -2.0], strategy="breakout"),
        *every([1.0, 0.5], first=3),
        closed(5, None, pnl="9", strategy="manual"),
    )
    found = strategies_by_expectancy(performance)
    assert [code for code, _ in found] == ["ema-trend", "breakout", "manual"]
    assert found[1][1] == performance.rolling(Cut(strategy="breakout"))


def test_a_strategy_of_two_symbols_and_two_regimes_is_one_row_of_all_its_trades() -> None:
    """OPT-82: neither a symbol's nor a regime's part of it stands in for the whole."""
    performance = book(
        closed(1, 1.0),
        closed(2, -2.0, symbol="ETH/USDT"),
        closed(3, 4.0, regime="QUIET"),
        closed(4, -1.0, regime="QUIET", symbol="ETH/USDT"),
    )
    ((code, figures),) = strategies_by_expectancy(performance)
    assert (code, figures.count, figures.expectancy_r) == ("ema-trend", 4, 0.5)
    by_regime = regime_effectiveness(performance)
    assert {key: found.count for key, found in by_regime.items()} == {
        ("ema-trend", "TRENDING"): 2,
        ("ema-trend", "QUIET"): 2,
    }


def test_break_even_ranks_between_gain_and_loss_and_ties_by_name() -> None:
    """OPT-82: an expectancy of 0 is a figure; those without one stand last, by name."""
    performance = book(
        closed(1, None, pnl="9", strategy="silent-b"),
        closed(2, None, pnl="1", strategy="silent-a"),
        closed(3, 0.0, strategy="even-b"),
        closed(4, 0.5, strategy="gain"),
        closed(5, -0.5, strategy="loss"),
        closed(6, 0.0, strategy="even-a"),
    )
    ranked = [code for code, _ in strategies_by_expectancy(performance)]
    assert ranked == ["gain", "even-a", "even-b", "loss", "silent-a", "silent-b"]
