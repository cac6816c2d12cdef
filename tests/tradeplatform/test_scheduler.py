"""Beat's own knocks: on runs of accounts that have a worker of their own."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from django_celery_beat.schedulers import DatabaseScheduler

from monitoring.models import Heartbeat
from tests.trades.rows import START, make_run
from tradeplatform import scheduler, tasks
from tradeplatform.celery import app
from trades import tasks as trading
from trades.models import TradingRun

pytestmark = pytest.mark.django_db
Sent = list[tuple[Any, ...]]
KNOCK = "advance due runs"


@pytest.fixture
def second() -> TradingRun:
    make_run()
    make_run(account="gone", config={"accounts": {"gone": {}}}, ended_at=START)
    return make_run(account="second", config={"accounts": {"second": {}}})


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    found: Sent = []
    for task in (trading.advance, tasks.heartbeat_account):
        name = task.name.rpartition(".")[2]
        monkeypatch.setattr(
            task,
            "apply_async",
            lambda args, name=name, **to: found.append((name, *args, to.get("queue"))),
        )
    monkeypatch.setattr(DatabaseScheduler, "tick", lambda self: 1.0)
    monkeypatch.setattr(DatabaseScheduler, "schedule", {})
    monkeypatch.setattr(scheduler, "waiting", lambda queue: 0)
    return found


def beat() -> scheduler.BeatScheduler:
    return scheduler.BeatScheduler.__new__(scheduler.BeatScheduler)


def test_an_account_apart_is_knocked_on_by_beat_and_main_by_its_own_worker(
    second: TradingRun, sent: Sent
) -> None:
    """D-59: a worker stuck on one account's venue passes on nobody's knocks."""
    beat().tick()
    assert sent == [
        ("advance", second.pk, "trading.second"),
        ("heartbeat_account", "trading.second", "trading.second"),
    ]
    sent.clear()
    trading.advance_due()
    main = TradingRun.objects.get(account="main")
    assert sent == [("advance", main.pk, None)]


def test_knocks_are_a_second_apart_and_none_pile_up_where_nobody_takes_them(
    second: TradingRun, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D-59: an account whose worker is not up must not fill the broker that all share."""
    knocking = beat()
    knocking.tick()
    n_sent = len(sent)
    knocking.tick()
    assert len(sent) == n_sent
    monkeypatch.setattr(scheduler, "waiting", lambda queue: scheduler.MOST_WAITING + 1)
    beat().tick()
    assert len(sent) == n_sent


def test_a_broker_that_is_away_stops_no_beat(
    second: TradingRun, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D-59: the schedule goes on, and beat's own heartbeat with it."""
    monkeypatch.undo()
    monkeypatch.setattr(DatabaseScheduler, "tick", lambda self: 1.0)
    monkeypatch.setattr(DatabaseScheduler, "schedule", {})
    assert beat().tick() == 1.0
    assert Heartbeat.objects.get().component == "beat"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("jumped", [timedelta(hours=-2), timedelta(hours=2)], ids=["back", "on"])
def test_a_clock_that_jumps_two_hours_neither_stops_beat_nor_makes_a_storm(
    jumped: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-027: each job runs at most once for it, and goes on from there."""
    knocking = scheduler.BeatScheduler(app=app)
    sent: Counter[str] = Counter()
    monkeypatch.setattr(scheduler.BeatScheduler, "producer", None)
    monkeypatch.setattr(knocking, "apply_async", lambda entry, **_: sent.update([entry.name]))
    for entry in knocking.schedule.values():
        # what ran just now by the clock before the jump
        entry.last_run_at = entry.model.last_run_at = timezone.now() - jumped
    # nothing of this is written down when the test's process ends
    knocking._finalize.cancel()
    began_s = time.monotonic()
    while sent[KNOCK] < 2 and time.monotonic() - began_s < 60:
        # a beat that is late by now asks for less than nothing, as Celery's own loop bears
        time.sleep(max(0.0, min(knocking.tick(), 0.05)))
    assert sent[KNOCK] == 2, "it goes on knocking each second"
    assert time.monotonic() - began_s > 0.9, "and no faster, whatever was missed"
    jobs = settings.CELERY_BEAT_SCHEDULE.items()
    seldom = [name for name, job in jobs if job["schedule"] == 900.0]
    assert seldom and all(sent[name] <= 1 for name in seldom)
