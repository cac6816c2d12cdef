"""The pages of decisions: percent where a person reads, panels that say whose they are."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from strategies.models import SettledBar
from tests.monitoring import factories as make
from tests.monitoring import scene
from trades.models import TradingRun

pytestmark = pytest.mark.django_db


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


def test_the_sources_of_many_bars_cost_no_query_a_bar(operator, run):
    """Each bar's opinions are in its own row; nothing else is read for them."""
    counts = []
    for first, last in ((0, 30), (30, 300)):
        SettledBar.objects.bulk_create(settled(run, minute) for minute in range(first, last))
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(reverse("sources")).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def settled(run, minute):
    at = run.started_at + timedelta(minutes=minute)
    return SettledBar(
        run_code=run.code,
        symbol="BTC/USDT",
        opinion_at=at,
        settled_at=at + timedelta(minutes=12),
        regime="QUIET",
        outcome_up=minute % 2,
        opinions={"forest": 0.4 + 0.2 * (minute % 3 == 0), "ema-trend": 0.55},
    )
