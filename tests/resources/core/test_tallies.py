"""Statistics equal the history they are made of."""

import pytest

from resources.core.tallies import Done, by_action, saved_of, tally, trend
from resources.core.verdicts import Verdict

HISTORY = [
    Done("clean-temp", True, Verdict.SUCCESS, 0.4, {"bytes": 400.0}),
    Done("clean-temp", True, Verdict.NO_EFFECT, 0.0, {"bytes": 0.0}),
    Done("clean-temp", True, Verdict.UNMEASURED, None, {"bytes": 7.0}),
    Done("shed-research", True, Verdict.SUCCESS, 0.2, {"cpu_s": 12.5}),
    Done("shed-research", True, Verdict.WORSE, -0.1, {}),
    Done("restart-worker", False, Verdict.UNMEASURED, None, {}),
    Done("restart-worker", True, None, None, {}),
]


def test_rates_equal_the_history_after_successes_failures_and_no_effect():
    """ORC-70, ORC-54: that nothing was raised is told apart from that it helped."""
    total = tally("all", HISTORY)
    assert (total.attempts, total.ran, total.measured, total.successes) == (7, 6, 4, 2)
    assert total.ran_rate == pytest.approx(6 / 7)
    assert total.success_rate == 0.5
    assert total.mean_improvement == pytest.approx((0.4 + 0.0 + 0.2 - 0.1) / 4)
    clean, restart, shed = by_action(HISTORY)
    assert (clean.action, clean.success_rate) == ("clean-temp", 0.5)
    assert (restart.action, restart.success_rate, restart.ran_rate) == ("restart-worker", None, 0.5)
    assert shed.success_rate == 0.5


def test_without_history_there_are_no_rates():
    """ORC-52"""
    nothing = tally("all", [])
    assert (nothing.ran_rate, nothing.success_rate, nothing.mean_improvement) == (None, None, None)


def test_savings_are_summed_by_kind():
    """ORC-53"""
    assert saved_of(HISTORY) == {"bytes": 407.0, "cpu_s": 12.5}


def test_a_week_worse_than_those_before_it_is_flagged():
    """ORC-62"""
    weeks = [("2026-W01", 100.0, 9), ("2026-W02", 104.0, 9), ("2026-W03", 130.0, 9)]
    first, second, third = trend(weeks)
    assert (first.change, first.is_regression) == (None, False)
    assert (second.change, second.is_regression) == (pytest.approx(0.04), False)
    assert third.change == pytest.approx((130 - 102) / 102)
    assert third.is_regression
