"""The sequential test: its promise about false alarms, and that it finds what it is for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimization.core.config import HealthSettings
from optimization.core.health.sequential import START, Betting, betting, value

BETS = Betting(reference_r=0.0, win_cap_r=5.0, loss_cap_r=3.0)


def first_alarm(rs: list[float], threshold: float) -> int | None:
    capitals = START
    for number, r in enumerate(rs, start=1):
        capitals = BETS.update(capitals, r)
        if value(capitals) >= threshold:
            return number
    return None


def test_in_a_fair_game_the_value_grows_by_one_a_trade_on_average() -> None:
    """OPT-81: the reason why the average run to a false alarm is at least the threshold."""
    rng = np.random.default_rng(7)
    n_runs, n_trades = 4_000, 20
    # fair, skewed as trades are: two thirds lose 1 R, one third wins 2 R
    rs = np.where(rng.random((n_runs, n_trades)) < 1 / 3, 2.0, -1.0)
    ends = []
    for row in rs.tolist():
        capitals = START
        for r in row:
            capitals = BETS.update(capitals, r)
        ends.append(value(capitals))
    assert np.mean(ends) == pytest.approx(n_trades, rel=0.05)


def test_false_alarms_come_at_most_as_often_as_stated() -> None:
    """OPT-81: the average run of a fair game is at least the threshold; here 50 trades."""
    rng = np.random.default_rng(8)
    runs = []
    for _ in range(300):
        rs = np.where(rng.random(1_000) < 0.5, 1.0, -1.0).tolist()
        runs.append(first_alarm(rs, 50.0) or 1_000)
    assert np.mean(runs) >= 50.0


def test_a_lost_edge_is_found_and_sooner_when_more_is_lost() -> None:
    """OPT-81: after 100 good trades; the good times must not make it blind."""
    rng = np.random.default_rng(9)
    delays = []
    for mean in (-0.3, -0.6, -1.0):
        found = []
        for _ in range(40):
            good = rng.normal(0.3, 1.0, 100).tolist()
            bad = rng.normal(mean, 1.0, 900).tolist()
            alarm = first_alarm(good + bad, 1_000.0)
            found.append((alarm or 1_000) - 100)
        delays.append(float(np.median(found)))
    assert delays == sorted(delays, reverse=True)
    assert delays[0] < 300 and delays[-1] < 60


@given(st.lists(st.floats(-1e6, 1e6), max_size=300))
def test_no_trade_ruins_the_test_or_makes_it_overflow(rs: list[float]) -> None:
    """Capitals stay positive and finite, whatever a trade brought."""
    capitals = START
    for r in rs:
        capitals = BETS.update(capitals, r)
        assert all(0.0 < capital < 1e16 for capital in capitals)


def test_a_worse_trade_never_lowers_the_value() -> None:
    """OPT-81: monotone in R, flat beyond the caps."""
    values = [value(BETS.update(START, r)) for r in (9.0, 5.0, 2.0, 0.0, -1.0, -3.0, -9.0)]
    assert values == sorted(values)
    assert values[0] == values[1] and values[-1] == values[-2]
    assert value(BETS.update(START, 0.0)) == 1.0


def test_the_test_is_the_configured_one() -> None:
    """OPT-81"""
    settings = HealthSettings(reference_r=0.05, win_cap_r=4.0, loss_cap_r=2.0)
    assert betting(settings) == Betting(0.05, 4.0, 2.0)


def test_the_capitals_by_hand() -> None:
    """OPT-81: (capital + 1) (1 + share (reference - R) / (win cap - reference)), R within caps."""
    shares = (0.05, 0.15, 0.35, 0.65, 0.95)
    first = BETS.update(START, -1.0)
    assert first == pytest.approx([1.0 + 0.2 * share for share in shares])
    second = BETS.update(first, 9.0)
    expected = [(c + 1.0) * (1.0 - share) for c, share in zip(first, shares, strict=True)]
    assert second == pytest.approx(expected)
    other = Betting(reference_r=0.5, win_cap_r=4.0, loss_cap_r=2.0)
    assert other.update(START, -9.0) == pytest.approx([1 + s * 2.5 / 3.5 for s in shares])
    assert value(first) == pytest.approx(1.0 + 0.2 * sum(shares) / 5)
