"""The system page."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent
from resources.models import OptimizerAction, Sample
from resources.switches import config_holding
from tests.monitoring import factories as make

pytestmark = pytest.mark.django_db
VALUES = {"host.cpu": 0.25, "process:trading.rss": 2.5e8, "process:trading.cpu": 0.1}


@pytest.fixture
def sampled():
    now = timezone.now()
    for age in range(5):
        at = now - timedelta(seconds=5 * age)
        Sample.objects.create(host="here", resolution_s=0, at=at, values=VALUES)
    OptimizerAction.objects.create(
        action="shed-research", origin="trigger", actor="optimizer", reason="busy", state="judged",
        started_at=now, applied_at=now, verdict="success", improvement=0.4,
    )  # fmt: skip


def login(client, role):
    client.force_login(make.make_user(f"u-{role}", role))
    return client


def test_the_page_works_without_samples_and_shows_them_when_there_are(client, sampled):
    """ORC-63"""
    page = login(client, "viewer").get(reverse("system"))
    assert page.status_code == 200
    text = page.content.decode()
    assert "shed-research" in text
    assert "40.0 %" in text
    assert "Only observe" not in text
    Sample.objects.all().delete()
    assert client.get(reverse("system")).status_code == 200


def test_the_charts_have_the_samples_and_the_actions_that_fall_on_them(client, sampled):
    """ORC-63"""
    told = login(client, "viewer").get(reverse("system-data")).json()
    (line,) = told["charts"]["processors"]
    assert (line["unit"], line["values"]) == ("fraction", [0.25] * 5)
    assert told["charts"]["processes"][0]["key"] == "process:trading.rss"
    assert told["actions"][0]["action"] == "shed-research"


def test_an_administrator_lets_it_only_observe_with_a_reason(client):
    """ORC-46"""
    body = {"observe_only": "true", "reason": "a busy day"}
    assert login(client, "operator").post(reverse("optimizer-switch"), body).status_code == 403
    login(client, "admin").post(reverse("optimizer-switch"), body | {"reason": " "})
    assert config_holding().observe_only is False
    client.post(reverse("optimizer-switch"), body)
    assert config_holding().observe_only is True
    assert AuditEvent.objects.filter(action="settings.change", reason="a busy day").exists()
