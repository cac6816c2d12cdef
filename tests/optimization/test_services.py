"""The periodic update over rows: once a period, idempotent, never in the way of trading."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from accounts.models import AuditEvent
from optimization import services
from optimization.evidence import Cursor, evidence
from optimization.models import FinalReport, StoredLayerState, UpdatePeriod
from optimization.selectors import LONGEST_UPDATE, get_optimization_status
from optimization.services import final_report_record, optimization_update, preview
from strategies.models import HealthChange, Strategy, WeightUpdate
from strategies.services import (
    strategy_machine_edge,
    strategy_retire,
    strategy_suspend,
    strategy_unsuspend,
)
from tests.optimization.scene import NOON, Watch, make_book, make_trades, switch
from tests.trades.rows import START, make_run, make_trade
from trades.models import SideTrade, TradingRun
from trades.models.closed_trades import ClosedTrade

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
WINS, LOSSES = [1.5, -0.5] * 15, [-1.0, 0.2] * 15


def update(watch=None):
    return optimization_update(now=timezone.now(), watch=watch or Watch())


def later(run, hours=1):
    TradingRun.objects.filter(pk=run.pk).update(last_event_at=run.last_event_at + hours * HOUR)
    run.refresh_from_db()


def weights():
    return dict(Strategy.objects.values_list("code", "weight"))


def test_switched_off_nothing_is_scheduled_and_nothing_is_written():
    """OPT-40, OPT-06: the knock comes, reads one row and leaves."""
    run = make_book()
    make_trades(run, "ema-trend", WINS)
    switch(enabled=False)
    assert update().outcome == "disabled"
    assert UpdatePeriod.objects.count() == StoredLayerState.objects.count() == 0


def test_no_run_means_no_update():
    switch(enabled=True)
    assert update().outcome == "idle"


def test_one_update_a_period_by_venue_time():
    """OPT-32: due is decided by the venue's clock, not by ours."""
    run = make_book()
    assert update().outcome == "done"
    assert update().outcome == "not due"
    TradingRun.objects.update(last_event_at=NOON + timedelta(minutes=59))
    assert update().outcome == "not due"
    TradingRun.objects.update(last_event_at=NOON + HOUR)
    assert update().outcome == "done"
    assert UpdatePeriod.objects.filter(status="DONE").count() == 2
    assert run.pk


def test_an_update_asked_for_twice_late_or_for_an_old_period_has_one_effect():
    """F-079, F-023, F-026, I-12: one step of 15 %, not 1.15 squared."""
    run = make_book()
    make_trades(run, "ema-trend", WINS)
    assert [update().outcome for _ in range(3)] == ["done", "not due", "not due"]
    once = weights()
    assert 1.0 < once["ema-trend"] <= 1.15
    later(run, -3)
    assert update().outcome == "not due", "venue time went back: that period is over"
    later(run, 3 + 50)
    assert update().outcome == "done"
    assert (weights(), UpdatePeriod.objects.count()) == (once, 2)
    assert WeightUpdate.objects.filter(strategy__code="ema-trend", regime="").count() == 1


def test_a_broken_row_is_an_incident_and_the_update_goes_on():
    """F-081"""
    run = make_book()
    make_trades(run, "ema-trend", [*WINS[:9], 1e12, *WINS[9:]])
    make_trades(run, "fair-value-gap", WINS, minute=100)
    watch = Watch()
    assert update(watch).outcome == "done"
    assert weights()["ema-trend"] == 1.0 and weights()["fair-value-gap"] > 1.0
    (incident,) = watch.incidents
    assert incident.startswith("optimization.update ema-trend: trade") and "left out" in incident


def test_the_interval_is_a_setting_and_the_next_run_stands_in_the_status():
    """OPT-32: 3600 unless set, 60 honoured, below 1 refused."""
    make_book()
    update()
    status = get_optimization_status()["update"]
    assert status["interval_seconds"] == 3600.0
    assert status["next_at"] == (NOON + HOUR).isoformat()
    switch(update_interval_seconds=60)
    TradingRun.objects.update(last_event_at=NOON + timedelta(seconds=61))
    assert update().outcome == "done"
    expected = NOON + timedelta(seconds=120)
    assert get_optimization_status()["update"]["next_at"] == expected.isoformat()
    overdue = NOON + timedelta(seconds=900)
    TradingRun.objects.update(last_event_at=overdue)
    said = get_optimization_status()["update"]["next_at"]
    assert said == overdue.isoformat(), "it was off: due now, not in the past"
    with pytest.raises(services.OptimizationRefused, match=r"update_interval_seconds was 0\.5"):
        switch(update_interval_seconds=0.5)


