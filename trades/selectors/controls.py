"""The 26 controls of a run: what each allows, what is used of it, and how often it struck."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, QuerySet
from django.utils import timezone

from engine.ports import TradingState
from engine.risk import RiskLimits
from engine.types.decisions import Action
from engine.types.orders import OrderStatus
from trades.ceilings import filed_limits, stored_ceilings
from trades.core.controls import CONTROLS, Control
from trades.core.operating_limits import OperatingLimits
from trades.models import ControlEvent, Decision, Mode, Order, TradingRun
from trades.selectors.risk import LimitUse, RiskStatus

_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
# limits of one key that two controls share are measured with the one that holds the position
_SHOWN_WITH = {
    "CTL-1": (),
    "CTL-4": (
        "max_position_size",
        "max_strategy_exposure",
        "max_group_exposure",
        "max_gross_exposure",
        "leverage",
    ),
}


@dataclass(frozen=True, slots=True)
class ControlUse:
    """One control: limits with what is used of them, settings without a measure, and how often it
    struck in the last day and week: denials by the run's venue time, breakers by ours."""

    control: Control
    uses: list[LimitUse]
    settings: list[tuple[str, Any]]
    struck_day: int
    struck_week: int


@dataclass(frozen=True, slots=True)
class Denial:
    """What was denied by one code within a period, newest text first."""

    code: str
    n: int
    last_at: datetime
    text: str
    is_order: bool


def control_strikes(*, since: datetime) -> Counter[str]:
    """Count by code what decisions, orders and breakers denied or stopped since then."""
    found: Counter[str] = Counter()
    for rows, name in (
        (Decision.objects.filter(created_at__gte=since, action="HOLD"), "reason_code"),
        (Order.objects.filter(created_at__gte=since).exclude(refusal_code=""), "refusal_code"),
        (ControlEvent.objects.filter(at__gte=since).exclude(to_state="ACTIVE"), "reason_code"),
    ):
        counted = rows.order_by().values_list(name).annotate(n=Count("pk"))
        found.update(dict(counted))
    return found


def control_uses(*, run: TradingRun, status: RiskStatus) -> list[ControlUse]:
    """Return every control in order of its number."""
    day, week = _struck(run, _DAY), _struck(run, _WEEK)
    uses = {use.name: use for use in status.limits}
    settings = _settings(run)
    shown = []
    for control in CONTROLS:
        measured = _SHOWN_WITH.get(control.id, control.keys)
        of_control = [uses[key] for key in measured if key in uses]
        if control.id == "CTL-15":
            of_control.append(_unprotected(run, status))
        named = {use.name for use in of_control}
        shown.append(
            ControlUse(
                control=control,
                uses=of_control,
                settings=[(key, settings[key]) for key in control.keys if key not in named],
                struck_day=control.strikes(day),
                struck_week=control.strikes(week),
            )
        )
    return shown


def denial_list(*, run: TradingRun | None, within: timedelta = _DAY) -> list[Denial]:
    """Return what the risk phase and the order path denied lately, commonest first; a day is of
    venue time."""
    if run is None:
        return []
    decisions = _held(run, within).filter(blocking_phase__isnull=False)
    orders = _refused(run, within)
    found = [
        *_denials(decisions, "reason_code", "bar_close_at", "reason", is_order=False),
        *_denials(orders, "refusal_code", "decided_at", "refusal_text", is_order=True),
    ]
    return sorted(found, key=lambda denial: (-denial.n, denial.code))


def control_event_list() -> QuerySet[ControlEvent]:
    """Return every change of the kill switch, newest first."""
    return ControlEvent.objects.order_by("-at", "-id")


def _denials(
    rows: QuerySet[Any], code: str, time: str, text: str, *, is_order: bool
) -> list[Denial]:
    counted = rows.order_by().values_list(code).annotate(n=Count("pk"), last=Max(time))
    found = []
    for name, n, last in counted:
        newest = rows.filter(**{code: name, time: last}).order_by("-pk")
        said = newest.values_list(text, flat=True).first() or ""
        found.append(Denial(name, n, last, said, is_order))
    return found


def _since(run: TradingRun, within: timedelta) -> datetime:
    return (run.last_event_at or run.started_at) - within


def _held(run: TradingRun, within: timedelta) -> QuerySet[Decision]:
    rows = Decision.objects.filter(run=run, action=Action.HOLD.value)
    return rows.filter(bar_close_at__gt=_since(run, within))


def _refused(run: TradingRun, within: timedelta) -> QuerySet[Order]:
    rows = Order.objects.filter(run=run, status__in=(OrderStatus.DENIED, OrderStatus.REJECTED))
    return rows.filter(decided_at__gt=_since(run, within)).exclude(refusal_code="")


def _struck(run: TradingRun, within: timedelta) -> Counter[str]:
    found: Counter[str] = Counter()
    for rows, name in (
        (_held(run, within), "reason_code"),
        (_refused(run, within), "refusal_code"),
    ):
        found.update(dict(rows.order_by().values_list(name).annotate(n=Count("pk"))))
    # a change of the kill switch belongs to no run and carries our time
    changes = ControlEvent.objects.filter(at__gt=timezone.now() - within)
    changes = changes.exclude(to_state=TradingState.ACTIVE)
    found.update(dict(changes.order_by().values_list("reason_code").annotate(n=Count("pk"))))
    return found


def _settings(run: TradingRun) -> dict[str, Any]:
    """Return every limit that holds now: the file's, or what a person made stricter."""
    limits = stored_ceilings(filed_limits(run))
    operating = OperatingLimits.of(run.config.get("risk") or {})
    found = {f.name: getattr(limits, f.name) for f in fields(RiskLimits)}
    return found | {f.name: getattr(operating, f.name) for f in fields(OperatingLimits)}


def _unprotected(run: TradingRun, status: RiskStatus) -> LimitUse:
    """Return how many positions have less than their whole quantity under stops at the venue."""
    unit = "positions without their stop at the venue"
    if run.mode in (Mode.PAPER, Mode.REPLAY):
        return LimitUse("unprotected_positions", unit, 0.0, None, None)
    bare = sum(p.resting_stop_base < p.quantity_base for p in status.positions)
    return LimitUse("unprotected_positions", unit, 0.0, float(bare), 0.0)
