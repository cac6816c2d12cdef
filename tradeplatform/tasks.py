"""Heartbeats that travel the whole way: beat, broker, worker, database (F-025, F-026)."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from monitoring.services import heartbeat
from tradeplatform.configuration import load, load_accounts
from tradeplatform.configuration_accounts import MAIN
from tradeplatform.invariants import invariants_run
from tradeplatform.preflight import preflight_run
from tradeplatform.retention import retention_run
from tradeplatform.self_assessment import banner
from tradeplatform.several_accounts import account_named
from tradeplatform.watchdog import HEARTBEAT_EVERY_S
from trades.worker_beats import GENERAL, beats_of


@shared_task(acks_late=False, ignore_result=True, soft_time_limit=20, time_limit=30)
def heartbeat_trading() -> None:
    worker_beat("trading")


@shared_task(acks_late=False, ignore_result=True, soft_time_limit=20, time_limit=30)
def heartbeat_account(queue: str) -> None:
    """Of the worker of one account beside ``main``; it is named as its queue."""
    worker_beat(queue)


@shared_task(acks_late=False, ignore_result=True, soft_time_limit=20, time_limit=30)
def heartbeat_general() -> None:
    worker_beat(GENERAL)


# shorter than the silence after which the watchdog ends the worker that runs it
@shared_task(acks_late=False, ignore_result=True, soft_time_limit=60, time_limit=70)
def check_invariants() -> dict[str, int]:
    """Check the invariants of the rows; safe to lose and to run twice."""
    return invariants_run()


@shared_task(ignore_result=True, soft_time_limit=20, time_limit=30)
def self_assessment_due() -> bool:
    return banner(timezone.now())


@shared_task(ignore_result=True, soft_time_limit=240, time_limit=300)
def retention_due() -> dict[str, int]:
    """Delete what is past its days; losing or repeating a knock is free."""
    with beats_of(GENERAL):
        return retention_run(load(settings.CONFIG_FILE), now=timezone.now())


@shared_task(ignore_result=True, soft_time_limit=25, time_limit=30)
def preflight(actor: str, account: str = MAIN) -> None:
    """Run where the keys are: in the account's trading worker, and nowhere else (SEC-31)."""
    preflight_run(account_named(load_accounts(settings.CONFIG_FILE), account), actor=actor)


def worker_beat(component: str) -> None:
    """Write the heartbeat of a worker; ``component`` is the queue of a trading worker."""
    heartbeat(
        component=component,
        expected_every_s=HEARTBEAT_EVERY_S,
        code_version=settings.CODE_VERSION,
    )
