"""The layer's page: what it shows, who may change what, and the password where it loosens."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEvent
from optimization.models import StoredLayerState
from optimization.switches import effective
from strategies.models import HealthChange, Strategy
from tests.accounts.callers import by_session
from tests.monitoring.factories import PASSWORD, make_user
from tests.optimization.scene import make_book, make_trades, switch
from tests.trades.rows import make_decision

pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> dict[str, Client]:
    found = {}
    for name, role in (("vera", "viewer"), ("olga", "operator"), ("ada", "admin")):
        user = make_user(name, role)
        found[name] = Client()
        found[name].force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return found


def move(client: Client, verb: str, **given: Any) -> Any:
    body = {"strategy": "ema-trend", "verb": verb, "reason": "because"}
    return client.post("/optimization/status/", body | given)


def status() -> str:
    return Strategy.objects.get(code="ema-trend").status


def test_the_page_and_its_data_open_for_a_viewer_before_anything_exists(people) -> None:
    assert people["vera"].get("/optimization/").status_code == 200
    data = people["vera"].get("/data/optimization/").json()
    assert data["strategies"] == [] and data["allocation"]["ts_ms"] == []
    assert people["vera"].get("/data/optimization/preview/").json()["at"] is None


def test_a_stranger_is_sent_to_the_login() -> None:
    """SEC-8"""
    assert Client().get("/optimization/").status_code == 302
    assert Client().get("/data/optimization/").status_code == 401
    assert Client().post("/optimization/settings/", {"enabled": "true"}).status_code == 302


def test_the_page_shows_standing_evidence_shares_and_qualities(people) -> None:
    """OPT-82: the same rows as the engine's."""
    run = make_book()
    make_trades(run, "ema-trend", [1.0, -1.0, 2.0])
    for minute, (accepted, quality, action) in enumerate(
        [(True, 0.8, "BUY"), (False, 0.4, "HOLD"), (False, 0.41, "HOLD"), (True, 0.7, "HOLD")]
    ):
        row = make_decision(run, minute=minute, action=action)
        row.payload = {**row.payload, "policy": {"accepted": accepted, "quality": quality}}
        row.save()
    data = people["vera"].get("/data/optimization/").json()
    first = data["strategies"][0]
    assert (first["trades"], first["share_fraction"]) == (3, 0.5)
    assert first["expectancy_r"] == pytest.approx(2 / 3)
    assert data["regimes"][0]["regime"] == "TRENDING"
    assert (data["quality"]["n_executed"], data["quality"]["n_filtered"]) == (1, 2)
    assert data["quality"]["filtered"][8] == 2


def test_the_preview_writes_nothing(people) -> None:
    run = make_book()
    make_trades(run, "ema-trend", [1.5, -0.5] * 15)
    seen = people["vera"].get("/data/optimization/preview/").json()
    assert seen["taken"] == 30 and seen["weights"]
    assert StoredLayerState.objects.count() == 0


def test_switching_on_needs_an_administrator_and_the_password(people) -> None:
    """OPT-55, SEC-19"""
    body = {"enabled": "true", "reason": "validated", "password": PASSWORD}
    assert people["vera"].post("/optimization/settings/", body).status_code == 403
    assert people["olga"].post("/optimization/settings/", body).status_code == 403
    people["ada"].post("/optimization/settings/", body | {"password": "wrong"})
    assert not effective().is_enabled
    people["ada"].post("/optimization/settings/", body)
    assert effective().is_enabled
    audit = AuditEvent.objects.filter(action="settings.change").first()
    assert audit is not None and (audit.actor, audit.reason) == ("ada", "validated")


def test_an_operator_may_switch_off_without_a_password(people) -> None:
    switch(enabled=True)
    people["olga"].post("/optimization/settings/", {"enabled": "false", "reason": "odd sizes"})
    assert not effective().is_enabled
    assert effective().source == "page"


def test_a_bad_value_or_an_older_version_changes_nothing_and_says_so(people) -> None:
    """OPT-41"""
    switch(enabled=True)
    for body, said in (
        ({"quality_threshold": "60"}, "quality_threshold was 60"),
        ({"quality_threshold": "lots"}, "quality_threshold was &#x27;lots&#x27;"),
        ({"quality_threshold": "0.7", "version": "0"}, "you looked at 0"),
        ({"quality_threshold": "0.7", "reason": ""}, "reason was empty"),
        ({}, "no setting was named"),
    ):
        full = {"reason": "r", "password": PASSWORD, "next": "/optimization/"} | body
        answer = people["ada"].post("/optimization/settings/", full, follow=True)
        assert said in answer.content.decode()
        assert effective().version == 1


def test_stopping_a_strategy_asks_nothing_letting_it_trade_asks_the_password(people) -> None:
    """SEC-19, D-46"""
    make_book()
    move(people["olga"], "suspend")
    assert status() == "SUSPENDED"
    move(people["olga"], "unsuspend")
    assert status() == "SUSPENDED"
    until = "2026-02-01T10:00"
    move(people["olga"], "unsuspend", password=PASSWORD, override_until=until)
    row = Strategy.objects.get(code="ema-trend")
    assert (row.status, f"{row.override_until_at:%Y-%m-%d %H:%M}") == (
        "DEGRADED",
        "2026-02-01 10:00",
    )


def test_only_an_administrator_activates_and_reinstates(people) -> None:
    """SEC-9, D-06"""
    make_book()
    move(people["olga"], "retire")
    assert move(people["olga"], "reinstate", password=PASSWORD).status_code == 403
    move(people["ada"], "reinstate", password=PASSWORD)
    assert status() == "DEGRADED"
    assert move(people["olga"], "activate", password=PASSWORD).status_code == 403
    move(people["ada"], "activate", password=PASSWORD)
    assert status() == "ACTIVE"
    assert [change.actor for change in HealthChange.objects.all()] == ["ada", "ada", "olga"]


def test_a_move_without_a_reason_or_of_an_unknown_kind_is_refused(people) -> None:
    make_book()
    move(people["olga"], "suspend", reason=" ")
    move(people["olga"], "explode")
    move(people["olga"], "suspend", strategy="nobody")
    move(people["ada"], "unsuspend", password=PASSWORD, override_until="soon")
    assert status() == "ACTIVE"


def test_the_navigation_leads_to_the_page(people) -> None:
    assert b'href="/optimization/"' in people["vera"].get("/").content


def test_the_report_is_one_document_over_the_api() -> None:
    """OPT-82: one JSON document with every report."""
    make_book()
    document = by_session("viewer").get("/api/v1/optimization/report").json()
    assert set(document) == {"at", "book", "status", "strategies", "regimes", "quality"}
    assert len(document["strategies"]) == 2


def test_an_address_that_names_no_run_still_shows_the_page(people: dict[str, Client]) -> None:
    """SEC-35: the strip on every page reads it."""
    make_book()
    people["vera"].raise_request_exception = False
    for code in ("x", "9" * 400, "<script>", "0e0b7d2c-6d0c-4c53-9a0c-2f8d3c2b1a00"):
        assert people["vera"].get("/optimization/", {"run": code}).status_code == 200
