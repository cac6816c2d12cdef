"""Reads of this room: what is measured now, its history, what was done and what it brought."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from resources.actions.registry import ACTIONS, traits
from resources.core.config import OptimizerConfig
from resources.core.health import Assessment, Check, assess
from resources.core.planner import ladder_of
from resources.core.readings import MetricVector, metric_of
from resources.core.tallies import Done, by_action, saved_of, tally, trend
from resources.core.triggers import rules_of
from resources.core.verdicts import Verdict
from resources.core.windows import RollingRounds, seconds_to, summarise
from resources.models import (
    ActionState,
    Maintenance,
    OptimizerAction,
    Resolution,
    ResourceIncident,
    Sample,
    SlowQuery,
)
from resources.services import as_ms
from resources.switches import config_holding
from resources.tunables import BOUNDS, SAMPLE_EVERY_S
from strategies.models import SettledBar

FRESH_S = 30.0
CHART_POINTS = 240
_SLOWEST_S = BOUNDS[SAMPLE_EVERY_S].maximum
_RAN = (ActionState.SENT, ActionState.MEASURING, ActionState.JUDGED)


def sample_newest() -> Sample | None:
    return Sample.objects.filter(resolution_s=Resolution.RAW).order_by("-at").first()


def sample_list(resolution_s: int = Resolution.RAW) -> QuerySet[Sample]:
    return Sample.objects.filter(resolution_s=resolution_s)


def rounds_stored(*, now: datetime, window_s: float, most: int = 2_000) -> RollingRounds:
    """Return the stored rounds of the last while, as a sampler that just started needs them."""
    rounds = RollingRounds(most)
    since = now - timedelta(seconds=window_s)
    rows = Sample.objects.filter(resolution_s=Resolution.RAW, at__gte=since).order_by("at")
    for row in rows:
        rounds.add(MetricVector.of(as_ms(row.at), row.values))
    return rounds


def checks(config: OptimizerConfig) -> tuple[Check, ...]:
    """Return what health is judged by: the limits that trigger are warnings, beyond them it is
    critical half-way to the end of the scale."""
    half = 0.5
    return (
        Check("host.cpu", config.cpu_limit, config.cpu_limit + (1.0 - config.cpu_limit) * half),
        Check(
            "host.memory_used",
            config.memory_limit,
            config.memory_limit + (1.0 - config.memory_limit) * half,
        ),
        Check(
            "host.memory_available",
            config.available_bytes_limit,
            config.available_bytes_limit * half,
        ),
        Check(
            "volume:data.disk_used",
            config.disk_limit,
            config.disk_limit + (1.0 - config.disk_limit) * half,
        ),
        Check("work:decision.errors", config.error_limit, config.error_limit * 4, False),
        Check("work:venue.errors", config.error_limit, config.error_limit * 4, False),
        Check("gpu:0.gpu_memory", 0.90, 0.97, False),
    )


def health(now: datetime, config: OptimizerConfig | None = None) -> Assessment:
    """Return how the newest round looks; a round that is too old is none (ORC-31)."""
    config = config or config_holding()
    newest = sample_newest()
    if newest is None or (now - newest.at).total_seconds() > FRESH_S:
        return assess(None, checks(config))
    return assess(MetricVector.of(as_ms(newest.at), newest.values), checks(config))


def status(now: datetime) -> dict[str, Any]:
    """Return the newest round, its health, the rules, what is going on and what comes next."""
    config, newest = config_holding(), sample_newest()
    assessment = health(now, config)
    return {
        "at": newest.at if newest else None,
        "age_s": (now - newest.at).total_seconds() if newest else None,
        "health": assessment.level.value,
        "findings": [asdict(finding) for finding in assessment.findings],
        "values": newest.values if newest else {},
        "observe_only": config.observe_only,
        "enabled": config.enabled,
        "incidents": list(ResourceIncident.objects.filter(resolved_at=None)),
        "in_effect": list(OptimizerAction.objects.filter(is_in_effect=True)),
        "timetable": list(Maintenance.objects.all()),
    }


def rule_list(now: datetime) -> list[dict[str, Any]]:
    """Return every rule with its limit, the newest value and the ladder of actions behind it."""
    config, newest = config_holding(), sample_newest()
    values = newest.values if newest else {}
    known = traits(config)
    return [
        {
            "code": rule.code,
            "kind": rule.kind.value,
            "key": rule.key,
            "unit": metric_of(rule.key).unit.value,
            "limit": rule.limit,
            "clear": rule.clear,
            "value": values.get(rule.key),
            "about": rule.about,
            "actions": [code for code in ladder_of(rule.code) if code in known],
        }
        for rule in rules_of(config, values)
    ]


def action_list() -> QuerySet[OptimizerAction]:
    return OptimizerAction.objects.select_related("incident")


def incident_list() -> QuerySet[ResourceIncident]:
    return ResourceIncident.objects.prefetch_related("steps", "actions")


def done_of(rows: Iterable[OptimizerAction]) -> list[Done]:
    return [
        Done(
            row.action,
            row.state in _RAN,
            Verdict(row.verdict) if row.verdict else None,
            row.improvement,
            row.saved,
        )
        for row in rows
        if row.state != ActionState.OBSERVED
    ]


def report(*, since: datetime | None = None, until: datetime | None = None) -> dict[str, Any]:
    """Return counts, success rates, mean improvements and savings of a period (ORC-63).

    Worked out from the rows each time: the same rows give the same report.
    """
    rows = OptimizerAction.objects.all()
    if since is not None:
        rows = rows.filter(started_at__gte=since)
    if until is not None:
        rows = rows.filter(started_at__lt=until)
    every = list(rows.order_by("id"))
    done = done_of(every)
    return {
        "since": since,
        "until": until,
        "observed": len(every) - len(done),
        "total": asdict(tally("all", done)),
        "actions": [asdict(each) for each in by_action(done)],
        "saved": saved_of(done),
        "incidents": _incidents_by_state(since, until),
    }


def _incidents_by_state(since: datetime | None, until: datetime | None) -> dict[str, int]:
    rows = ResourceIncident.objects.all()
    if since is not None:
        rows = rows.filter(opened_at__gte=since)
    if until is not None:
        rows = rows.filter(opened_at__lt=until)
    counts: dict[str, int] = {}
    for state in rows.values_list("state", flat=True):
        counts[state] = counts.get(state, 0) + 1
    return counts


def usage(now: datetime, *, window_s: float = 900.0) -> list[dict[str, Any]]:
    """Return averages, slopes and the time to the limit of each resource that has one, and of
    each process's memory, the largest first (ORC-30)."""
    config = config_holding()
    rounds = rounds_stored(now=now, window_s=window_s)
    limits = {check.key: check.warning for check in checks(config)}
    keys = [k for k in rounds.every_key() if k in limits or k.endswith((".rss", ".cpu"))]
    found = []
    for key in keys:
        points = rounds.points(key)
        summary = summarise(points)
        if summary is None:
            continue
        limit = limits.get(key)
        found.append(
            {
                "key": key,
                "unit": metric_of(key).unit.value,
                "limit": limit,
                "seconds_to_limit": None if limit is None else seconds_to(limit, points),
                **asdict(summary),
            }
        )
    return sorted(found, key=lambda row: (row["key"].rpartition(".")[2], -row["mean"]))


