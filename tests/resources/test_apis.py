"""What the optimizer tells over HTTP, and what may be asked of it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from resources.models import (
    IncidentStep,
    Maintenance,
    OptimizerAction,
    Resolution,
    ResourceIncident,
    Sample,
)
from resources.switches import config_holding
from tests.accounts.callers import anonymous, by_token

pytestmark = pytest.mark.django_db
VALUES = {
    "host.cpu": 0.95,
    "host.memory_used": 0.2,
    "host.memory_available": 2e10,
    "volume:data.disk_used": 0.3,
    "work:decision.p95": 120.0,
    "process:trading.rss": 2.5e8,
    "gpu:0.gpu": None,
}


@pytest.fixture
def sampled():
    now = timezone.now()
    for age in range(12):
        Sample.objects.create(
            host="here",
            resolution_s=Resolution.RAW,
            at=now - timedelta(seconds=5 * age),
            values=VALUES,
        )
    return now


def get(path, role="viewer"):
    answer = by_token(role).get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def an_action(**given):
    fields = {
        "action": "clean-temp",
        "origin": "schedule",
        "actor": "timetable",
        "reason": "it is time for it",
        "state": "judged",
        "started_at": timezone.now(),
        "verdict": "success",
        "improvement": 0.5,
        "saved": {"bytes": 4_096.0},
    }
    return OptimizerAction.objects.create(**fields | given)


def test_the_samples_are_told_by_resolution(sampled):
    """ORC-63"""
    told = get("monitoring/samples?page_size=5")
    assert told["results"][0]["values"] == VALUES
    assert told["next_cursor"]
    assert get("monitoring/samples?resolution=hour")["results"] == []


def test_usage_tells_means_slopes_and_the_largest_consumer_first(sampled):
    """ORC-30"""
    rows = {row["key"]: row for row in get("monitoring/usage")["results"]}
    assert rows["host.cpu"]["mean"] == pytest.approx(0.95)
    assert rows["host.cpu"]["limit"] == 0.8
    assert rows["process:trading.rss"]["n"] == 12


def test_rules_tell_limits_newest_values_and_the_actions_behind_them(sampled):
    """ORC-46, ORC-49"""
    Maintenance.objects.create(code="clean-temp", every_s=60, next_at=sampled)
    told = get("optimizer/rules")
    cpu = next(row for row in told["results"] if row["code"] == "cpu")
    assert (cpu["limit"], cpu["value"], cpu["actions"][0]) == (0.8, 0.95, "shed-research")
    assert told["health"] == "critical"
    assert told["timetable"][0]["code"] == "clean-temp"
    assert told["settings"]["observe_only"] is False


def test_the_report_counts_what_the_history_holds():
    """ORC-63, ORC-70, ORC-53"""
    an_action()
    an_action(verdict="no effect", improvement=0.0, saved={})
    an_action(state="failed", verdict="not measurable", improvement=None, saved={})
    an_action(started_at=timezone.now() - timedelta(days=30))
    since = (timezone.now() - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = get(f"optimizer/report?since={since}")
    assert told["total"]["attempts"] == 3
    assert told["total"]["success_rate"] == 0.5
    assert told["saved"] == {"bytes": 4_096.0}
    assert get("optimizer/report")["total"]["attempts"] == 4


def test_latency_by_week_flags_the_week_that_got_worse():
    """ORC-62"""
    now = timezone.now()
    for weeks_ago, p95 in ((3, 100.0), (2, 101.0), (1, 180.0)):
        for hour in range(3):
            at = now - timedelta(weeks=weeks_ago, hours=hour)
            values = {"work:decision.p95": [12.0, p95, p95, p95, p95]}
            Sample.objects.create(host="here", resolution_s=Resolution.HOUR, at=at, values=values)
    weeks = get("optimizer/report")["trends"]["work:decision.p95"]
    assert weeks[-1]["is_regression"] is True
    assert weeks[0]["change"] is None
    assert sum(week["n"] for week in weeks) == 9 * 12


def test_an_incident_is_told_with_its_stages():
    """ORC-57"""
    now = timezone.now()
    incident = ResourceIncident.objects.create(
        rule="cpu", kind="threshold", key="host.cpu", cause="busy", limit=0.8, first_value=0.9,
        worst_value=0.9, last_value=0.9, opened_at=now, last_at=now,
    )  # fmt: skip
    IncidentStep.objects.create(incident=incident, stage="monitor", at=now, text="read")
    (row,) = get("optimizer/incidents?state=open")["results"]
    assert row["steps"][0]["stage"] == "monitor"
    assert get("optimizer/incidents?state=resolved")["results"] == []


def test_an_operator_runs_an_action_with_a_reason_and_it_is_on_record(settings, tmp_path):
    """ORC-51"""
    settings.VAR_DIR = tmp_path
    body = {"action": "clean-temp", "reason": "the disk looked full"}
    answer = by_token("operator").post("/api/v1/optimizer/actions", body, format="json")
    assert answer.status_code == 201, answer.content
    row = OptimizerAction.objects.get()
    assert (row.origin, row.reason, row.state) == ("person", "the disk looked full", "measuring")
    assert AuditEvent.objects.filter(action="optimizer.act", reason=row.reason).exists()
    assert (
        by_token("viewer").post("/api/v1/optimizer/actions", body, format="json").status_code == 403
    )


def test_an_unknown_action_is_refused_with_what_is_allowed():
    body = {"action": "format-disk", "reason": "why not"}
    answer = by_token("operator").post("/api/v1/optimizer/actions", body, format="json")
    assert answer.status_code == 400
    assert "clean-temp" in answer.content.decode()


def test_only_an_administrator_changes_what_the_optimizer_may_do():
    """ORC-46: each rule and the whole of it can be switched off, audited, with a reason."""
    body = {"settings": {"observe_only": True, "disabled_rules": ["cpu"]}, "reason": "a busy day"}
    path = "/api/v1/optimizer/settings"
    assert by_token("operator").post(path, body, format="json").status_code == 403
    answer = by_token("admin").post(path, body, format="json")
    assert answer.status_code == 200, answer.content
    assert config_holding().observe_only is True
    assert config_holding().disabled_rules == ("cpu",)
    bad = {"settings": {"cpu_limit": 7}, "reason": "x"}
    refused = by_token("admin").post(path, bad, format="json")
    assert refused.status_code == 400
    assert "cpu_limit was 7, allowed: 0.05 to 1" in refused.content.decode()


def test_prometheus_reads_the_newest_round_with_a_token(sampled):
    """ORC-63"""
    an_action()
    assert anonymous().get("/metrics").status_code == 401
    text = by_token("viewer").get("/metrics").content.decode()
    assert 'tradeplatform_cpu_fraction{subject="host"} 0.95' in text
    assert 'tradeplatform_rss_bytes{subject="process:trading"} 2.5e+08' in text
    assert 'tradeplatform_health{level="critical"} 1.0' in text
    assert (
        'tradeplatform_optimizer_actions_total{action="clean-temp",verdict="success"} 1.0' in text
    )
    assert "gpu:0" not in text
