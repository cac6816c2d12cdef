"""Reads of the optimization layer: the status document (D-08) and what stands behind it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from engine.ports import StrategyStatus
from optimization import switches
from optimization.books import book_of, leading_run, open_lots
from optimization.core.alerts import Alert, alerts, normalized
from optimization.models import StoredLayerState, UpdatePeriod, UpdateStatus
from strategies.models import Strategy

# An update that was claimed and did not end within this time of ours was killed.
LONGEST_UPDATE = timedelta(seconds=120)


def get_optimization_status() -> dict[str, Any]:
    """Return the status document: the shape scripts rely on, fields may be added (D-08).

    Needs rows only: works before any trade, in any process, and with the layer off; ``health`` and
    ``allocation`` are those of the strategy rows, which the risk gate enforces either way (D-03).
    ``alerts`` are lines ``severity: text``.
    """
    settings = switches.effective()
    strategies = list(Strategy.objects.all())
    statuses = {row.code: StrategyStatus(row.status) for row in strategies}
    weights = {row.code: row.weight for row in strategies}
    base = {row.code: row.base_weight for row in strategies}
    standing = alerts(statuses, weights)
    update = update_status(settings)
    return {
        "enabled": settings.is_enabled,
        "status": _status(settings.is_enabled, update, standing, statuses),
        "health": {
            status.value.lower(): [code for code, is_ in statuses.items() if is_ is status]
            for status in StrategyStatus
        },
        "allocation": {
            "raw_weights": weights,
            "normalized_weights": normalized(weights, statuses),
            "weights_in_use": weights if is_weighted(settings) else base,
        },
        "alerts": [f"{alert.severity}: {alert.text}" for alert in standing],
        "open_trades": open_lots(),
        "settings": settings_status(settings),
        "update": update,
    }


def settings_status(settings: switches.Effective) -> dict[str, Any]:
    """Return which values hold, since when, and who said so (D-31)."""
    return {
        "values": dict(settings.values),
        "version": settings.version,
        "source": settings.source,
        "actor": settings.actor,
        "reason": settings.reason,
        "since": _text(settings.since),
        "effective_at": "the next event of each run",
    }


def update_status(settings: switches.Effective) -> dict[str, Any]:
    """Return the last update of the leading book and when the next is due, in venue time."""
    run = leading_run()
    last = None if run is None else update_list(book_of(run)).first()
    state = None if run is None else StoredLayerState.objects.filter(book=book_of(run)).first()
    next_at = None
    if settings.is_enabled and run is not None:
        span = timedelta(seconds=settings.interval_s)
        next_at = last.period_at + span if last else run.last_event_at
        if next_at is not None and run.last_event_at is not None:
            # one that fell due while the layer was off is made at the next event
            next_at = max(next_at, run.last_event_at)
    return {
        "book": None if run is None else book_of(run),
        "interval_seconds": settings.interval_s,
        "last_at": _text(last.period_at) if last else None,
        "last_status": last.status if last else None,
        "last_error": "" if last is None else update_error(last, timezone.now()),
        "next_at": _text(next_at),
        "state_version": state.version if state else 0,
        "as_of_trade": state.as_of_trade if state else 0,
    }


def update_error(period: UpdatePeriod, now: datetime) -> str:
    """Return what was wrong with an update; empty where it ended well or may still be running."""
    if period.status == UpdateStatus.CLAIMED and now - period.claimed_at > LONGEST_UPDATE:
        return f"the update was killed: it did not end within {LONGEST_UPDATE.total_seconds():g} s"
    return period.error


def update_list(book: str) -> Any:
    return UpdatePeriod.objects.filter(book=book).order_by("-period_at", "-id")


def layer_alerts() -> tuple[Alert, ...]:
    """Return the alerts that follow from the strategy rows as they are now."""
    rows = list(Strategy.objects.all())
    statuses = {row.code: StrategyStatus(row.status) for row in rows}
    return alerts(statuses, {row.code: row.weight for row in rows})


def is_weighted(settings: switches.Effective) -> bool:
    """True where the stored weights size; else the base weights do."""
    return settings.is_enabled and bool(settings.values["enable_adaptive_weighting"])


def _status(
    is_enabled: bool,
    update: dict[str, Any],
    standing: tuple[Alert, ...],
    statuses: dict[str, StrategyStatus],
) -> str:
    if not is_enabled:
        return "disabled"
    if update["last_error"]:
        return "error"
    if any(alert.severity == "critical" for alert in standing):
        return "critical"
    if standing or StrategyStatus.DEGRADED in statuses.values():
        return "degraded"
    return "healthy"


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
