"""The notifier as a process and as commands: from config.yaml to a message on the wire."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from monitoring.models import Alert, Heartbeat
from monitoring.services import heartbeat
from notifications.core.config import ChannelSettings, Notifications
from notifications.models import Channel, ChannelKind
from notifications.services import FoundChannel, channels_sync, notifier_forget
from tests.notifications.fake_services import fake_service
from tests.tradeplatform.test_processes import OPTIONS
from tradeplatform import processes
from tradeplatform.configuration import Configuration, from_mapping
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.notifying import wiring

ROOT = Path(__file__).resolve().parents[2]
DISCORD = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
ONE_CHANNEL = Notifications(channels={"phone": ChannelSettings(url_env="NOTIFY_PHONE_URL")})


@pytest.mark.parametrize(
    ("section", "key", "allowed"),
    [
        ({"channels": {"a": {"url_env": "SECRET_KEY"}}}, "url_env", "NOTIFY_"),
        ({"channels": {"a": {"url": "tgram://x"}}}, "channels.a.url", "url_env"),
        ({"channels": {"A b": {"url_env": "NOTIFY_A"}}}, "channels.A b", "a-z0-9"),
        ({"kinds": {"entries": True}}, "kinds.entries", "entry"),
        ({"kinds": {"entry": "loud"}}, "kinds.entry", "silent"),
        ({"quiet_hours": {"time_zone": "Mars/Olympus"}}, "time_zone", "Europe/Berlin"),
        ({"quiet_hours": {"start": "25:00"}}, "start", ""),
        ({"messages_per_hour": 0}, "messages_per_hour", "1"),
        ({"telegram": {"token_env": "NOTIFY_T", "people": {"-100": "ada"}}}, "people", ""),
        ({"telegram": {"token_env": "NOTIFY_T", "people": {}}}, "people", ""),
        ({"ping": {"url_env": "NOTIFY_P", "hosts": ["https://x"]}}, "hosts", ""),
    ],
)
def test_a_bad_section_is_refused_in_one_line(section, key, allowed):
    """F-087: and no variable that is not the notifier's can be named."""
    with pytest.raises(ConfigurationError) as refused:
        from_mapping({"notifications": section}, source="config.yaml")
    line = str(refused.value)
    assert key in line and allowed in line and "\n" not in line


def test_on_and_off_may_be_written_as_yaml_reads_them():
    import yaml

    text = "{kinds: {entry: off, exit: on, health: silent}, quiet_hours: {start: 22:00}}"
    section = from_mapping({"notifications": yaml.safe_load(text)}, source="x").notifications
    assert (section.kinds["entry"], section.kinds["exit"]) == (False, True)
    assert section.quiet_hours is not None and section.quiet_hours.start == 22 * 60


def test_the_notifier_runs_only_where_it_is_wanted_and_alone_gets_the_addresses():
    """SEC-31"""
    assert not [s for s in processes.children(Configuration(), OPTIONS) if s.name == "notifier"]
    specs = processes.children(Configuration(notifications=ONE_CHANNEL), OPTIONS)
    with_secret = [spec.name for spec in specs if "NOTIFY_PHONE_URL" in spec.private]
    assert with_secret == ["notifier"]
    (notifier,) = (spec for spec in specs if spec.name == "notifier")
    assert set(notifier.private) == {"NOTIFY_PHONE_URL", "NOTIFY_PHONE_URL_FILE"}


@pytest.mark.django_db
def test_an_earlier_notifier_is_forgotten_where_none_is_wanted():
    """F-025: its heartbeat would be late for ever."""
    heartbeat(component="notifier", expected_every_s=10)
    channels_sync([FoundChannel("phone", ChannelKind.CHAT, "tgram://…")], now=_now())
    notifier_forget(now=_now())
    assert not Heartbeat.objects.exists() and not Alert.objects.filter(resolved_at=None).exists()
    assert not Channel.objects.get().is_active


def test_what_is_missing_is_found_with_its_problem_and_the_rest_is_wired():
    section = from_mapping(
        {
            "notifications": {
                "channels": {"phone": {"url_env": "NOTIFY_PHONE_URL"}},
                "telegram": {"token_env": "NOTIFY_BOT", "people": {"42": "ada"}},
                "ping": {"url_env": "NOTIFY_PING"},
            }
        },
        source="x",
    ).notifications
    wired = wiring(section, {"NOTIFY_PHONE_URL": DISCORD, "NOTIFY_BOT": "not a token"})
    assert wired.bot is None and list(wired.usable) == ["phone"]
    assert {row.name: row.problem for row in wired.found} == {
        "phone": "",
        "dead-man-ping": "NOTIFY_PING is not set where the notifier runs",
        "telegram-bot": "the bot's token was not NUMBER:LETTERS as BotFather gives it",
    }
    bot = wiring(section, {"NOTIFY_BOT": "123:abc"}).bot
    assert bot is not None


def _now():
    from django.utils import timezone

    return timezone.now()


def configured(tmp_path: Path, settings, monkeypatch, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"notifications: {text}\n")
    settings.CONFIG_FILE = str(file)
    monkeypatch.setenv("NOTIFY_PHONE_URL", DISCORD)


@pytest.mark.django_db
def test_the_test_command_sends_here_and_now_and_says_what_became_of_it(
    tmp_path, settings, monkeypatch
):
    from apprise.plugins.discord import NotifyDiscord

    configured(tmp_path, settings, monkeypatch, "{channels: {phone: {url_env: NOTIFY_PHONE_URL}}}")
    with fake_service(status=204) as service:
        monkeypatch.setattr(NotifyDiscord, "notify_url", f"{service.url}/api/webhooks")
        out = StringIO()
        call_command("notifications", "test", "phone", stdout=out)
        assert out.getvalue() == "phone: sent\n"
        service.status = 500
        with pytest.raises(CommandError, match="phone: not sent") as failed:
            call_command("notifications", "test", "phone")
        assert (failed.value.returncode, len(service.posts)) == (1, 2)
    with pytest.raises(CommandError, match="channel was 'pager', allowed: phone"):
        call_command("notifications", "test", "pager")
    out = StringIO()
    call_command("notifications", "status", "--json", stdout=out, stderr=StringIO())
    document = json.loads(out.getvalue().splitlines()[-1])
    assert [row["name"] for row in document["channels"]] == ["phone"]
    assert "JHMHI8" not in out.getvalue()


def test_the_process_waits_for_its_database_and_ends_when_told(tmp_path: Path):
    """F-025, SEC-32: it starts before the schema is there, loses nothing, and no output of it
    holds the address it was given."""
    (tmp_path / "config.yaml").write_text(
        "notifications: {channels: {phone: {url_env: NOTIFY_PHONE_URL}}}\n"
    )
    kept = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "notifier"],
        cwd=ROOT,
        env=kept
        | {
            "DJANGO_SETTINGS_MODULE": "tradeplatform.settings",
            "TRADEPLATFORM_ENV": "development",
            "TRADEPLATFORM_VAR": str(tmp_path / "var"),
            "TRADEPLATFORM_CONFIG": str(tmp_path / "config.yaml"),
            "NOTIFY_PHONE_URL": DISCORD,
            "PYTHONUNBUFFERED": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    # each line is waited for by reading it: no clock decides
    first, second = process.stdout.readline(), process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, first + second + rest
    assert first == "phone: discord://…\n"
    assert second.startswith("notifications waited for the database: no such table")
    assert "JHMHI8" not in first + second + rest
