"""Why nothing was traded: gates in order, the nearest miss, one sentence."""

from __future__ import annotations

from statistics import median, quantiles

import pytest

from engine.ports import StrategyStatus, TradingState
from tests.engine.phases.scene import Gate
from tests.trades.stored_run import StoredRun, market
from trades.models import Decision
from trades.selectors import decision_funnel, decision_get, decision_list, decision_performance
from trades.selectors.why_not import WhyNot, decision_why_not
from trades.stored import analysis_document

pytestmark = pytest.mark.django_db


def why(decision: Decision) -> WhyNot:
    found = decision_get(decision.code)
    assert found is not None
    return decision_why_not(found)


def test_all_gates_that_would_have_failed_are_told_in_order() -> None:
    """ORC-59: the state decided; what else stood in the way comes after it."""
    gate = Gate(state=TradingState.REDUCING, status=StrategyStatus.SUSPENDED, reason="day loss")
    StoredRun(market("BTC/USDT", n_bars=520), gate=gate).trade(100)
    decision = Decision.objects.exclude(strategy="platform").latest("pk")
    answer = why(decision)
    codes = [row["code"] for row in answer.failing]
    assert codes[:2] == ["REDUCING", "STRATEGY_SUSPENDED"]
    assert decision.reason_code == "REDUCING"
    assert "because day loss" in answer.summary
    assert len(answer.gates) > 20


def test_the_nearest_miss_has_the_number_that_would_have_passed() -> None:
    """ORC-59: value, needed, missing, as one sentence."""
    StoredRun(market("BTC/USDT", n_bars=720)).trade(300)
    decision = Decision.objects.filter(reason_code="COSTS").latest("pk")
    answer = why(decision)
    failed = next(gate for gate in answer.gates if gate.passed is False)
    assert failed.code == "COSTS"
    assert failed.margin is not None and failed.margin < 0
    assert answer.nearest_miss.startswith(f"{failed.name} {failed.value:.4g}, needed")
    assert f"missing {abs(failed.margin):.4g}" in answer.nearest_miss
    assert answer.nearest_miss in answer.summary


def test_a_bar_without_a_proposal_names_the_closest_rule_and_what_it_lacked() -> None:
    """ORC-59"""
    StoredRun(market("BTC/USDT", n_bars=440)).trade(20)
    decision = Decision.objects.filter(reason_code="NO_PROPOSAL").latest("pk")
    answer = why(decision)
    assert answer.near_misses[0]["text"] == answer.nearest_miss
    assert answer.summary.endswith(f"Closest was {answer.nearest_miss}.")
    for near in answer.near_misses:
        assert near["source"] and near["conditions"]
        assert all(c["value"] is None or c["missing"] > 0 for c in near["conditions"])
    sides = {near["side"] for near in answer.near_misses}
    assert sides == {"BUY"}, "an instrument that cannot be sold short lacks no short"


def test_the_funnel_counts_what_its_lists_show() -> None:
    """ORC-19: evaluated, proposed, approved, ordered, traded; each number is a list."""
    run = StoredRun(market("BTC/USDT", "ETH/USDT", n_bars=620)).trade(200).run
    funnel = decision_funnel(run=run)
    counted = {stage.stage: stage.n for stage in funnel.stages}
    listed = {stage: decision_list(run=run, stage=stage).count() for stage in counted}
    assert counted == listed
    numbers = list(counted.values())
    assert numbers == sorted(numbers, reverse=True)
    assert counted["evaluated"] >= 400 and counted["traded"] > 0
    assert sum(loss.n for loss in funnel.losses) == counted["evaluated"] - counted["approved"]
    proposed = next(stage for stage in funnel.stages if stage.stage == "proposed")
    assert sum(proposed.by_strategy.values()) == proposed.n
    assert decision_funnel(run=None).stages[0].n == 0


def test_performance_is_measured_from_records() -> None:
    """ORC-19: latency by phase, counts by action, confidence of entries, hit rate of trades."""
    run = StoredRun(market("BTC/USDT", n_bars=620)).trade(200).run
    found = decision_performance(run=run)
    assert sum(found.by_action.values()) == found.decisions == run.decisions.count()
    assert [row.number for row in found.latencies] == list(range(1, 11))
    for row in found.latencies[:6]:
        records = [analysis_document(one)["records"][row.number - 1] for one in run.analyses.all()]
        took_ms = [record["duration_us"] / 1_000.0 for record in records]
        assert row.n == len(took_ms) == 200 and len(set(took_ms)) > 1
        assert row.p50_ms == pytest.approx(median(took_ms))
        assert row.p95_ms == pytest.approx(quantiles(took_ms, n=20, method="inclusive")[18])
    assert found.mean_confidence is not None and 0.0 < found.mean_confidence <= 1.0
    wins = sum(1 for trade in run.trades.all() if trade.pnl_quote > 0)
    assert found.trades == run.trades.count() > 0
    assert found.hit_rate_fraction == wins / found.trades
    assert found.fallbacks == {}
    nothing = decision_performance(run=None)
    assert (nothing.decisions, nothing.mean_confidence, nothing.hit_rate_fraction) == (
        0,
        None,
        None,
    )
