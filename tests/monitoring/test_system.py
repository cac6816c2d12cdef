"""The status document of all components."""

from datetime import timedelta

import pytest
from django.utils import timezone

from monitoring.models import Heartbeat
from monitoring.system import system_charts, system_status
from resources.models import Sample
from tests.accounts.callers import by_token

pytestmark = pytest.mark.django_db
WELL = {
    "host.cpu": 0.2,
    "host.memory_used": 0.2,
    "host.memory_available": 2e10,
    "volume:data.disk_used": 0.2,
}


def beat(component, age_s, now):
    Heartbeat.objects.create(
        component=component,
        at=now - timedelta(seconds=age_s),
        expected_every_s=10,
        code_version="1.2.3",
    )


def sample(now, values):
    Sample.objects.create(host="here", resolution_s=0, at=now, values=values)


def test_every_component_is_told_with_state_last_success_and_version():
    """ORC-65, ORC-21"""
    now = timezone.now()
    for component, age_s in (("trading", 1), ("general", 50), ("beat", 500)):
        beat(component, age_s, now)
    told = {row["component"]: row for row in system_status(now)["components"]}
    assert {name: row["state"] for name, row in told.items()} == {
        "trading": "up",
        "general": "late",
        "beat": "down",
    }
    assert told["beat"]["last_success_at"] == now - timedelta(seconds=500)
    assert told["beat"]["version"] == "1.2.3"


@pytest.mark.parametrize(
    ("ages", "values", "expected"),
    [
        ([1, 1], WELL, "healthy"),
        ([1, 50], WELL, "warning"),
        ([1, 500], WELL, "critical"),
        ([1, 1], WELL | {"host.cpu": 0.85}, "warning"),
        ([1, 50], WELL | {"host.cpu": 0.95}, "critical"),
        ([1, 1], None, "unknown"),
    ],
)
def test_the_whole_is_as_well_as_its_worst_part(ages, values, expected):
    """ORC-65, ORC-31"""
    now = timezone.now()
    for number, age_s in enumerate(ages):
        beat(f"part{number}", age_s, now)
    if values is not None:
        sample(now, values)
    assert system_status(now)["state"] == expected


def test_the_status_is_served_to_users():
    """ORC-65"""
    now = timezone.now()
    beat("trading", 1, now)
    sample(now, WELL)
    told = by_token("viewer").get("/api/v1/monitoring/status").json()
    assert told["components"][0]["component"] == "trading"
    assert told["resources"]["health"] == "healthy"


def test_the_queues_that_are_drawn_are_those_that_were_sampled():
    """ORC-65: an account apart has a queue of its own, and no line is drawn of one nobody has."""
    now = timezone.now()
    sample(now, {"queue:trading.age": 0.5, "queue:trading-second.age": 1.5, "queue:io.depth": 3.0})
    drawn = system_charts(now, hours=1)["charts"]["queues"]
    assert [line["key"] for line in drawn] == ["queue:trading-second.age", "queue:trading.age"]