def test_missed_periods_are_caught_up_by_one_update():
    """OPT-32"""
    run = make_book()
    update()
    make_trades(run, "ema-trend", WINS)
    later(run, 7)
    assert update().taken == 30
    assert update().outcome == "not due"
    assert UpdatePeriod.objects.count() == 2


def test_weights_follow_closed_trades_within_fifteen_percent_and_say_why():
    """OPT-33, OPT-74: rows, strategy weights, audit and evidence in one transaction."""
    run = make_book()
    make_trades(run, "ema-trend", WINS)
    make_trades(run, "fair-value-gap", LOSSES, minute=100)
    watch = Watch()
    summary = update(watch)
    assert (summary.outcome, summary.taken) == ("done", 60)
    now = weights()
    assert 1.0 < now["ema-trend"] <= 1.15
    assert 0.85 <= now["fair-value-gap"] < 1.0
    row = WeightUpdate.objects.get(strategy__code="ema-trend", regime="")
    assert (row.old_weight, row.new_weight) == (1.0, now["ema-trend"])
    assert "expectancy R" in row.reason and row.evidence["trades_r"] == 30
    audit = AuditEvent.objects.filter(action="strategy.weight", object_id="ema-trend").first()
    assert (audit.actor, audit.before["weight"]) == ("optimization", 1.0)
    (topic, data) = watch.told[0]
    assert (topic, set(data["changed"])) == ("weights", {"ema-trend", "fair-value-gap"})


def test_the_same_data_changes_nothing_twice():
    """OPT-34: the state stores as of which trade it is."""
    run = make_book()
    make_trades(run, "ema-trend", WINS)
    update()
    before = weights(), WeightUpdate.objects.count()
    later(run)
    assert update().taken == 0
    assert (weights(), WeightUpdate.objects.count()) == before
    state = StoredLayerState.objects.get()
    assert state.as_of_trade == run.trades.order_by("-pk").first().pk


def test_a_preview_is_the_update_without_its_writes():
    run = make_book()
    make_trades(run, "ema-trend", WINS)
    seen = preview()
    assert StoredLayerState.objects.count() == WeightUpdate.objects.count() == 0
    assert weights()["ema-trend"] == 1.0
    update()
    (moved,) = [row for row in seen["weights"] if not row["regime"]]
    assert (moved["strategy"], moved["new"]) == ("ema-trend", weights()["ema-trend"])


def test_an_update_degrades_a_loser_with_its_evidence_on_record():
    """OPT-35: the edge is a row with metrics, actor and audit; the status gates entries."""
    run = make_book()
    make_trades(run, "ema-trend", [-1.0] * 30)
    watch = Watch()
    update(watch)
    edge = HealthChange.objects.get()
    assert (edge.from_status, edge.to_status, edge.actor) == ("ACTIVE", "DEGRADED", "optimization")
    assert edge.metrics["trades"] == 30
    assert AuditEvent.objects.filter(action="strategy.set_status").count() == 1
    assert ("health", "ema-trend") in [(t, d.get("strategy")) for t, d in watch.told]


def test_retirement_switched_off_changes_no_status():
    """OPT-04"""
    run = make_book()
    switch(enable_retirement_management=False)
    make_trades(run, "ema-trend", [-1.0] * 30)
    assert update().edges == 0
    assert HealthChange.objects.count() == 0


def test_a_persons_word_holds_against_the_evidence_until_its_time_comes():
    """D-46: an override is not overruled; a suspension by hand is not undone by the layer."""
    run = make_book()
    strategy_suspend(code="ema-trend", actor="olga", reason="news")
    until = NOON + 5 * HOUR
    strategy_unsuspend(code="ema-trend", actor="olga", reason="over", override_until=until)
    make_trades(run, "ema-trend", [-1.0] * 40)
    for _ in range(4):
        update()
        later(run)
    assert Strategy.objects.get(code="ema-trend").status == "DEGRADED"
    assert HealthChange.objects.filter(actor="optimization").count() == 0


