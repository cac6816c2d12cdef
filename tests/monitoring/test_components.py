"""Heartbeats, judged."""

from datetime import timedelta

import pytest
from django.utils import timezone

from monitoring.components import behind_bars, component_list
from monitoring.models import Heartbeat
from monitoring.selectors import strip
from tests.accounts.callers import anonymous, by_token
from tests.trades.rows import make_run
from trades.lease import lease_reserve
from trades.runner import AdvanceSummary

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("age_s", "is_late"), [(0, False), (29.9, False), (30.1, True)])
def test_a_component_is_late_after_three_periods_of_silence(age_s, is_late):
    """F-025"""
    now = timezone.now()
    Heartbeat.objects.create(
        component="trading", at=now - timedelta(seconds=age_s), expected_every_s=10
    )
    (state,) = component_list(now)
    assert state.is_late is is_late
    assert state.age_s == pytest.approx(age_s)


def test_health_is_degraded_while_a_component_is_late_and_names_none():
    """SEC-50"""
    at = timezone.now() - timedelta(hours=1)
    Heartbeat.objects.create(component="trading", at=at, expected_every_s=10)
    assert anonymous().get("/api/v1/health").json() == {"status": "degraded"}
    rows = by_token("viewer").get("/api/v1/monitoring/components").json()["results"]
    assert rows[0]["is_late"] is True


def beat(component, now, *, age_s=0.0, version="1.0"):
    Heartbeat.objects.create(
        component=component,
        at=now - timedelta(seconds=age_s),
        expected_every_s=10,
        code_version=version,
    )


def told(now):
    return {row.component: (row.state.value, row.reason) for row in component_list(now)}


def test_the_loop_of_an_open_run_is_new_until_a_worker_advanced_it():
    """ORC-65"""
    now = timezone.now()
    make_run()
    assert told(now) == {"loop": ("new", "no worker has advanced the run yet")}
    beat("loop", now)
    assert told(now) == {"loop": ("up", "")}


@pytest.mark.parametrize(("age_s", "state"), [(0, "up"), (50, "late"), (500, "down")])
def test_the_age_of_the_last_success_is_the_state(age_s, state):
    """ORC-65, F-025"""
    now = timezone.now()
    make_run()
    beat("loop", now, age_s=age_s)
    assert told(now) == {"loop": (state, "")}


def test_a_loop_without_an_open_run_is_paused_and_nobody_is_unwell():
    """ORC-65"""
    now = timezone.now()
    make_run(mode="replay")
    beat("loop", now, age_s=500)
    assert told(now) == {"loop": ("paused", "no run is open")}
    assert anonymous().get("/api/v1/health").json() == {"status": "ok"}


def test_a_run_reserved_for_another_version_is_idle_with_both_versions_named():
    """F-091, ORC-65: the worker lives and may not; a dead worker is no such case."""
    now = timezone.now()
    lease_reserve(run=make_run(), code_version="2.0")
    beat("loop", now, age_s=500, version="1.0")
    beat("trading", now, version="1.0")
    state, reason = told(now)["loop"]
    assert state == "idle"
    assert "reserved for version 2.0, its worker is of version 1.0" in reason
    assert anonymous().get("/api/v1/health").json() == {"status": "degraded"}
    (row,) = by_token("viewer").get("/api/v1/monitoring/components").json()["results"][:1]
    assert (row["component"], row["state"], row["reason"]) == ("loop", "idle", reason)
    Heartbeat.objects.filter(component="trading").update(at=now - timedelta(seconds=500))
    assert told(now)["loop"] == ("down", "")


def test_the_strip_says_how_far_a_run_s_loop_was_behind_its_venue_when_it_last_advanced():
    """Another run's lag is not this one's, and whoever has ended lags no more."""
    run = make_run()
    assert strip(run)["behind_bars"] is None
    beat("loop", timezone.now())
    summary = AdvanceSummary(run.pk, "advanced", behind_bars=12).as_dict()
    Heartbeat.objects.update(detail=summary)
    assert strip(run)["behind_bars"] == 12
    Heartbeat.objects.update(detail={**summary, "run_id": run.pk + 1})
    assert behind_bars(run) is None
    Heartbeat.objects.update(detail=summary)
    run.ended_at = timezone.now()
    assert behind_bars(run) is None


def test_the_strip_knows_from_when_on_the_silence_of_a_loop_is_too_long():
    """Fifteen seconds for a loop that is heard every ten at the latest; none for one that ended."""
    run, at = make_run(), timezone.now().replace(microsecond=0)
    assert strip(run)["loop_quiet_at_ms"] is None, "it has not worked yet"
    beat("loop", at)
    Heartbeat.objects.update(
        detail=AdvanceSummary(run.pk, "advanced").as_dict(), expected_every_s=10.0
    )
    assert strip(run)["loop_quiet_at_ms"] == round(at.timestamp() * 1000) + 15_000
    run.ended_at = at
    assert strip(run)["loop_quiet_at_ms"] is None
