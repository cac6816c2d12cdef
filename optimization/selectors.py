"""Reads of the optimization layer: the status document (D-08)."""

from __future__ import annotations

from typing import Any

from strategies.models import Status, Strategy
from trades.models import Lot, TradingRun


def get_optimization_status() -> dict[str, Any]:
    """Return the status document: the shape scripts rely on, fields may be added.

    The layer has no adaptive part yet, so ``enabled`` is False and ``status`` is ``disabled``;
    health and allocation are those of the strategy rows, which the risk gate enforces with or
    without the layer (D-03).
    """
    strategies = list(Strategy.objects.all())
    tradable = [s for s in strategies if s.status in (Status.ACTIVE, Status.DEGRADED)]
    total = sum(s.weight for s in tradable)
    open_runs = TradingRun.objects.filter(ended_at__isnull=True)
    return {
        "enabled": False,
        "status": "disabled",
        "health": {
            status.lower(): [s.code for s in strategies if s.status == status]
            for status in Status.values
        },
        "allocation": {
            "raw_weights": {s.code: s.weight for s in strategies},
            "normalized_weights": {s.code: s.weight / total for s in tradable} if total else {},
        },
        "alerts": [],
        "open_trades": Lot.objects.filter(run__in=open_runs, is_open=True).count(),
    }
