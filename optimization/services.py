"""Writes of the layer: the periodic update, its preview, the report at the end.

An update claims its period, looks and thinks outside any transaction (SQLite has one writer, and
trading is it), then writes everything in one. Whatever fails is told and leaves trading alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Protocol

from django.conf import settings as django_settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from engine.failsafe import Failure, attempt
from engine.ports import StrategyStatus
from engine.types.decisions import JsonValue
from optimization import logs, switches
from optimization.books import book_of, leading_run, period_start
from optimization.core.actions import TAG, ActionKind
from optimization.core.alerts import Alert
from optimization.core.config import LayerSettings
from optimization.core.errors import EvidenceError
from optimization.core.state import LayerState
from optimization.core.update import Changes, next_state
from optimization.core.weighting import WeightChange
from optimization.errors import OptimizationRefused
from optimization.evidence import LAYER_ACTOR, Cursor, evidence
from optimization.models import FinalReport, StoredLayerState, UpdatePeriod, UpdateStatus
from optimization.selectors import LONGEST_UPDATE, get_optimization_status, layer_alerts
from strategies.models import Strategy
from strategies.services import strategy_machine_edge, weight_change
from trades.failpoints import failpoint
from trades.models import TradingRun
from trades.records import milliseconds

# the ``regime`` of the weight that is kept over all regimes, beside the one in effect
ALL_REGIMES = "ALL"


class LayerWatch(Protocol):
    """Hears what a room above tells people and screens."""

    def alerts(self, standing: Sequence[Alert]) -> None:
        """Raise what stands and resolve what does not any more."""

    def changed(self, topic: str, data: dict[str, JsonValue]) -> None: ...

    def incident(self, where: str, error: BaseException) -> None: ...


@dataclass(frozen=True, slots=True)
class UpdateSummary:
    """What one call did; ``outcome`` is disabled, idle, not due, done or failed."""

    outcome: str
    book: str = ""
    taken: int = 0
    weights: int = 0
    edges: int = 0
    error: str = ""
    alerts: list[str] = field(default_factory=list)


def layer_watch() -> LayerWatch:
    """Return the watch that the top floor plugs in by its dotted name."""
    watch: LayerWatch = import_string(django_settings.OPTIMIZATION_WATCH)()
    return watch


def optimization_update(
    *, now: datetime | None = None, watch: LayerWatch | None = None
) -> UpdateSummary:
    """Make the leading book's update where one is due, once a period across workers (OPT-37).

    Due is decided from rows: the run's venue time, the interval that holds, and the periods that
    were claimed. Periods that were missed are caught up by one update. ``now`` is our wall time.
    """
    now, watch = now or timezone.now(), watch or layer_watch()
    settings = switches.effective()
    if not settings.is_enabled:
        watch.alerts(())
        return UpdateSummary("disabled")
    run = leading_run()
    if run is None or run.last_event_at is None:
        return UpdateSummary("idle")
    book = book_of(run)
    _close_killed(book, now)
    period = _claim(book, run.last_event_at, settings.interval_s, now)
    if period is None:
        return UpdateSummary("not due", book)
    result = attempt(lambda: _update(run, period, settings, watch), "optimization.update")
    if isinstance(result, Failure):
        _finish(period, UpdateStatus.FAILED, error=result.text)
        logs.tell_failed(book, result.text)
        watch.incident(result.where, result.error)
        return UpdateSummary("failed", book, error=result.text)
    return result


def preview() -> dict[str, Any]:
    """Return what an update would do now: the same computation on a copy, nothing is written."""
    settings, run = switches.effective(), leading_run()
    if run is None or run.last_event_at is None:
        return {"at": None, "taken": 0, "weights": [], "edges": [], "alerts": []}
    found = _computed(run, run.last_event_at, settings)
    return {"at": run.last_event_at.isoformat(), **changes_json(found.changes)}


def changes_json(changes: Changes) -> dict[str, Any]:
    """Return what an update changes, as plain values."""
    return {
        "taken": changes.taken,
        "weights": [
            {
                "strategy": one.strategy,
                "regime": stored_as(one),
                "old": one.old,
                "new": one.new,
                "target": one.target,
                "bound": None if one.bound is None else str(one.bound),
                "reason": one.reason,
            }
            for one in changes.weights
        ],
        "edges": [
            {
                "strategy": edge.strategy,
                "from": edge.from_status.value,
                "to": edge.to_status.value,
                "reason_code": edge.reason_code,
                "reason": edge.reason,
            }
            for edge in changes.edges
        ],
        "alerts": [
            {"code": alert.code, "severity": alert.severity, "text": alert.text}
            for alert in changes.alerts
        ],
    }


def layer_settings(effective: switches.Effective) -> LayerSettings:
    """Return the layer's typed settings.

    Raises:
        SettingsError: the stored section has a key or value that this code does not know.
    """
    return LayerSettings.from_values(effective.values)


def stored_state(book: str) -> tuple[LayerState, Cursor]:
    """Return a book's state and which rows it has seen; the empty ones before its first update.

    Raises:
        StateError: the row was not written by this code.
    """
    row = StoredLayerState.objects.filter(book=book).first()
    if row is None:
        return LayerState(), Cursor()
    return LayerState.from_json(row.payload), Cursor(row.as_of_trade, row.as_of_side_trade)


def final_report_record(*, worker: str, now: datetime | None = None) -> FinalReport:
    """Log and keep the health lists and the final allocation when a worker stops (OPT-69)."""
    status = get_optimization_status()
    report = FinalReport.objects.create(at=now or timezone.now(), worker=worker, payload=status)
    health = status["health"]
    shares = {c: round(s, 3) for c, s in status["allocation"]["normalized_weights"].items()}
    logs.logger.info("%s Optimization Final Report worker=%s", TAG, worker)
    logs.logger.info(
        "%s Strategy Health: Active: %s Degraded: %s Suspended: %s Retired: %s",
        TAG, health["active"], health["degraded"], health["suspended"], health["retired"],
    )  # fmt: skip
    logs.logger.info("%s Final Allocation: %s", TAG, shares)
    return report


# -- one update ----------------------------------------------------------------------------------


def _claim(book: str, venue_now: datetime, interval_s: float, now: datetime) -> UpdatePeriod | None:
    """Return the row of the period that is due, written by us; None where nothing is due or
    somebody else has it."""
    period_at = period_start(venue_now, interval_s)
    if UpdatePeriod.objects.filter(book=book, period_at__gte=period_at).exists():
        return None
    try:
        with transaction.atomic():
            return UpdatePeriod.objects.create(
                book=book,
                period_at=period_at,
                interval_s=interval_s,
                status=UpdateStatus.CLAIMED,
                claimed_at=now,
            )
    except IntegrityError:
        return None


def _close_killed(book: str, now: datetime) -> None:
    """Say of an update that was killed that it failed; the next period takes in what it missed."""
    late = UpdatePeriod.objects.filter(
        book=book, status=UpdateStatus.CLAIMED, claimed_at__lt=now - LONGEST_UPDATE
    )
    text = f"killed: it did not end within {LONGEST_UPDATE.total_seconds():g} s"
    late.update(status=UpdateStatus.FAILED, finished_at=now, error=text)


def _finish(period: UpdatePeriod, status: UpdateStatus, *, error: str = "") -> None:
    UpdatePeriod.objects.filter(pk=period.pk).update(
        status=status, finished_at=timezone.now(), error=error[:500]
    )


@dataclass(frozen=True, slots=True)
class _Computed:
    """One update, thought through and not written."""

    before: LayerState
    after: LayerState
    changes: Changes
    cursor: Cursor


def _computed(run: TradingRun, venue_now: datetime, settings: switches.Effective) -> _Computed:
    before, start = stored_state(book_of(run))
    seen = evidence(run, start, before.as_of_sequence)
    now_ms = milliseconds(venue_now)
    after, changes = next_state(before, seen.observed, now_ms, layer_settings(settings))
    return _Computed(before, after, changes, seen.cursor(changes.taken))


def _update(
    run: TradingRun, period: UpdatePeriod, settings: switches.Effective, watch: LayerWatch
) -> UpdateSummary:
    venue_now = run.last_event_at or period.period_at
    found = _computed(run, venue_now, settings)
    changes = found.changes
    with transaction.atomic():
        _write_state(period.book, found, venue_now)
        moved = _write_weights(period, found.after, changes)
        failpoint("opt.mid_update")
        edges = _write_edges(changes, venue_now)
        standing = layer_alerts()
        summary = {**changes_json(changes), "alerts": [asdict(alert) for alert in standing]}
        UpdatePeriod.objects.filter(pk=period.pk).update(
            status=UpdateStatus.DONE, finished_at=timezone.now(), summary=summary
        )
    _tell(period, changes, standing, watch)
    return UpdateSummary(
        "done",
        period.book,
        taken=changes.taken,
        weights=moved,
        edges=edges,
        alerts=[alert.code for alert in standing],
    )


def _write_state(book: str, found: _Computed, venue_now: datetime) -> None:
    row, _ = StoredLayerState.objects.select_for_update().get_or_create(
        book=book,
        defaults={
            "venue_at": venue_now,
            "updated_at": timezone.now(),
            "version": found.before.version,
        },
    )
    if row.version != found.before.version:
        raise OptimizationRefused(
            f"the state of {book} was at version {row.version}, {found.before.version} was read;"
            " another update was faster",
            reason_code="changed_meanwhile",
        )
    row.version, row.payload = found.after.version, found.after.to_json()
    row.as_of_trade, row.as_of_side_trade = found.cursor.trade, found.cursor.side_trade
    row.venue_at, row.updated_at = venue_now, timezone.now()
    row.save()


def stored_as(change: WeightChange) -> str:
    """Return the ``regime`` column of a change: empty for the weight in effect."""
    return "" if change.in_effect else change.regime or ALL_REGIMES


def _write_weights(period: UpdatePeriod, after: LayerState, changes: Changes) -> int:
    key, moved = f"update {period.pk}", 0
    for one in changes.weights:
        written = weight_change(
            code=one.strategy,
            regime=stored_as(one),
            old_weight=one.old,
            new_weight=one.new,
            period_key=key,
            actor=LAYER_ACTOR,
            reason=one.reason,
            evidence={
                **one.evidence,
                "target": one.target,
                "bound": None if one.bound is None else str(one.bound),
                "limits": asdict(one.limits),
                "as_of": one.as_of,
                "venue_at_ms": one.at_ms,
                "book": period.book,
            },
        )
        moved += written is not None
    # a book that begins has weights of its own: the rows may still carry those of another
    rows = dict(Strategy.objects.values_list("code", "weight"))
    for code, weight in after.weights().items():
        if code in rows and abs(rows[code] - weight) > 1e-9:
            weight_change(
                code=code,
                old_weight=rows[code],
                new_weight=weight,
                period_key=key,
                actor=LAYER_ACTOR,
                reason=f"the book {period.book} has its own weights",
                evidence={"book": period.book},
            )
    return moved


def _write_edges(changes: Changes, venue_now: datetime) -> int:
    written = 0
    for edge in changes.edges:
        change = strategy_machine_edge(
            code=edge.strategy,
            from_status=edge.from_status.value,
            to_status=edge.to_status.value,
            actor=LAYER_ACTOR,
            reason=f"{edge.reason_code}: {edge.reason}",
            metrics={**edge.metrics, "venue_at_ms": edge.at_ms},
            venue_now=venue_now,
        )
        written += change is not None
    return written


def _tell(
    period: UpdatePeriod, changes: Changes, standing: Sequence[Alert], watch: LayerWatch
) -> None:
    """Log what changed and tell the screens; nothing where nothing changed (OPT-38)."""
    for code, why in changes.refused.items():
        watch.incident(f"optimization.update {code}", EvidenceError(f"{why}; left out"))
    topics = {ActionKind.WEIGHTS: "weights", ActionKind.HEALTH: "health"}
    for kind, fields in changes.actions():
        logs.tell(kind, fields)
        if kind in topics:
            watch.changed(topics[kind], fields)
    if changes.edges:
        rows = list(Strategy.objects.order_by("code").values_list("code", "status"))
        logs.tell_standing(
            [code for code, status in rows if status == StrategyStatus.DEGRADED],
            [code for code, status in rows if status == StrategyStatus.SUSPENDED],
        )
    _tell_alerts(period, standing)
    watch.alerts(standing)


def _tell_alerts(period: UpdatePeriod, standing: Sequence[Alert]) -> None:
    earlier = UpdatePeriod.objects.filter(
        book=period.book, status=UpdateStatus.DONE, period_at__lt=period.period_at
    ).first()
    known = {a["code"]: a for a in (earlier.summary.get("alerts", []) if earlier else [])}
    for alert in standing:
        if alert.code not in known:
            logs.tell(ActionKind.ALERT, asdict(alert))
    for code in sorted(known.keys() - {alert.code for alert in standing}):
        logs.tell(ActionKind.ALERT, {**known[code], "cleared": True})
