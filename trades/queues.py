"""Which workers advance a run: an account beside ``main`` has a queue and a worker of its own.

So a venue that does not answer holds up the account that trades there and no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.utils import timezone

from trades.models import Lease, TradingRun

TRADING = "trading"


def is_apart(config: Mapping[str, Any]) -> bool:
    """True where a run's stored configuration is that of an account beside ``main``."""
    return bool(config.get("accounts"))


def queue_of(account: str, config: Mapping[str, Any]) -> str:
    """Return the queue of a run's knocks."""
    return f"{TRADING}.{account}" if is_apart(config) else TRADING


def runs_by_queue() -> Iterator[tuple[int, str, str]]:
    """Yield id, account and queue of each open run."""
    rows = TradingRun.objects.filter(ended_at__isnull=True).order_by("pk")
    for pk, account, named in rows.values_list("pk", "account", "config__accounts"):
        yield pk, account, queue_of(account, {"accounts": named})


def holding_workers(run_ids: Iterable[int]) -> dict[int, str]:
    """Return by run the node name of the worker that holds its lease now."""
    held = Lease.objects.filter(run_id__in=tuple(run_ids), expires_at__gt=timezone.now())
    found = {run: worker_of(holder) for run, holder in held.values_list("run_id", "holder")}
    return {run: worker for run, worker in found.items() if worker}


def worker_of(holder: str) -> str:
    """Return the node name (``trading1@host``) that a lease's holder begins with; empty where it
    is no worker's process."""
    address = holder.rpartition(":")[0].rpartition(":")[0]
    return address if "@" in address else ""
