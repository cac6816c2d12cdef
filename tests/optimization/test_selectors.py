"""The status document: whole at any time, and equal wherever it is asked for."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from accounts.versioned_settings import settings_adopt_file
from optimization.selectors import get_optimization_status
from optimization.switches import DEFAULTS
from strategies.models import Status, Strategy
from tests.accounts.callers import by_token
from tests.optimization.scene import make_book, switch
from tests.trades.rows import START, make_lot, make_run


def _strategy(code: str, status: str, weight: float) -> Strategy:
    now = timezone.now()
    return Strategy.objects.create(
        code=code,
        name=code,
        status=status,
        weight=weight,
        status_changed_at=now,
        created_at=now,
    )


@pytest.mark.django_db
def test_every_strategy_is_in_exactly_one_list_and_shares_are_of_tradable_ones() -> None:
    """OPT-63, OPT-64: 1.15 and 0.92 share 0.556 and 0.444; a suspended strategy has no share."""
    _strategy("ema-trend", Status.ACTIVE, 1.15)
    _strategy("fair-value-gap", Status.DEGRADED, 0.92)
    _strategy("breakout", Status.SUSPENDED, 2.0)
    _strategy("continuation", Status.RETIRED, 2.0)

    document = get_optimization_status()

    assert document["health"] == {
        "active": ["ema-trend"],
        "degraded": ["fair-value-gap"],
        "suspended": ["breakout"],
        "retired": ["continuation"],
    }
    shares = document["allocation"]["normalized_weights"]
    assert {code: round(share, 3) for code, share in shares.items()} == {
        "ema-trend": 0.556,
        "fair-value-gap": 0.444,
    }


@pytest.mark.django_db
def test_the_document_is_whole_before_anything_exists() -> None:
    """OPT-62: disabled says so, and nothing divides by zero."""
    document = get_optimization_status()
    assert document["enabled"] is False
    assert document["status"] == "disabled"
    assert document["allocation"] == {
        "raw_weights": {},
        "normalized_weights": {},
        "weights_in_use": {},
    }
    assert document["open_trades"] == 0


def _statuses(*statuses: str) -> dict[str, Any]:
    """Return the document for strategies of equal weight that stand as given."""
    Strategy.objects.all().delete()
    for number, status in enumerate(statuses):
        _strategy(f"s{number}", status, 1.0)
    return get_optimization_status()


@pytest.mark.django_db
def test_a_fresh_system_is_healthy_with_everybody_active() -> None:
    """OPT-63, OPT-67: before any trade."""
    switch(enabled=True)
    document = _statuses(*["ACTIVE"] * 6)
    assert (document["enabled"], document["status"]) == (True, "healthy")
    assert len(document["health"]["active"]) == 6
    assert document["alerts"] == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("standing", "status", "alerts"),
    [
        (["ACTIVE", "DEGRADED"], "degraded", []),
        (["ACTIVE", "SUSPENDED"], "degraded", ["warning: suspended: s1"]),
        (["ACTIVE", *["DEGRADED"] * 3], "degraded", ["alert: degraded: s1, s2, s3"]),
        (["DEGRADED", "DEGRADED"], "critical", ["critical: no strategy is active"]),
    ],
)
def test_the_status_follows_the_strategies_and_each_alert_clears(
    standing: list[str], status: str, alerts: list[str]
) -> None:
    """OPT-65, OPT-67"""
    switch(enabled=True)
    document = _statuses(*standing)
    assert (document["status"], document["alerts"]) == (status, alerts)
    assert _statuses("ACTIVE", "ACTIVE")["alerts"] == []


@pytest.mark.django_db
def test_one_share_above_sixty_percent_is_told_where_two_could_share() -> None:
    """OPT-65"""
    switch(enabled=True)
    _strategy("a", Status.ACTIVE, 1.6)
    _strategy("b", Status.ACTIVE, 1.0)
    assert get_optimization_status()["alerts"] == [
        "alert: share of a was 0.615, largest allowed was 0.6"
    ]
    Strategy.objects.filter(code="b").update(status=Status.RETIRED)
    assert get_optimization_status()["alerts"] == []


@pytest.mark.django_db
def test_open_trades_are_the_open_lots_of_open_runs() -> None:
    """OPT-66"""
    run = make_run()
    make_lot(run)
    make_lot(run, is_open=False)
    ended = make_run(account="other", ended_at=START)
    make_lot(ended)
    assert get_optimization_status()["open_trades"] == 1


@pytest.mark.django_db
def test_weights_in_use_are_the_base_weights_while_weighting_is_off() -> None:
    """OPT-04: what is shown is what sizes."""
    _strategy("a", Status.ACTIVE, 1.6)
    switch(enabled=True)
    assert get_optimization_status()["allocation"]["weights_in_use"] == {"a": 1.6}
    switch(enable_adaptive_weighting=False)
    assert get_optimization_status()["allocation"]["weights_in_use"] == {"a": 1.0}


@pytest.mark.django_db
def test_the_document_says_which_values_hold_since_when_and_from_where() -> None:
    """OPT-55, D-31: the later act wins, a changed file is an act."""
    assert get_optimization_status()["settings"]["source"] == "default"
    settings_adopt_file(section="optimization", values={**DEFAULTS, "enabled": True})
    told = get_optimization_status()["settings"]
    assert (told["source"], told["version"], told["values"]["enabled"]) == ("file", 1, True)
    switch(enabled=False)
    told = get_optimization_status()["settings"]
    assert (told["source"], told["actor"], told["reason"]) == ("api", "ada", "a test")
    assert told["since"] is not None and told["effective_at"] == "the next event of each run"


@pytest.mark.django_db
def test_callable_command_and_endpoint_give_one_document() -> None:
    """OPT-61, OPT-94: with an alert that stands, for an empty list is like any other."""
    make_book()
    Strategy.objects.filter(code="ema-trend").update(status=Status.SUSPENDED)
    told = io.StringIO()
    call_command("optimization_status", stdout=told)
    by_command = json.loads(told.getvalue().splitlines()[-1])
    by_endpoint = by_token("viewer").get("/api/v1/optimization/status").json()
    assert get_optimization_status() == by_command == by_endpoint
    assert by_endpoint["alerts"] == ["warning: suspended: ema-trend"]


def test_the_documented_import_works_in_a_fresh_process() -> None:
    """OPT-61"""
    words = (
        "import django; django.setup();"
        "from optimization.selectors import get_optimization_status;"
        "print(get_optimization_status.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", words],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings_test"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "get_optimization_status"
