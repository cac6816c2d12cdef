"""One worker advances a run; who lost the lease cannot commit (F-010, F-011, I-16)."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from tests.trades.rows import make_run
from trades.errors import LeaseLost
from trades.lease import Fence, Renewal, lease_acquire, lease_kept, lease_reserve
from trades.models import Lease, TradingRun
from trades.runner import AdvanceSummary, Runner

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> TradingRun:
    return make_run()


def expire(run: TradingRun) -> None:
    Lease.objects.filter(run=run).update(expires_at=timezone.now() - timedelta(seconds=1))


def test_a_second_worker_stays_idle_while_the_lease_is_held(run: TradingRun) -> None:
    """F-011: two workers on one queue, one holds the lease, the other does nothing."""
    assert lease_acquire(run=run, holder="a", code_version="1") is not None
    assert lease_acquire(run=run, holder="b", code_version="1") is None


def test_keeping_the_lease_keeps_the_token_and_taking_it_over_raises_it(run: TradingRun) -> None:
    """I-16: tokens strictly increase from holder to holder."""
    first = lease_acquire(run=run, holder="a", code_version="1")
    again = lease_acquire(run=run, holder="a", code_version="1")
    expire(run)
    other = lease_acquire(run=run, holder="b", code_version="1")
    assert first is not None and again is not None and other is not None
    assert first.token == again.token
    assert other.token > first.token


def test_the_paused_holder_is_refused_after_somebody_took_over(run: TradingRun) -> None:
    """F-010: a worker that was stopped past its expiry cannot write any more."""
    paused = lease_acquire(run=run, holder="a", code_version="1")
    expire(run)
    lease_acquire(run=run, holder="b", code_version="1")
    assert paused is not None
    with pytest.raises(LeaseLost), transaction.atomic():
        paused.assert_held()
    with pytest.raises(LeaseLost):
        paused.renew()


def test_an_expired_lease_is_refused_even_if_nobody_took_it(run: TradingRun) -> None:
    """I-16: somebody may be taking it at this very moment."""
    mine = lease_acquire(run=run, holder="a", code_version="1")
    expire(run)
    assert mine is not None
    with pytest.raises(LeaseLost), transaction.atomic():
        mine.assert_held()


def test_a_worker_of_an_older_deployment_loses_its_lease_and_idles(
    run: TradingRun, caplog: pytest.LogCaptureFixture
) -> None:
    """F-091, I-16: one worker of the last version was left running; it says so once."""
    sessions: list[Fence] = []

    def built(_: TradingRun, fence: Fence) -> SlowSession:
        sessions.append(fence)
        return SlowSession(fence)

    old, new = Runner(built, "0.1+a"), Runner(built, "0.1+b")
    lease_reserve(run=run, code_version="0.1+a")
    assert old.advance(run.pk).outcome == "advanced"
    lease_reserve(run=run, code_version="0.1+b")
    assert [old.advance(run.pk).outcome for _ in range(3)] == ["other code version"] * 3
    assert new.advance(run.pk).outcome == "held by another worker"
    expire(run)
    assert old.advance(run.pk).outcome == "other code version"
    assert new.advance(run.pk).outcome == "advanced"
    assert [fence.token for fence in sessions] == [1, 2]
    (line,) = [record.getMessage() for record in caplog.records]
    assert "0.1+a" in line and "0.1+b" in line


def test_a_run_that_no_start_has_reserved_is_anybodys(run: TradingRun) -> None:
    assert Runner(lambda _, fence: SlowSession(fence), "x").advance(run.pk).outcome == "advanced"


@pytest.mark.django_db(transaction=True)
def test_a_fence_proves_nothing_outside_a_transaction() -> None:
    mine = lease_acquire(run=make_run(), holder="a", code_version="1")
    assert mine is not None
    with pytest.raises(RuntimeError, match="outside a transaction"):
        mine.assert_held()


@pytest.mark.django_db(transaction=True)
def test_a_session_that_takes_longer_to_build_than_the_lease_lasts_still_trades(
    settings: Any,
) -> None:
    """F-011, I-16: a slow machine's first start is no reason to let another worker begin."""
    settings.LEASE_SECONDS = 0.6
    run, rivals = make_run(), []

    def slow(run: TradingRun, fence: Fence) -> SlowSession:
        for _ in range(6):
            time.sleep(0.3)
            rivals.append(lease_acquire(run=run, holder="rival", code_version="1"))
        return SlowSession(fence)

    runner = Runner(slow, "1")
    assert runner.advance(run.pk).outcome == "advanced"
    assert rivals == [None] * 6
    token = Lease.objects.get(run=run).token
    assert runner.advance(run.pk).outcome == "advanced"
    assert Lease.objects.get(run=run).token == token == 1


