"""Which workers advance a run: an account beside ``main`` has a queue and a worker of its own.

So a venue that does not answer holds up the account that trades there and no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trades.models import TradingRun

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
