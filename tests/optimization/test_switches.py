"""The six settings: names, defaults, ranges, and one line where a value is wrong."""

import msgspec
import pytest

from accounts.errors import SettingsRefused
from accounts.models import AuditEvent
from optimization import switches
from optimization.core.config import LayerSettings
from optimization.errors import OptimizationRefused
from optimization.switches import (
    BY_NAME,
    DEFAULTS,
    KEYS,
    checked,
    effective,
    optimization_settings_change,
)
from tests.accounts.callers import by_token
from tests.optimization.scene import switch
from tradeplatform.configuration import ConfigurationError, Optimization, from_mapping

API = "/api/v1/optimization/"


def test_names_and_defaults_are_those_of_the_file_and_of_the_layer():
    """OPT-41"""
    of_file = msgspec.to_builtins(Optimization())
    assert {name: of_file[name] for name in BY_NAME} == DEFAULTS
    of_layer = LayerSettings().as_json()
    assert {name: of_layer[name] for name in BY_NAME} == DEFAULTS


@pytest.mark.parametrize("key", [key for key in KEYS if key.least is not None])
def test_a_number_is_allowed_here_where_it_is_allowed_in_the_file(key):
    """OPT-41: one range, whoever sets it."""
    for value in (key.least, key.most):
        checked({key.name: value})
        from_mapping({"optimization": {key.name: value}}, source="x")
    for value in (key.least - 0.01, key.most + 0.01):
        with pytest.raises(OptimizationRefused, match=f"{key.name} was"):
            checked({key.name: value})
        with pytest.raises(ConfigurationError):
            from_mapping({"optimization": {key.name: value}}, source="x")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"enable": True}, "optimization.enable was True but is not a known key, allowed: enabled"),
        ({"enabled": "yes"}, "optimization.enabled was yes, allowed: true or false"),
        ({"enabled": 1}, "optimization.enabled was 1, allowed: true or false"),
        ({"quality_threshold": True}, "quality_threshold was True, allowed: a number from 0 to 1"),
        ({"quality_threshold": float("nan")}, "quality_threshold was nan"),
        ({"quality_threshold": None}, "quality_threshold was None"),
        ({"quality_threshold": 10**400}, "quality_threshold was 1000"),
    ],
)
def test_an_unknown_key_or_a_bad_value_is_one_line(given, said):
    """OPT-41"""
    with pytest.raises(OptimizationRefused) as refused:
        checked(given)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.django_db
def test_one_key_changes_and_the_others_stay():
    """OPT-42: what is not named keeps its value, what nobody set has its default."""
    switch(quality_threshold=0.7)
    switch(enabled=True)
    assert effective().values == {**DEFAULTS, "enabled": True, "quality_threshold": 0.7}


@pytest.mark.django_db
def test_enabling_and_disabling_over_the_api_are_audited_acts():
    """OPT-55"""
    answer = by_token("admin").post(API + "enable", {"reason": "go"}, format="json")
    assert answer.status_code == 200, answer.content
    assert answer.json()["values"]["enabled"] is True
    assert effective().is_enabled
    audit = AuditEvent.objects.filter(action="settings.change").first()
    assert (audit.after["enabled"], audit.reason) == (True, "go")
    answer = by_token("operator").post(API + "disable", {"reason": "stop"}, format="json")
    assert (answer.status_code, effective().is_enabled) == (200, False)


@pytest.mark.django_db
def test_only_an_administrator_lets_the_layer_size():
    """SEC-9"""
    answer = by_token("operator").post(API + "enable", {"reason": "go"}, format="json")
    assert answer.status_code == 403
    assert not effective().is_enabled


@pytest.mark.django_db
def test_settings_over_the_api_refuse_what_the_file_refuses():
    """OPT-41, OPT-55"""
    admin = by_token("admin")
    body = {"reason": "r", "values": {"quality_threshold": 60}}
    answer = admin.post(API + "settings", body, format="json")
    assert answer.status_code == 400
    assert "optimization.quality_threshold was 60" in answer.json()["detail"]
    body = {"reason": "r", "values": {"quality_threshold": 0.7}, "version": 0}
    assert admin.post(API + "settings", body, format="json").status_code == 200
    assert (
        admin.post(API + "settings", body, format="json")
        .json()["detail"]
        .startswith("optimization was at version 1, you looked at 0")
    )
    assert admin.get(API + "settings").json()["values"]["quality_threshold"] == 0.7


@pytest.mark.django_db
def test_a_change_without_a_reason_is_refused():
    with pytest.raises(SettingsRefused):
        optimization_settings_change(changes={}, actor="a", reason="", source="page")


@pytest.mark.django_db
def test_a_change_of_another_key_never_switches_the_layer_on_again(monkeypatch):
    """OPT-55, D-31: an operator switches off between what an administrator read and wrote."""
    switch(enabled=True)
    reads = []

    def read():
        now = effective()
        if not reads:
            reads.append(now)
            switches.settings_change(
                section=switches.SECTION,
                values={**now.values, "enabled": False},
                actor="operator",
                reason="stop",
                source="page",
            )
        return now

    monkeypatch.setattr(switches, "effective", read)
    switch(quality_threshold=0.7)
    monkeypatch.undo()
    values = effective().values
    assert (values["enabled"], values["quality_threshold"]) == (False, 0.7)
