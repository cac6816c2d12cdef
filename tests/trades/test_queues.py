"""Where knocks go: to the worker that holds the run, and where nobody does to whoever is free."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from tests.trades.rows import make_run
from trades import tasks
from trades.errors import LeaseLost
from trades.lease import lease_acquire
from trades.models import Lease, TradingRun
from trades.queues import worker_of
from trades.runner import AdvanceSummary, Runner

pytestmark = pytest.mark.django_db


class Idle:
    def __init__(self, fence: Any) -> None:
        self.fence = fence

    def advance(self) -> AdvanceSummary:
        return AdvanceSummary(self.fence.run_id, "advanced")

    def close(self) -> None: ...


@pytest.fixture
def knocked(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The queue of each knock, by name; None is the one that all trading workers share."""
    queues: list[str | None] = []

    def send(args: Any, expires: int, queue: Any = None) -> None:
        queues.append(None if queue is None else queue.name)

    monkeypatch.setattr(tasks.advance, "apply_async", send)
    return queues


@pytest.fixture
def run() -> TradingRun:
    return make_run()


def advanced(run: TradingRun, worker: str) -> str:
    runner = Runner(lambda _, fence: Idle(fence), "1", address=worker)
    return runner.advance(run.pk).outcome


def test_a_run_that_a_worker_holds_is_knocked_on_at_that_worker(
    run: TradingRun, knocked: list[str | None]
) -> None:
    """ORC-75: of two workers the one that stands by takes no knock away from the other."""
    assert advanced(run, "trading2@here") == "advanced"
    assert advanced(run, "trading1@here") == "held by another worker"
    tasks.advance_due()
    assert knocked == ["trading2@here.dq2"]


def test_where_the_holder_fell_silent_whoever_is_free_is_knocked_on(
    run: TradingRun, knocked: list[str | None]
) -> None:
    """ORC-75, ORC-76: the second worker is what takes over, one length of the lease later."""
    advanced(run, "trading1@here")
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    tasks.advance_due()
    assert knocked == [None]
    assert advanced(run, "trading2@here") == "advanced"


def test_a_run_that_nobody_or_no_worker_holds_is_anybodys(
    run: TradingRun, knocked: list[str | None]
) -> None:
    tasks.advance_due()
    lease_acquire(run=run, holder="here:123:0a1b2c3d", code_version="1")
    tasks.advance_due()
    assert knocked == [None, None]


@pytest.mark.parametrize(
    ("holder", "worker"),
    [
        ("trading1@host.example:77:0a1b2c3d", "trading1@host.example"),
        ("host:77:0a1b2c3d", ""),
        ("soak:77", ""),
        ("", ""),
    ],
)
def test_a_holder_begins_with_its_worker(holder: str, worker: str) -> None:
    assert worker_of(holder) == worker


def test_a_session_is_built_by_a_task_with_more_time_in_the_worker_that_took_the_lease(
    run: TradingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ORC-75: fifty symbols on a busy machine begin in more time than one advance may take; a
    warm session is advanced where it stands."""
    sent: list[tuple[Any, str]] = []
    monkeypatch.setattr(
        tasks.begin, "apply_async", lambda args, queue, expires: sent.append((args, queue.name))
    )
    runner = Runner(lambda _, fence: Idle(fence), "1", address="trading@here")
    monkeypatch.setattr(tasks, "_runner", lambda address: runner)
    tasks.advance.push_request(hostname="trading@here")
    try:
        assert tasks.advance.run(run.pk)["outcome"] == "cold"
        assert sent == [((run.pk,), "trading@here.dq2")]
        assert tasks.begin.run(run.pk)["outcome"] == "advanced"
        assert tasks.advance.run(run.pk)["outcome"] == "advanced"
        assert len(sent) == 1
        # the lease of another: nothing is begun
        Lease.objects.update(holder="trading2@here:1:0", token=9)
        assert tasks.advance.run(run.pk)["outcome"] == "held by another worker"
        assert len(sent) == 1
    finally:
        tasks.advance.pop_request()
    assert tasks.begin.soft_time_limit > tasks.advance.time_limit


def test_of_two_hosts_with_one_node_name_whoever_is_asked_to_build_can(run: TradingRun) -> None:
    """F-011, I-16: the asking goes to a name, so the other host may take it; the lease that was
    only looked through is given back, and the tokens still grow."""
    here, there = (
        Runner(lambda _, fence: Idle(fence), "1", address="trading@same") for _ in range(2)
    )
    assert here.advance(run.pk, may_build=False).outcome == "cold"
    first = Lease.objects.get()
    assert there.advance(run.pk).outcome == "advanced"
    assert here.advance(run.pk).outcome == "held by another worker", "it is begun once"
    taken = Lease.objects.get()
    assert (first.token, taken.token) == (1, 2)
    assert taken.holder != first.holder


def test_a_request_to_build_that_is_lost_holds_nobody_up(
    run: TradingRun, knocked: list[str | None]
) -> None:
    """F-011, ORC-76: the next knock is anybody's at once, not one length of the lease later."""
    lost = Runner(lambda _, fence: Idle(fence), "1", address="trading1@here")
    assert lost.advance(run.pk, may_build=False).outcome == "cold"
    tasks.advance_due()
    assert knocked == [None]
    assert advanced(run, "trading2@here") == "advanced"


def test_who_gave_a_lease_back_can_write_nothing_and_takes_nothing_from_the_next(
    run: TradingRun,
) -> None:
    """I-16, F-010: a fence of before proves nothing; giving back twice ends no other's lease."""
    mine = lease_acquire(run=run, holder="a", code_version="1")
    assert mine is not None
    mine.give_back()
    with pytest.raises(LeaseLost), transaction.atomic():
        mine.assert_held()
    again = lease_acquire(run=run, holder="a", code_version="1")
    assert again is not None and again.token == mine.token + 1
    mine.give_back()
    again.renew()
