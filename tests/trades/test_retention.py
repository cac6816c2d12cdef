"""Old holds are sampled; proposals, blocks, trades and what they refer to stay."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from accounts.audit import audit_verify
from accounts.models import AuditEvent
from tests.kept_rows import kept_rows
from tests.trades.stored_run import StoredRun, market
from trades.models import Analysis, Decision, Fill, Order
from trades.records import milliseconds
from trades.retention import Retention, decisions_thin, is_thinned, retention_run

pytestmark = pytest.mark.django_db

EVERY_TENTH = Retention(holds_kept_days=0.02, holds_kept_one_in=10, batch=7, batches=100)


@pytest.fixture(scope="module")
def kept(django_db_setup: None, django_db_blocker: Any) -> Iterator[StoredRun]:
    with kept_rows(django_db_blocker):
        yield StoredRun(market("BTC/USDT", n_bars=620)).trade(200)


@pytest.fixture
def stored(kept: StoredRun, db: None) -> StoredRun:
    kept.run.refresh_from_db()
    return kept


def holds(stored: StoredRun) -> set[int]:
    rows = Decision.objects.filter(run=stored.run, strategy="platform")
    return {milliseconds(at) for at in rows.values_list("bar_close_at", flat=True)}


def test_one_hold_in_k_stays_and_everything_on_a_proposal_does(stored: StoredRun) -> None:
    """ORC-20: rows stop growing without bound; blocks and trades are all kept."""
    run = stored.run
    proposed = Decision.objects.exclude(strategy="platform")
    before = (proposed.count(), Order.objects.count(), Fill.objects.count())
    assert min(before) > 0
    limit = milliseconds(run.last_event_at - timedelta(days=0.02))
    expected = {at for at in holds(stored) if at >= limit or (at // 60_000) % 10 == 0}
    thinned = decisions_thin(run=run, retention=EVERY_TENTH)
    assert holds(stored) == expected
    assert (proposed.count(), Order.objects.count(), Fill.objects.count()) == before
    assert thinned.is_complete and thinned.decisions_deleted > 100
    assert not Analysis.objects.filter(decisions__isnull=True).exists()


def test_counts_are_in_the_audit_log_and_its_chain_holds(stored: StoredRun) -> None:
    thinned = decisions_thin(run=stored.run, retention=EVERY_TENTH)
    rows = AuditEvent.objects.filter(action="decisions.thin", object_id=str(stored.run.code))
    assert sum(row.after["decisions_deleted"] for row in rows) == thinned.decisions_deleted
    assert rows.count() == -(-thinned.decisions_deleted // EVERY_TENTH.batch)
    assert audit_verify() is None
    assert is_thinned(stored.run)


def test_a_second_time_nothing_is_left_to_do(stored: StoredRun) -> None:
    first = decisions_thin(run=stored.run, retention=EVERY_TENTH)
    second = decisions_thin(run=stored.run, retention=EVERY_TENTH)
    assert (second.decisions_deleted, second.is_complete) == (0, True)
    assert second.holds_kept == first.holds_kept > 0


def test_one_call_does_a_bounded_amount_and_says_that_more_is_left(stored: StoredRun) -> None:
    small = Retention(holds_kept_days=0.02, holds_kept_one_in=10, batch=5, batches=2)
    thinned = decisions_thin(run=stored.run, retention=small)
    assert (thinned.decisions_deleted, thinned.is_complete) == (10, False)


def test_shipped_settings_keep_a_week_and_a_run_may_say_otherwise(stored: StoredRun) -> None:
    assert retention_run() == {}, "nothing here is a week old"
    assert not is_thinned(stored.run)
    stored.run.config["monitoring"] = {"holds_kept_days": 0.1, "holds_kept_one_in": 2}
    assert Retention.of_run(stored.run) == Retention(holds_kept_days=0.1, holds_kept_one_in=2)
    keep_all = Retention(holds_kept_days=0.0, holds_kept_one_in=1)
    assert decisions_thin(run=stored.run, retention=keep_all).decisions_deleted == 0