@pytest.mark.django_db(transaction=True)
def test_a_lease_is_kept_no_longer_than_the_work_it_is_kept_for(settings: Any) -> None:
    """I-16: who fails while building lets go, and its thread ends with it."""
    settings.LEASE_SECONDS = 0.3
    run = make_run()

    def failing(run: TradingRun, fence: Fence) -> SlowSession:
        time.sleep(0.5)
        raise RuntimeError("no venue")

    with pytest.raises(RuntimeError, match="no venue"):
        Runner(failing, "1").advance(run.pk)
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]
    time.sleep(0.4)
    assert lease_acquire(run=run, holder="other", code_version="1") is not None


@pytest.mark.django_db(transaction=True)
def test_a_lease_that_was_lost_is_not_taken_back_by_keeping_it(settings: Any) -> None:
    """I-16: whoever took over stays; the keeper stops at its first refusal."""
    settings.LEASE_SECONDS = 0.3
    run = make_run()
    mine = lease_acquire(run=run, holder="a", code_version="1")
    assert mine is not None
    expire(run)
    with lease_kept(mine):
        other = lease_acquire(run=run, holder="b", code_version="1")
        time.sleep(0.25)
        assert other is not None
        Lease.objects.filter(run=run).update(expires_at=timezone.now() + timedelta(seconds=60))
        time.sleep(0.2)
    assert Lease.objects.get(run=run).holder == "b"
    assert Lease.objects.get(run=run).token == other.token


@pytest.mark.django_db(transaction=True)
def test_a_keeper_whose_connection_broke_goes_on_with_a_new_one(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-039: the server was restarted meanwhile; a dead connection renews nothing."""
    settings.LEASE_SECONDS = 0.3
    mine = lease_acquire(run=make_run(), holder="a", code_version="1")
    assert mine is not None
    renewed, asked = threading.Event(), threading.Event()
    keeps = Fence.renew

    def broken_once(fence: Fence) -> None:
        if not asked.is_set():
            asked.set()
            raise OperationalError("server closed the connection unexpectedly")
        keeps(fence)
        renewed.set()

    looked: list[str] = []
    monkeypatch.setattr(Fence, "renew", broken_once)
    monkeypatch.setattr(
        BaseDatabaseWrapper,
        "close_if_unusable_or_obsolete",
        lambda _: looked.append(threading.current_thread().name),
    )
    with lease_kept(mine):
        assert renewed.wait(30.0)
    assert "lease" in looked, "every thread has a connection of its own"


def test_fifty_bars_that_close_together_renew_the_lease_once(
    run: TradingRun, settings: Any, django_assert_num_queries: Any
) -> None:
    """ORC-75: each renewal is a commit of its own; a second later it is due again."""
    settings.LEASE_SECONDS = 15
    mine = lease_acquire(run=run, holder="a", code_version="1")
    assert mine is not None
    now_s = [100.0]
    renew = Renewal(mine, lambda: now_s[0])
    with django_assert_num_queries(1):
        for _ in range(50):
            renew()
    now_s[0] += 1.0
    with django_assert_num_queries(1):
        renew()


def test_a_renewal_that_is_due_finds_out_that_the_lease_was_lost(run: TradingRun) -> None:
    """I-16, F-010: also between two symbols of one poll, long before anything is written."""
    mine = lease_acquire(run=run, holder="a", code_version="1")
    assert mine is not None
    expire(run)
    with pytest.raises(LeaseLost):
        Renewal(mine)()


class SlowSession:
    """A session that writes under its fence, as the loop does."""

    def __init__(self, fence: Fence) -> None:
        self.fence = fence

    def advance(self) -> AdvanceSummary:
        with transaction.atomic():
            self.fence.assert_held()
        return AdvanceSummary(self.fence.run_id, "advanced")

    def close(self) -> None: ...
