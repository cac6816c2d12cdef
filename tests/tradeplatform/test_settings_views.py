"""The page Settings: every value with who said it; changes seen before they are made."""

from __future__ import annotations

import re

import msgspec
import pytest
from django.urls import reverse

from accounts.models import AuditEvent, SettingsVersion
from resources.core.config import OptimizerConfig
from resources.switches import config_change, config_holding
from tests.accounts.callers import PASSWORD, by_session
from tests.monitoring.factories import make_run
from tradeplatform.configuration import Configuration
from tradeplatform.settings_page import changeable, environment_rows, plain_digits, setting_groups

pytestmark = pytest.mark.django_db
SECRET = "f3a0c1d2" * 8


@pytest.fixture
def file(tmp_path, settings):
    path = tmp_path / "config.yaml"
    path.write_text("risk:\n  max_day_loss: 0.02\nstrategies:\n  breakout: {base_weight: 0.5}\n")
    settings.CONFIG_FILE = str(path)
    return path


def rows_of(run=None):
    return {row.key: row for group in setting_groups(run) for row in group.rows}


def review(client, **given):
    return client.post(reverse("settings-review", args=["optimizer"]), given)


def save(client, token, **given):
    values = {"token": token, "reason": "a small machine", "password": PASSWORD} | given
    return client.post(reverse("settings-save", args=["optimizer"]), values)


def test_every_key_of_the_configuration_is_listed_with_value_default_and_source(file):
    rows = rows_of()
    expected = {
        f"{section}.{key}"
        for section, values in msgspec.to_builtins(Configuration()).items()
        if section not in ("accounts", "strategies", "predictors")
        for key in values
    } - {"monitoring.optimizer"}
    assert expected <= set(rows)
    assert {f"optimizer.{name}" for name in OptimizerConfig().values()} <= set(rows)
    said = rows["risk.max_day_loss"]
    assert (said.value, said.default, said.source) == ("0.02", "0.03", "file")
    assert said.since is not None
    assert rows["strategies.breakout.base_weight"].value == "0.5"
    silent = rows["trading.cash"]
    assert (silent.value, silent.source, silent.since) == ("10000", "default", None)


def test_a_file_that_was_changed_says_what_still_holds(file):
    """D-31: what runs was opened with another number; it goes on until the next start."""
    run = make_run(config={"risk": {"max_day_loss": 0.03}})
    assert rows_of(run)["risk.max_day_loss"].note == "until the next start: 0.03"
    assert rows_of(run)["trading.cash"].note == ""


def test_another_account_s_page_lists_what_that_account_goes_by(file):
    """D-59: its own keys over the file's, each said by the file where either says it."""
    file.write_text(
        "risk: {max_day_loss: 0.02, max_week_loss: 0.05}\n"
        "accounts: {main: {}, b: {risk: {max_day_loss: 0.01}}}\n"
    )
    config = {"risk": {"max_day_loss": 0.01, "max_week_loss": 0.05}}
    rows = rows_of(make_run(account="b", config=config))
    found = rows["risk.max_day_loss"]
    assert (found.value, found.source, found.note) == ("0.01", "file", "")
    assert rows["risk.max_week_loss"].value == "0.05"
    assert rows["exchange.account"].value == "b"
    main = rows_of(make_run(config=config))["risk.max_day_loss"]
    assert (main.value, main.note) == ("0.02", "until the next start: 0.01")


def test_an_account_that_was_taken_out_of_the_file_has_no_settings_to_list(file):
    run = make_run(account="gone")
    page = by_session("viewer").get(reverse("settings"), {"run": str(run.code)})
    assert page.status_code == 200
    # the account's name is no secret, and the file itself can be read
    assert "account gone is not in config.yaml" in page.content.decode()
    assert "risk.max_day_loss" not in page.content.decode()


def test_since_is_when_a_value_came_to_be_and_not_when_its_section_was_last_written():
    for values in ({"cpu_limit": 0.7}, {"disk_limit": 0.8}):
        config_change(values=values, actor="ada", reason="tests", source="page")
    rows = rows_of()
    first, second = SettingsVersion.objects.order_by("version")
    assert rows["optimizer.cpu_limit"].since == first.changed_at
    assert rows["optimizer.disk_limit"].since == second.changed_at
    assert rows["optimizer.memory_limit"].source == "default"


def test_no_secret_reaches_the_page(monkeypatch, file):
    """SEC-28, SEC-29: a variable is named and said to be set, its value stays where it is."""
    for name in ("MASTER_KEY", "EXCHANGE_SECRET", "BACKUP_KEY", "TOKEN"):
        monkeypatch.setenv(f"TRADEPLATFORM_{name}", SECRET)
    page = by_session("admin").get(reverse("settings")).content.decode()
    assert SECRET not in page
    assert {row.value for row in environment_rows() if row.key.endswith("_KEY")} <= {
        "",
        "set, not shown",
    }
    assert "TRADEPLATFORM_MASTER_KEY" not in by_session("viewer").get("/settings/").content.decode()