def test_a_practice_run_never_moves_a_status_that_gates_real_money():
    """OPT-36, D-60: the live run leads, however many simulated ones started after it."""
    live = make_book(mode="live", venue="binance")
    practice = make_run(last_event_at=NOON, started_at=START + HOUR)
    make_trades(practice, "ema-trend", [-1.0] * 40)
    assert update().book == "live:binance:main"
    later(live)
    assert update().edges == 0
    TradingRun.objects.filter(pk=live.pk).update(ended_at=NOON)
    assert update().book.startswith("practice:")


def test_a_person_may_bear_the_layers_name_and_is_a_person_all_the_same():
    """D-46: what a person suspended is left to people, however good the shadow book is."""
    run = make_book()
    strategy_suspend(code="ema-trend", actor="optimization", reason="by hand")
    assert evidence(run, Cursor(), 0).observed.standings["ema-trend"].by_person
    strategy_machine_edge(
        code="fair-value-gap",
        from_status="ACTIVE",
        to_status="SUSPENDED",
        actor="optimization",
        reason="evidence",
        metrics={"venue_at_ms": 1},
        venue_now=NOON,
    )
    assert not evidence(run, Cursor(), 0).observed.standings["fair-value-gap"].by_person


def test_no_machine_leads_out_of_retirement():
    """OPT-36, D-06"""
    run = make_book()
    strategy_retire(code="ema-trend", actor="olga", reason="done with it")
    make_trades(run, "ema-trend", WINS * 3)
    for _ in range(4):
        update()
        later(run, 24)
    assert Strategy.objects.get(code="ema-trend").status == "RETIRED"


def test_a_failing_update_is_told_and_the_next_one_runs(monkeypatch):
    """OPT-37, OPT-76: status error, one incident, nothing half written."""
    run = make_book()
    make_trades(run, "ema-trend", WINS)

    def broken(*given):
        raise RuntimeError("weights were on fire")

    monkeypatch.setattr(services, "_write_weights", broken)
    watch = Watch()
    summary = update(watch)
    assert (summary.outcome, summary.error) == ("failed", "RuntimeError: weights were on fire")
    assert watch.incidents == ["optimization.update: weights were on fire"]
    assert StoredLayerState.objects.count() == 0
    assert get_optimization_status()["status"] == "error"
    monkeypatch.undo()
    later(run)
    assert update().taken == 30
    assert get_optimization_status()["status"] == "healthy"


def test_an_update_that_was_killed_is_closed_and_caught_up():
    """OPT-37: a hang ends at the task's time limit; its row says so, the next period goes on."""
    run = make_book()
    make_trades(run, "ema-trend", WINS)
    long_ago = timezone.now() - LONGEST_UPDATE - timedelta(seconds=1)
    UpdatePeriod.objects.create(
        book="practice:practice-synthetic:main",
        period_at=NOON,
        interval_s=3600,
        status="CLAIMED",
        claimed_at=long_ago,
    )
    assert get_optimization_status()["status"] == "error"
    assert update().outcome == "not due"
    assert "killed" in UpdatePeriod.objects.get().error
    later(run)
    assert update().taken == 30


