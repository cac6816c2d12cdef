"""The pages of decisions: percent where a person reads, and a training asked for by hand."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent
from strategies.models import TrainingJob
from tests.monitoring import factories as make
from tests.monitoring import scene
from trades.models import TradingRun

pytestmark = pytest.mark.django_db
ASK = {"code": "forest", "reason": "new regime, I think"}


@pytest.fixture
def operator(client):
    client.force_login(make.make_user("olga", "operator"))
    return client


@pytest.fixture
def run():
    scene.build(n_bars=60)
    run = TradingRun.objects.get()
    run.last_event_at = timezone.now()
    run.save()
    return run


@pytest.mark.parametrize("name", ["performance", "sources", "evolution"])
def test_every_page_of_decisions_marks_its_panels(operator, name):
    assert operator.get(reverse(name)).status_code == 200
    scene.build(n_bars=60)
    text = operator.get(reverse(name)).content.decode()
    assert text.count('<section class="panel"') == text.count('<span class="tag SIMULATED">')


def test_shares_are_told_in_percent(operator, run):
    """D-16: a fraction beside the word "of" reads as a count."""
    text = operator.get(reverse("performance")).content.decode()
    assert " % of " in text.split("Trades closed with a profit")[1][:60]


def test_a_training_is_asked_for_with_a_reason(operator, run):
    answer = operator.post(reverse("evolution-ask"), ASK, follow=True)
    job = TrainingJob.objects.get()
    assert (job.code, job.actor, job.reason) == ("forest", "olga", ASK["reason"])
    assert b"A training of forest was asked for" in answer.content
    assert ASK["reason"].encode() in answer.content
    assert AuditEvent.objects.filter(actor="olga").exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"reason": " "}, "reason was empty"),
        ({"code": "oracle"}, "oracle"),
        ({"code": "online-linear"}, "online-linear"),
    ],
)
def test_what_cannot_be_trained_is_told(operator, run, given, told):
    text = operator.post(reverse("evolution-ask"), ASK | given, follow=True).content.decode()
    assert "Nothing was asked for" in text and told in text
    assert not TrainingJob.objects.exists()


def test_a_viewer_may_not_train(client, run):
    """SEC-9"""
    client.force_login(make.make_user("vera", "viewer"))
    assert client.post(reverse("evolution-ask"), ASK).status_code == 403
    assert "Train a new model" not in client.get(reverse("evolution")).content.decode()


def test_the_sources_of_many_bars_cost_no_query_a_bar(operator, run, django_assert_max_num_queries):
    """Each bar's opinions are in its own row; nothing else is read for them."""
    with django_assert_max_num_queries(20):
        assert operator.get(reverse("sources")).status_code == 200
