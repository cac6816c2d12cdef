"""What opinions came to: stored small, bounded, and read back as scores."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.scoreboard import Scoreboard
from engine.types.decisions import Settlement
from engine.types.learned import TradeCredit, Trial
from engine.types.opinions import Side
from strategies import scores
from strategies.models import CreditedTrade, SettledBar
from strategies.scores import credit_record, scores_prune, settled_record
from strategies.selectors import brier_over_time, calibration_points, predictor_scoreboard
from tests.strategies.models import RUN, make_settled

pytestmark = pytest.mark.django_db


def settlement(source="ema-trend", p=0.6, up=1, at_ms=60_000):
    return Settlement(source, "BTC/USDT", "QUIET", p, up, (p - up) ** 2, at_ms, at_ms + 720_000)


def credit(trade_id="t1", pnl="5", side=Side.BUY, **opinions):
    return TradeCredit(
        trade_id=trade_id,
        strategy="ema-trend",
        symbol="BTC/USDT",
        regime="QUIET",
        side=side,
        pnl_quote=Decimal(pnl),
        r_multiple=1.0,
        opinions=tuple(opinions.items()),
        closed_at_ms=1_000,
    )


def test_all_opinions_on_one_bar_are_one_row_and_a_repeat_changes_nothing():
    """ORC-15: learned sources with every answer, rules with their opinions."""
    trial = Trial("BTC/USDT", "QUIET", (("boosting", 0.5), ("a@new", 0.7)), 1, 60_000, 780_000)
    given = {"settled": [settlement(), settlement(at_ms=120_000)], "trials": [trial]}
    for _ in range(2):
        assert settled_record(run_code=RUN, **given) == 2
    first, second = SettledBar.objects.order_by("opinion_at")
    assert first.opinions == {"ema-trend": 0.6, "boosting": 0.5, "a@new": 0.7}
    assert second.opinions == {"ema-trend": 0.6}
    assert (first.outcome_up, first.regime) == (1, "QUIET")


def test_what_is_kept_is_bounded_by_run(monkeypatch):
    """ORC-20"""
    monkeypatch.setattr(scores, "KEPT_BARS", 30)
    make_settled({"a": (0.6, 0.4)}, 50)
    assert scores_prune() == 20
    assert SettledBar.objects.count() == 30
    assert scores_prune() == 0


def test_the_scoreboard_has_score_hits_and_pnl_by_condition():
    """ORC-15: accuracy, Brier and PnL per source and condition, best first."""
    make_settled({"good": (0.8, 0.2), "bad": (0.4, 0.6)}, 40)
    make_settled({"good": (0.4, 0.6)}, 10, regime="VOLATILE")
    credit_record(run_code=RUN, credit=credit(good=0.7, bad=0.4))
    credit_record(run_code=RUN, credit=credit(good=0.7, bad=0.4))
    credit_record(run_code=RUN, credit=credit("t2", "-3", Side.SELL, good=0.7, bad=0.5))
    assert CreditedTrade.objects.count() == 2
    first, second = predictor_scoreboard(RUN)
    assert (first.source, first.n, second.source) == ("good", 50, "bad")
    assert first.brier == pytest.approx((40 * 0.04 + 10 * 0.36) / 50)
    assert first.accuracy_fraction == pytest.approx(0.8)
    assert (first.trades_for, first.pnl_for_quote) == (1, 5.0)
    assert (first.trades_against, first.pnl_against_quote) == (1, -3.0)
    assert (second.trades_against, second.pnl_against_quote, second.trades_for) == (1, 5.0, 0)
    split = {(r.source, r.regime): r for r in predictor_scoreboard(RUN, by_regime=True)}
    assert split["good", "VOLATILE"].accuracy_fraction == 0.0
    assert split["good", "QUIET"].trades_for == 1


def test_the_forecast_of_each_source_is_shown_with_its_verdict():
    """ORC-83: said plainly where it is not used."""
    make_settled({"good": (0.8, 0.2)}, 5)
    (row,) = predictor_scoreboard(RUN, board=Scoreboard())
    assert (row.predicted_brier, row.verdict) == (
        None,
        "not used: 0 blocks predicted, needed are 8",
    )


def test_calibration_counts_what_was_said_against_what_came():
    make_settled({"one": (0.72, 0.31)}, 60)
    low, high = calibration_points("one", run_code=RUN)
    assert (low.said, low.rose_fraction) == (pytest.approx(0.31), 0.0)
    assert (high.said, high.rose_fraction) == (pytest.approx(0.72), 1.0)
    assert low.n + high.n == 60
    assert calibration_points("nobody", run_code=RUN) == []


def test_brier_over_time_is_in_equal_stretches():
    make_settled({"one": (0.9, 0.1)}, 40)
    make_settled({"one": (0.1, 0.9)}, 40)
    points = brier_over_time("one", run_code=RUN, points=8)
    assert [point.n for point in points] == [10] * 8
    assert points[0].brier == pytest.approx(0.01) and points[-1].brier == pytest.approx(0.81)
    assert points[0].at < points[-1].at