@pytest.mark.django_db(transaction=True)
def test_two_workers_make_one_update():
    """OPT-37: the unique row decides, not hope."""
    make_book()
    outcomes, start = [], threading.Barrier(2)

    def worker():
        start.wait()
        outcomes.append(update().outcome)
        connections.close_all()

    threads = [threading.Thread(target=worker) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["done", "not due"]
    assert UpdatePeriod.objects.count() == 1


def test_trades_of_another_mode_are_another_book():
    run = make_book()
    paper = make_book(mode="paper", venue="binance", started_at=START - HOUR)
    make_trades(run, "ema-trend", WINS)
    assert update().taken == 0
    make_trade(paper, 1)
    later(paper)
    assert update().taken == 1


def test_a_run_that_goes_on_under_another_row_is_the_same_book():
    """OPT-31: a restart that opens a new run keeps what was learned."""
    first = make_book()
    make_trades(first, "ema-trend", WINS)
    update()
    learned = weights()
    TradingRun.objects.filter(pk=first.pk).update(ended_at=NOON)
    make_book(at=NOON + HOUR, started_at=NOON)
    assert update().taken == 0
    assert weights() == learned


def test_changes_are_told_at_their_level_and_silence_says_nothing_changed(caplog):
    """OPT-38, OPT-60: the printed sentence, then key=value; no line where nothing changed."""
    run = make_book()
    make_trades(run, "ema-trend", [-1.0] * 30)
    with caplog.at_level(logging.INFO, logger="optimization"):
        update()
    levels = {r.levelname: r.getMessage() for r in caplog.records}
    assert all(r.getMessage().startswith("[OPTIMIZATION] ") for r in caplog.records)
    assert levels["INFO"].startswith("[OPTIMIZATION] Weight updates: {'ema-trend': 0.85}")
    assert "Degraded strategies: ['ema-trend']" in levels["WARNING"]
    caplog.clear()
    later(run)
    with caplog.at_level(logging.INFO, logger="optimization"):
        update()
    assert caplog.records == []


def test_an_alert_is_told_when_it_comes_and_when_it_goes(caplog):
    """OPT-65, OPT-68"""
    run = make_book()
    strategy_suspend(code="ema-trend", actor="olga", reason="news")
    watch = Watch()
    with caplog.at_level(logging.INFO, logger="optimization"):
        update(watch)
        assert watch.standing == ["SUSPENDED"]
        later(run)
        update(watch)
        strategy_unsuspend(code="ema-trend", actor="olga", reason="over")
        later(run)
        update(watch)
    assert watch.standing == []
    said = [r.getMessage() for r in caplog.records]
    for words in ("Alert raised: suspended: ema-trend", "Alert cleared: suspended: ema-trend"):
        assert sum(words in line for line in said) == 1, words


def test_the_final_report_is_logged_and_kept(caplog):
    """OPT-69"""
    make_book()
    with caplog.at_level(logging.INFO, logger="optimization"):
        report = final_report_record(worker="general@host")
    assert FinalReport.objects.get() == report
    assert report.payload["health"]["active"] == ["ema-trend", "fair-value-gap"]
    said = [r.getMessage() for r in caplog.records]
    assert said[0].startswith("[OPTIMIZATION] Optimization Final Report")
    assert said[2] == "[OPTIMIZATION] Final Allocation: {'ema-trend': 0.5, 'fair-value-gap': 0.5}"


def test_virtual_trades_of_a_suspended_strategy_are_evidence_of_recovery_and_nothing_else():
    """OPT-36, D-07: taken once, into the shadow window; weights do not follow them."""
    run = make_book()
    strategy_suspend(code="ema-trend", actor="olga", reason="evidence")
    make_trades(run, "fair-value-gap", WINS)
    update()
    later(run)
    own = run.trades.first()
    for minute in range(12):
        SideTrade.objects.create(
            **{f.attname: getattr(own, f.attname) for f in ClosedTrade._meta.fields}
            | {"strategy": "ema-trend", "r_multiple": 1.0, "trade_id": f"s{minute}"},
            run=run,
            book="shadow",
        )
    before = weights()
    SideTrade.objects.update(opened_at=NOON, closed_at=NOON + timedelta(minutes=30))
    assert update().taken == 12
    later(run)
    assert update().taken == 0
    state = StoredLayerState.objects.get()
    assert state.as_of_side_trade == SideTrade.objects.order_by("-pk").first().pk
    assert len(state.payload["strategies"]["ema-trend"]["health"]["shadow"]) == 12
    assert weights()["ema-trend"] == before["ema-trend"]


def test_a_counterfactual_trade_teaches_nothing():
    """D-60: what would have been without the layer is shown, never learned from."""
    run = make_book()
    make_trades(run, "fair-value-gap", WINS[:1])
    own = run.trades.first()
    fields = {f.attname: getattr(own, f.attname) for f in ClosedTrade._meta.fields}
    SideTrade.objects.create(**fields, run=run, book="counterfactual")
    assert update().taken == 1
