"""Heartbeats, judged."""

from datetime import timedelta

import pytest
from django.utils import timezone

from monitoring.components import component_list
from monitoring.models import Heartbeat
from tests.accounts.callers import anonymous, by_token

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
