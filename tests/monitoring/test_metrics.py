"""What Prometheus is told, and that the dashboard and the rules ask for nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from prometheus_client.parser import text_string_to_metric_families

from monitoring.models import Heartbeat
from monitoring.services import alert_raise
from resources.core.readings import METRICS
from resources.models import OptimizerAction, Sample
from tests.accounts.callers import by_token

pytestmark = pytest.mark.django_db
DEPLOY = Path(__file__).resolve().parents[2] / "docs" / "deploy"
# Subjects as the sampler names them, with what is measured of each.
SUBJECTS = {
    "host": ("cpu", "load_per_core", "memory_used", "memory_available", "swap_used"),
    "volume:data": ("disk_used", "disk_free"),
    "process:trading": ("cpu", "rss", "threads", "open_files"),
    "work:decision": ("p50", "p95", "p99", "throughput", "errors", "failures"),
    "work:venue": ("p50", "p95", "p99", "throughput", "errors", "failures"),
    "work:tick": ("p50", "p95", "p99", "throughput", "errors", "failures"),
    "queue:io": ("depth", "age"),
    "database": ("size", "connections"),
}
_NAME = re.compile(r"\btradeplatform_[a-z0-9_]+")
_SELECTOR = re.compile(r"\b(tradeplatform_[a-z0-9_]+)\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')
Exported = Mapping[str, list[Mapping[str, str]]]


@pytest.fixture
def exported() -> Exported:
    """Every series of an installation in which everything was measured: name to its labels."""
    now = timezone.now()
    values = {f"{subject}.{name}": 0.5 for subject, names in SUBJECTS.items() for name in names}
    assert {key.rpartition(".")[2] for key in values} <= set(METRICS)
    Sample.objects.create(host="here", resolution_s=0, at=now, values=values)
    Heartbeat.objects.create(component="trading", at=now, expected_every_s=10)
    every = IntervalSchedule.objects.create(every=900, period="seconds")
    PeriodicTask.objects.create(name="a job", task="trades.tasks.thin_holds", interval=every)
    OptimizerAction.objects.create(action="clean-temp", verdict="success", started_at=now)
    alert_raise(code="AUTH", severity="critical", text="refused", dedupe_key="a")
    text = by_token("viewer").get("/metrics").content.decode()
    found: dict[str, list[Mapping[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DEPLOY / "grafana.json").read_text())
    return document


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus-alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (rule["expr"] for rule in rules())


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_every_query_names_what_is_exported_with_labels_that_it_has(
    query: str, exported: Exported
) -> None:
    """ORC-63: a panel or rule that asks for a name nobody exports is silent for ever."""
    names = set(_NAME.findall(query))
    assert names and names <= set(exported)
    for name, selector in _SELECTOR.findall(query):
        asked = _MATCHER.findall(selector)
        assert asked, selector
        assert any(
            all(
                label in labels
                and (re.fullmatch(value, labels[label]) if sign == "=~" else labels[label] == value)
                for label, sign, value in asked
            )
            for labels in exported[name]
        ), f"no series of {name} is like {selector}"


def test_every_panel_has_a_title_and_every_rule_its_severity_and_words() -> None:
    """ORC-63, ORC-78"""
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])
    assert all(panel["title"] and panel["targets"] for panel in dashboard()["panels"])
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"] and rule["for"]


def test_the_state_of_each_component_is_one_of_its_states() -> None:
    """ORC-65"""
    now = timezone.now()
    for component, age_s in (("trading", 1), ("general", 50)):
        at = now - timedelta(seconds=age_s)
        Heartbeat.objects.create(component=component, at=at, expected_every_s=10)
    text = by_token("viewer").get("/metrics").content.decode()
    holding = {
        (sample.labels["component"], sample.labels["state"])
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if family.name == "tradeplatform_component_state" and sample.value == 1.0
    }
    assert holding == {("trading", "up"), ("general", "late")}
