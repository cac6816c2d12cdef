"""Each system check, with the fault it exists for planted once."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from django.conf import settings as live_settings
from django.core.checks import run_checks
from django.db import connection

from tradeplatform import checks


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


def test_tasks_travel_as_json_only() -> None:
    """F-028, SEC-37"""
    assert live_settings.CELERY_ACCEPT_CONTENT == ["json"]
    assert live_settings.CELERY_TASK_SERIALIZER == "json"
