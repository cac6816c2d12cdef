"""One worker advances a run; who lost the lease cannot commit (F-010, F-011, I-16)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from tests.trades.rows import make_run
from trades.errors import LeaseLost
from trades.lease import lease_acquire
from trades.models import Lease, TradingRun

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


@pytest.mark.django_db(transaction=True)
def test_a_fence_proves_nothing_outside_a_transaction() -> None:
    mine = lease_acquire(run=make_run(), holder="a", code_version="1")
    assert mine is not None
    with pytest.raises(RuntimeError, match="outside a transaction"):
        mine.assert_held()
