"""``/metrics`` in Prometheus' text format: resources, components, jobs and open alerts (ORC-63)."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Count
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from rest_framework.request import Request

from accounts.operations import Operation
from monitoring.components import State, component_list
from monitoring.jobs import job_list
from monitoring.models import Alert, Severity
from resources.metrics import Rows

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class States:
    """prometheus_client's collector over what is alive and what a person should look at."""

    def collect(self) -> Iterable[Metric]:
        now = timezone.now()
        found = component_list(now)
        age = GaugeMetricFamily(
            "tradeplatform_component_age_seconds",
            "since the last useful work",
            labels=["component"],
        )
        for row in found:
            if row.age_s is not None:
                age.add_metric([row.component], row.age_s)
        yield age
        yield _states("component", "component", [(row.component, row.state) for row in found])
        # "job" is Prometheus' own label: it would rename ours
        yield _states("job", "name", [(row.job, row.state) for row in job_list(now)])
        yield _alerts()


def _states(of: str, label: str, rows: Iterable[tuple[str, State]]) -> Metric:
    family = GaugeMetricFamily(
        f"tradeplatform_{of}_state", "1 for the state that holds", labels=[label, "state"]
    )
    for name, holds in rows:
        for state in State:
            family.add_metric([name, state.value], float(state is holds))
    return family


def _alerts() -> Metric:
    rows = Alert.objects.filter(resolved_at__isnull=True).order_by()
    counts = dict(rows.values_list("severity").annotate(n=Count("pk")))
    family = GaugeMetricFamily(
        "tradeplatform_alerts_open",
        "alerts that nobody and nothing has closed",
        labels=["severity"],
    )
    for severity in Severity.values:
        family.add_metric([severity], counts.get(severity, 0))
    return family


class MetricsApi(Operation):
    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Rows())
        registry.register(States())
        return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE)
