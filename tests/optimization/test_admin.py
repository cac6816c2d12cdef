"""The switch on the admin pages: a reason, an audit, and the page it is asked on."""

from importlib import import_module

import pytest

from accounts.models import AuditEvent
from optimization.switches import effective
from tests.accounts.callers import PASSWORD, by_session

import_module("tradeplatform.urls")
pytestmark = pytest.mark.django_db
LIST = "/admin/optimization/updateperiod/"


def test_the_layer_is_switched_in_the_admin_with_a_reason():
    """OPT-55: source and actor say where it was done."""
    client = by_session("admin")
    assert b"why?" in client.get(f"{LIST}switch-on/").content
    client.post(f"{LIST}switch-on/", {"reason": "", "password": PASSWORD})
    assert not effective().is_enabled
    client.post(f"{LIST}switch-on/", {"reason": "validated", "password": PASSWORD})
    now = effective()
    assert (now.is_enabled, now.source, now.reason) == (True, "admin", "validated")
    client.post(f"{LIST}switch-off/", {"reason": "quiet week"})
    assert not effective().is_enabled
    assert AuditEvent.objects.filter(action="settings.change").count() == 2


@pytest.mark.parametrize("given", [{}, {"password": ""}, {"password": "wrong"}])
def test_switching_on_asks_for_the_password(given):
    """SEC-19: as on the layer's own page; switching off asks for none."""
    answer = by_session("admin").post(f"{LIST}switch-on/", {"reason": "validated", **given})
    assert answer.status_code == 200
    assert not effective().is_enabled


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_nobody_else_switches_there(role):
    """SEC-9"""
    body = {"reason": "validated", "password": PASSWORD}
    by_session(role).post(f"{LIST}switch-on/", body)
    assert not effective().is_enabled
