"""Each system check, with the fault it exists for planted once."""

from __future__ import annotations

import copy
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

import pytest
from celery import current_app
from django.conf import settings as live_settings
from django.core.checks import run_checks
from django.db import connection

from tradeplatform import checks
from tradeplatform.configuration import Monitoring

SILENT_AFTER_S = Monitoring().restart_silent_after_seconds


def test_the_shipped_settings_pass_every_check_of_ours() -> None:
    """OPT-47"""
    assert [m for m in run_checks() if (m.id or "").startswith("tradeplatform")] == []


def test_a_configuration_that_does_not_load_is_an_error(settings, tmp_path: Path) -> None:
    """F-087"""
    path = tmp_path / "config.yaml"
    path.write_text("risk: {cash_reserve: yes}")
    settings.CONFIG_FILE = str(path)
    (message,) = checks.configuration_is_usable(None)
    assert "risk.cash_reserve was True" in message.msg


@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
def test_each_unsafe_sqlite_setting_is_an_error_of_its_own(settings) -> None:
    """F-033, F-039"""
    if connection.vendor == "sqlite":
        assert checks.sqlite_is_safe_for_money(None) == []
    databases = copy.deepcopy(live_settings.DATABASES)
    databases["default"] |= {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {"timeout": 5}}
    settings.DATABASES = databases
    assert len(checks.sqlite_is_safe_for_money(None)) == 4


def test_a_broker_less_patient_than_the_longest_task_is_an_error(settings) -> None:
    """F-024"""
    assert checks.broker_waits_longer_than_tasks_run(None) == []
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 300}
    (message,) = checks.broker_waits_longer_than_tasks_run(None)
    assert "visibility_timeout was 300 s" in message.msg


def test_knocks_expire_before_the_next_one() -> None:
    """F-029, F-027: an outage leaves no storm of old knocks."""
    schedule = live_settings.CELERY_BEAT_SCHEDULE
    knock = schedule["advance due runs"]
    assert (knock["schedule"], knock["options"]["queue"]) == (1.0, "trading")
    for entry in schedule.values():
        assert entry["options"]["expires"] <= entry["schedule"]


def test_no_other_task_can_hold_the_trading_queue_or_run_for_ever() -> None:
    """F-032: each has a hard limit, a softer one before it, and a queue that is not trading's.

    Units of sweeps take hours; only research workers load them, which serve no other queue.
    """
    short = {"tradeplatform.tasks.preflight", "tradeplatform.tasks.heartbeat_trading"}
    current_app.loader.import_default_modules()
    for module in ("trades", "optimization", "strategies", "tradeplatform"):
        import_module(f"{module}.tasks")
    apart = ("celery.", "tradeplatform.sweep_tasks.")
    ours = {n: t for n, t in current_app.tasks.items() if not n.startswith(apart)}
    assert len(ours) >= 8
    for name, task in ours.items():
        hard = task.time_limit or live_settings.CELERY_TASK_TIME_LIMIT
        soft = task.soft_time_limit or live_settings.CELERY_TASK_SOFT_TIME_LIMIT
        assert 0 < soft < hard <= 300, name
    for entry in live_settings.CELERY_BEAT_SCHEDULE.values():
        is_trading = entry["task"] == "trades.tasks.advance_due" or entry["task"] in short
        assert (entry["options"]["queue"] == "trading") == is_trading, entry


def test_every_task_of_a_trading_worker_ends_before_it_counts_as_silent_or_beats() -> None:
    """F-025: its one process can answer no heartbeat meanwhile, and the watchdog ends the silent.

    ``begin`` beats while it builds: ``tests/trades/test_worker_beats.py``.
    """
    for module in ("trades", "tradeplatform"):
        import_module(f"{module}.tasks")
    routed = [n for n, to in live_settings.CELERY_TASK_ROUTES.items() if to["queue"] == "trading"]
    jobs = live_settings.CELERY_BEAT_SCHEDULE.values()
    elsewhere = {job["task"] for job in jobs if job["options"]["queue"] != "trading"}
    names = {name for name in current_app.tasks if any(fnmatch(name, form) for form in routed)}
    names |= {f"tradeplatform.tasks.heartbeat_{of}" for of in ("trading", "account")}
    assert names - elsewhere >= {"trades.tasks.advance", "trades.tasks.begin"}
    long = set()
    for name in names - elsewhere:
        task = current_app.tasks[name]
        if (task.time_limit or live_settings.CELERY_TASK_TIME_LIMIT) >= SILENT_AFTER_S:
            long.add(name)
    assert long == {"trades.tasks.begin"}


def test_every_task_of_the_general_worker_ends_before_it_counts_as_silent_or_beats() -> None:
    """F-025: those that delete old rows beat meanwhile: ``tests/trades/test_worker_beats.py``."""
    current_app.loader.import_default_modules()
    routes = live_settings.CELERY_TASK_ROUTES.items()
    elsewhere = [form for form, to in routes if to["queue"] == "trading"]
    jobs = {
        job["task"]: job["options"]["queue"] for job in live_settings.CELERY_BEAT_SCHEDULE.values()
    }
    limits = {
        name: task.time_limit or live_settings.CELERY_TASK_TIME_LIMIT
        for name, task in current_app.tasks.items()
        if not name.startswith(("celery.", "tests.", "tradeplatform.sweep_tasks."))
        and (jobs.get(name, "trading") != "trading" or not any(fnmatch(name, f) for f in elsewhere))
    }
    # a heartbeat is asked for every ten seconds: the last one before may be as old as that
    long = {name for name, limit_s in limits.items() if limit_s + 10 >= SILENT_AFTER_S}
    assert len(limits) >= 15
    assert long == {
        "resources.tasks.maintenance_due",
        "tradeplatform.tasks.retention_due",
        "trades.tasks.thin_holds",
    }


def test_tasks_travel_as_json_only() -> None:
    """F-028, SEC-37"""
    assert live_settings.CELERY_ACCEPT_CONTENT == ["json"]
    assert live_settings.CELERY_TASK_SERIALIZER == "json"
