"""Every component with its state, last success and version; and what the system page shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from monitoring.components import State, component_list
from monitoring.jobs import job_list
from monitoring.models import Alert
from monitoring.wording import measure_words
from resources import selectors as resources
from resources.core.health import Health
from resources.core.readings import metric_of


def system_status(now: datetime) -> dict[str, Any]:
    """Return the status document of all components and jobs (ORC-65): state, last success, version.

    ``state`` is the worst of the components', of the jobs' and of the resources' health; a job is
    at most a warning.
    """
    components = [
        {
            "component": row.component,
            "state": row.state.value,
            "last_success_at": row.at,
            "age_s": row.age_s,
            "expected_every_s": row.expected_every_s,
            "version": row.code_version,
            "reason": row.reason,
        }
        for row in component_list(now)
    ]
    jobs = [
        {
            "job": row.job,
            "state": row.state.value,
            "last_success_at": row.last_success_at,
            "expected_every_s": row.expected_every_s,
            "version": row.code_version,
            "reason": row.reason,
        }
        for row in job_list(now)
    ]
    told = resources.status(now)
    states = {row["state"] for row in components}
    late_jobs = {State.LATE.value, State.DOWN.value} & {row["state"] for row in jobs}
    # trading that stands still is no milder for being no failure
    if {State.DOWN.value, State.IDLE.value} & states or told["health"] == Health.CRITICAL:
        state = Health.CRITICAL
    elif State.LATE.value in states or late_jobs or told["health"] == Health.WARNING:
        state = Health.WARNING
    elif not components or told["health"] == Health.UNKNOWN:
        state = Health.UNKNOWN
    else:
        state = Health.HEALTHY
    return {
        "at": now,
        "state": state.value,
        "components": components,
        "jobs": jobs,
        "resources": {
            "health": told["health"],
            "sampled_at": told["at"],
            "findings": told["findings"],
            "observe_only": told["observe_only"],
            "open_incidents": [incident.rule for incident in told["incidents"]],
        },
        "alerts_open": Alert.objects.filter(resolved_at__isnull=True).count(),
    }


CHARTS: dict[str, tuple[str, ...]] = {
    "processors": ("host.cpu",),
    "memory": ("host.memory_used", "volume:data.disk_used"),
    "latency": ("work:decision.p50", "work:decision.p95", "work:http.p95", "work:venue.p95"),
}
PROCESS_METRICS = ("cpu", "rss", "threads", "open_files")
SHOWN = 15


def system_charts(now: datetime, *, hours: float) -> dict[str, Any]:
    """Return the lines of each chart and the actions that fall on them."""
    newest = resources.sample_newest()
    known = newest.values if newest else {}
    charts = CHARTS | {
        # an account apart has a queue of its own, so the queues are those that were sampled
        "queues": _keys_of(known, "queue:", ".age"),
        "processes": _keys_of(known, "process:", ".rss"),
    }
    keys = [key for chart in charts.values() for key in chart]
    series = resources.series(keys, now=now, hours=hours)
    actions = resources.action_list().filter(
        started_at__gte=now - timedelta(hours=hours), applied_at__isnull=False
    )[:SHOWN]
    return {
        "charts": {
            name: [
                {
                    "key": key,
                    "name": _line_name(name, key),
                    "unit": metric_of(key).unit.value,
                    "at_ms": [at for at, _ in series[key]],
                    "values": [value for _, value in series[key]],
                }
                for key in members
            ]
            for name, members in charts.items()
        },
        "actions": [
            {
                "at_ms": round(row.started_at.timestamp() * 1000),
                "action": row.action,
                "verdict": row.verdict,
            }
            for row in actions
        ],
    }


def _keys_of(known: Mapping[str, Any], prefix: str, suffix: str) -> tuple[str, ...]:
    return tuple(sorted(k for k in known if k.startswith(prefix) and k.endswith(suffix)))


def _line_name(chart: str, key: str) -> str:
    """Return what the legend calls a line; the chart of processes says itself that it is memory."""
    if chart == "processes":
        return key.removeprefix("process:").rpartition(".")[0]
    return measure_words(key)


def system_page_rows(now: datetime) -> dict[str, Any]:
    """Return the tables of the system page."""
    newest = resources.sample_newest()
    known = newest.values if newest else {}
    return {
        "processes": _processes(known),
        "queues": _subjects(known, "queue:", ("depth", "age")),
        "work": _subjects(known, "work:", ("p50", "p95", "p99", "throughput", "errors")),
        "has_gpu": any(key.startswith("gpu:") for key in known),
        "rules": resources.rule_list(now),
        "incidents": resources.incident_list()[:SHOWN],
        "actions": resources.action_list()[:SHOWN],
        "report": resources.report(),
        "timetable": resources.status(now)["timetable"],
        "slow_queries": resources.slow_query_list()[:SHOWN],
    }


def _processes(known: Mapping[str, Any]) -> list[dict[str, Any]]:
    return _subjects(known, "process:", PROCESS_METRICS)


def _subjects(
    known: Mapping[str, Any], prefix: str, metrics: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Return a row a subject, its metrics by name; None where one could not be told."""
    names = sorted({key.rpartition(".")[0] for key in known if key.startswith(prefix)})
    return [
        {"name": name.removeprefix(prefix), **{m: known.get(f"{name}.{m}") for m in metrics}}
        for name in names
    ]