def series(
    keys: Sequence[str], *, now: datetime, hours: float
) -> dict[str, list[tuple[int, float | None]]]:
    """Return (ts_ms, value) of each key; of longer spans the mean of each minute or hour."""
    resolution = Resolution.RAW
    if hours > 0.5:
        resolution = Resolution.MINUTE if hours <= 48 else Resolution.HOUR
    rows = list(
        Sample.objects.filter(
            resolution_s=resolution, at__gte=now - timedelta(hours=hours)
        ).order_by("at")
    )
    step = max(len(rows) // CHART_POINTS, 1)
    shown = rows[::step]
    hole_ms = 3_000 * step * max(int(resolution), int(_SLOWEST_S))
    lines: dict[str, list[tuple[int, float | None]]] = {key: [] for key in keys}
    for before, row in zip([None, *shown], shown, strict=False):
        at_ms = as_ms(row.at)
        is_hole = before is not None and at_ms - as_ms(before.at) > hole_ms
        for key, points in lines.items():
            if is_hole:
                # nobody measured meanwhile: no line leads across it
                points.append((at_ms - 1, None))
            points.append((at_ms, _mean(row.values.get(key))))
    return lines


def _mean(value: Any) -> float | None:
    number: float | None = value[1] if isinstance(value, list) else value
    return number


# What the weekly trend follows, from hourly means: worse is more of each.
TRENDS = ("work:decision.p95", "work:decision.errors", "work:http.p95", "work:venue.errors")


def trends(now: datetime, *, weeks: int = 12) -> dict[str, list[dict[str, Any]]]:
    """Return each week's latency, error rates and Brier score, regressions flagged (ORC-62).

    Hours weigh by their number of samples. A measure without a single sample has no weeks.
    """
    since = now - timedelta(weeks=weeks)
    sums: dict[str, dict[str, list[float]]] = {key: {} for key in TRENDS}
    rows = Sample.objects.filter(resolution_s=Resolution.HOUR, at__gte=since).order_by("at")
    for row in rows.iterator(chunk_size=200):
        week = row.at.strftime("%G-W%V")
        for key in TRENDS:
            told = row.values.get(key)
            if told is not None:
                total = sums[key].setdefault(week, [0.0, 0.0])
                total[0] += told[0] * told[1]
                total[1] += told[0]
    found = {
        key: [(week, total / n, int(n)) for week, (total, n) in sorted(weeks_of.items())]
        for key, weeks_of in sums.items()
    }
    found["brier"] = _brier_by_week(since)
    return {
        key: [asdict(point) for point in trend(points)] for key, points in found.items() if points
    }


def _brier_by_week(since: datetime) -> list[tuple[str, float, int]]:
    """Return the mean squared error of all opinions, by week of venue time."""
    weeks: dict[str, list[float]] = {}
    rows = SettledBar.objects.filter(settled_at__gte=since).order_by("settled_at")
    told = rows.values_list("settled_at", "outcome_up", "opinions")
    for at, outcome, opinions in told.iterator(chunk_size=1_000):
        total = weeks.setdefault(at.strftime("%G-W%V"), [0.0, 0.0])
        total[0] += sum((probability - outcome) ** 2 for probability in opinions.values())
        total[1] += len(opinions)
    return [(week, total / n, int(n)) for week, (total, n) in sorted(weeks.items()) if n]


def slow_query_list() -> QuerySet[SlowQuery]:
    return SlowQuery.objects.all()


def known_actions() -> list[dict[str, Any]]:
    """Return what each action does, within which bounds, and whether it can be undone."""
    return [
        {
            "code": action.code,
            "about": action.about,
            "bounds": {name: asdict(bound) for name, bound in action.bounds.items()},
            "is_reversible": action.is_reversible,
            "touches_trading": action.touches_trading,
        }
        for action in ACTIONS.values()
    ]
