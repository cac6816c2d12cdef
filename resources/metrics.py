"""What Prometheus is told of resources: the newest round, incidents and actions (ORC-63)."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from resources.core.health import Health
from resources.core.readings import METRICS
from resources.models import ResourceIncident
from resources.selectors import action_list, health, sample_newest


class Rows:
    """prometheus_client's collector over our rows."""

    def collect(self) -> Iterable[Metric]:
        yield from _values()
        now = timezone.now()
        level = health(now).level
        state = GaugeMetricFamily(
            "tradeplatform_health", "1 for the level that holds", labels=["level"]
        )
        for each in Health:
            state.add_metric([each.value], float(each is level))
        yield state
        opened = ResourceIncident.objects.filter(resolved_at=None).count()
        yield GaugeMetricFamily("tradeplatform_incidents_open", "rules that hold now", opened)
        yield _actions()


def _values() -> Iterable[Metric]:
    newest = sample_newest()
    if newest is None:
        return
    age = (timezone.now() - newest.at).total_seconds()
    yield GaugeMetricFamily("tradeplatform_sample_age_seconds", "of the newest round", age)
    families: dict[str, GaugeMetricFamily] = {}
    for key, value in sorted(newest.values.items()):
        if value is None:
            continue
        subject, _, name = key.rpartition(".")
        metric = METRICS[name]
        if name not in families:
            unit = metric.unit.value.replace("/", "_per_").replace("1_", "")
            families[name] = GaugeMetricFamily(
                f"tradeplatform_{name}_{unit}", metric.about, labels=["subject"]
            )
        families[name].add_metric([subject], value)
    yield from families.values()


def _actions() -> Metric:
    counts: dict[tuple[str, str], int] = {}
    for action, verdict in action_list().values_list("action", "verdict"):
        key = (action, verdict or "not judged")
        counts[key] = counts.get(key, 0) + 1
    family = CounterMetricFamily(
        "tradeplatform_optimizer_actions", "attempts by verdict", labels=["action", "verdict"]
    )
    for (action, verdict), count in sorted(counts.items()):
        family.add_metric([action, verdict], count)
    return family
