"""What is deleted some day, told before it is done, and what never is."""

from __future__ import annotations

import io
import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone

from accounts.models import AuditEvent, IdempotencyKey
from notifications.models import Message
from resources.models import Resolution, Sample
from tests.monitoring.factories import make_decision, make_run
from tests.notifications.scene import Scene
from tradeplatform.configuration import Configuration
from tradeplatform.configuration_retention import Retention
from tradeplatform.retention import parts, retention_run
from trades.models import Decision

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def old(settings, tmp_path: Path):
    """One thing of each kind past its days, and one that is not."""
    settings.VAR_DIR = tmp_path
    now = timezone.now()
    logs = tmp_path / "log"
    logs.mkdir()
    for name, days in (("a.log.1.gz", 91), ("b.log.1.gz", 89), ("web.log", 400)):
        (logs / name).write_text("x")
        at = (now - days * DAY).timestamp()
        os.utime(logs / name, (at, at))
    for days in (6, 8):
        IdempotencyKey.objects.create(
            actor="a", key=str(days), request_digest="d", created_at=now - days * DAY
        )
    for hours in (5, 7):
        at = now - timedelta(hours=hours)
        Sample.objects.create(host="h", resolution_s=Resolution.RAW, at=at, values={})
    run = make_run(last_event_at=now, config={"monitoring": {"holds_kept_one_in": 1_000}})
    for days in (6, 8):
        at = (now - days * DAY).replace(minute=days, second=0, microsecond=0)
        make_decision(run, at=at, strategy="platform")
    scene = Scene()
    from monitoring.services import alert_raise

    for key in ("old", "new"):
        alert_raise(code="X", severity="critical", text=key, dedupe_key=key)
    scene.look()
    first = Message.objects.order_by("pk").first()
    assert first is not None
    Message.objects.filter(pk=first.pk).update(created_at=now - 31 * DAY)
    return now


def counts(now) -> dict[str, int]:
    return {part.name: part.due() for part in parts(Configuration(), now=now)}


ONE_EACH = {"holds": 1, "samples": 1, "messages": 1, "idempotency_keys": 1, "packed_logs": 1}
# none is older than ten years and beyond the ten thousand that stay
ONE_EACH |= {"candles": 0}


def test_what_would_go_is_told_and_nothing_goes(old, tmp_path: Path):
    """D-59"""
    assert counts(old) == ONE_EACH
    assert counts(old) == ONE_EACH
    assert sorted(p.name for p in (tmp_path / "log").iterdir()) == [
        "a.log.1.gz",
        "b.log.1.gz",
        "web.log",
    ]


def test_the_timer_deletes_what_has_none_of_its_own_and_says_so(old, tmp_path: Path):
    """D-59"""
    done = retention_run(Configuration(), now=old)
    assert done == {"messages": 1, "candles": 0, "idempotency_keys": 1, "packed_logs": 1}
    assert AuditEvent.objects.get(action="retention.run").after == done
    assert counts(old) == ONE_EACH | dict.fromkeys(done, 0)
    assert sorted(p.name for p in (tmp_path / "log").iterdir()) == ["b.log.1.gz", "web.log"]
    retention_run(Configuration(), now=old)
    assert AuditEvent.objects.filter(action="retention.run").count() == 1, "nothing, so no row"


def test_the_command_tells_and_with_apply_deletes_everything_due(old):
    """D-59"""
    out = io.StringIO()
    call_command("retention", stdout=out)
    assert "messages                  1 would go   ended messages of the outbox: 30 days" in (
        out.getvalue()
    )
    out = io.StringIO()
    call_command("retention", "--apply", "--json", stdout=out, stderr=io.StringIO())
    assert json.loads(out.getvalue()) == {"applied": True, "counts": ONE_EACH}
    assert set(counts(old).values()) == {0}
    assert Decision.objects.count() == 1


def test_the_days_are_the_files(old):
    """D-59"""
    longer = Configuration(retention=Retention(messages_days=32.0, packed_logs_days=100.0))
    found = {part.name: part.due() for part in parts(longer, now=old)}
    assert (found["messages"], found["packed_logs"]) == (0, 0)