def test_a_broken_file_is_one_line_on_the_page_and_no_error(file):
    file.write_text("risk: {max_day_loss: lots}\n")
    answer = by_session("admin").get(reverse("settings"))
    assert answer.status_code == 200
    assert "max_day_loss was lots" in answer.content.decode()


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_what_a_broken_file_holds_is_told_to_administrators_only(role, file):
    """SEC-28: whoever mistypes a secret into the file does not show it to every reader."""
    file.write_text(f"exchange: {{id: {SECRET}}}\n")
    page = by_session(role).get(reverse("settings")).content.decode()
    assert SECRET not in page and "config.yaml cannot be read" in page
    assert SECRET in by_session("admin").get(reverse("settings")).content.decode()


def test_a_change_is_seen_before_it_is_made_and_needs_reason_and_password():
    """SEC-19, SEC-33"""
    admin = by_session("admin")
    seen = review(admin, cpu_limit="0.7", observe_only="true", disk_limit="0.9")
    found = seen.context["review"]
    assert [tuple(change) for change in found.changes] == [
        ("cpu_limit", 0.8, 0.7),
        ("observe_only", False, True),
    ]
    assert not SettingsVersion.objects.exists()
    save(admin, found.token, password="wrong")
    save(admin, found.token, reason=" ")
    assert not SettingsVersion.objects.exists()
    save(admin, found.token)
    assert config_holding().cpu_limit == 0.7
    event = AuditEvent.objects.get(action="settings.change")
    assert (event.actor, event.reason) == ("admin-user", "a small machine")


def test_a_bad_value_is_refused_in_one_line_before_anything_is_shown():
    admin = by_session("admin")
    for name, value in (("cpu_limit", "7"), ("cpu_limit", "nan"), ("observe_only", "perhaps")):
        answer = admin.post(
            reverse("settings-review", args=["optimizer"]), {name: value}, follow=True
        )
        told = re.search(r"Nothing was changed: .*allowed.*", answer.content.decode())
        assert told and name in told[0]


def test_a_refused_form_keeps_everything_that_was_entered():
    given = {"cpu_limit": "7", "disk_limit": "0.83", "observe_only": "true"}
    answer = review(by_session("admin"), **given)
    entries = {field.name: entry for field, entry, _ in answer.context["fields"]}
    assert answer.status_code == 400
    assert {name: entries[name] for name in given} == given
    assert not SettingsVersion.objects.exists()


@pytest.mark.parametrize(
    ("value", "words"),
    [(1_073_741_824.0, "1073741824"), (0.05, "0.05"), (1e-5, "0.00001"), (3e10, "30000000000")],
)
def test_a_number_is_written_with_its_digits(value, words):
    assert plain_digits(value) == words


def test_what_was_looked_at_is_what_is_made_or_nothing():
    """A review goes stale when somebody is faster, and is no other person's."""
    admin = by_session("admin")
    token = review(admin, cpu_limit="0.7").context["review"].token
    config_change(values={"disk_limit": 0.8}, actor="bob", reason="tests", source="api")
    save(admin, token)
    save(admin, token + "x")
    assert config_holding().cpu_limit == 0.8
    assert SettingsVersion.objects.count() == 1


def test_going_back_to_a_version_is_a_change_like_any_other():
    admin = by_session("admin")
    for limit in (0.7, 0.6):
        config_change(values={"cpu_limit": limit}, actor="bob", reason="tests", source="page")
    found = review(admin, version="1").context["review"]
    assert [tuple(change) for change in found.changes] == [("cpu_limit", 0.6, 0.7)]
    save(admin, found.token)
    assert config_holding().cpu_limit == 0.7
    assert SettingsVersion.objects.order_by("-version").first().version == 3
    assert review(admin, version="99").status_code == 302


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_who_is_no_administrator_reads_and_changes_nothing(role):
    """SEC-9, SEC-10"""
    client = by_session(role)
    for name in changeable():
        page = client.get(reverse("settings-section", args=[name]))
        assert page.status_code == 200
        assert "Show the difference" not in page.content.decode()
        for act in ("settings-review", "settings-save"):
            assert client.post(reverse(act, args=[name]), {"version": "1"}).status_code == 403
    assert client.get(reverse("settings-section", args=["risk"])).status_code == 404


def test_the_layer_s_section_is_changed_by_the_same_way():
    """OPT-55"""
    section = changeable()["optimization"]
    assert section.holding()["enabled"] is False
    admin = by_session("admin")
    where = reverse("settings-review", args=["optimization"])
    token = admin.post(where, {"quality_threshold": "0.5"}).context["review"].token
    save_at = reverse("settings-save", args=["optimization"])
    admin.post(save_at, {"token": token, "reason": "tests", "password": PASSWORD})
    assert section.holding()["quality_threshold"] == 0.5
