"""The names that scripts rely on: each address, verb, filter and topic that was promised exists.

The table is the promise, kept here by hand on purpose: a name that is changed in the code does
not change with it here.
"""

from __future__ import annotations

import uuid

import pytest
from django.urls import Resolver404, resolve

from accounts.paging import ListFilters
from monitoring.publish import TOPICS
from monitoring.routing import websocket_urlpatterns
from tests.accounts.callers import by_token
from tests.trades.rows import make_everything
from tradeplatform.api_urls import UnknownPathApi

ROOT = "/api/v1/"
GETS = {
    "health": (),
    "optimization/status": (),
    "optimization/settings": (),
    "strategies/": (),
    "strategies/{code}/": (),
    "weights/": (),
    "health-changes/": (),
    "decisions/": ("run", "symbol", "strategy", "action", "blocking_phase", "reason_code"),
    "decisions/{code}/": (),
    "decisions/{code}/why-not": (),
    "decisions/{code}/replay": (),
    "orders/": ("run", "symbol", "strategy", "status", "side"),
    "fills/": ("run", "symbol", "strategy"),
    "trades/": ("run", "symbol", "strategy", "exit_reason"),
    "positions/": ("run",),
    "equity/": ("run", "since", "until"),
    "risk/": ("run",),
    "monitoring/overview": ("run",),
    "monitoring/samples": (),
    "monitoring/incidents": (),
    "monitoring/alerts": (),
    "monitoring/components": (),
    "optimizer/actions": (),
    "optimizer/report": (),
    "optimizer/rules": (),
    "replays/": (),
    "runs/": (),
    "audit/": (),
    "tokens/": (),
    "locks/": (),
}
POSTS = (
    "optimization/enable",
    "optimization/disable",
    "strategies/{code}/suspend",
    "strategies/{code}/unsuspend",
    "strategies/{code}/retire",
    "strategies/{code}/reinstate",
    "control/halt",
    "control/reduce",
    "control/resume",
    "control/flatten",
    "replays/",
    "tokens/",
    "locks/",
)
# where a reason is required; a flatten shows first what it would close, and wants it afterwards
WITH_REASON = tuple(
    path
    for path in POSTS
    if path.startswith(("strategies/", "control/")) and path != "control/flatten"
)
# newest first, a page at a time; the others answer in one piece
PAGED = (
    *("weights/", "health-changes/", "decisions/", "orders/", "fills/", "trades/"),
    *("monitoring/samples", "monitoring/incidents", "monitoring/alerts", "optimizer/actions"),
    *("runs/", "audit/", "locks/"),
)
PROMISED_TOPICS = (
    *("decisions", "orders", "trades", "equity", "weights", "health", "alerts", "resources"),
    "control",
)


@pytest.fixture
def document(db):
    client = by_token("viewer")
    return client.get(f"{ROOT}schema/", HTTP_ACCEPT="application/json").json()["paths"]


def operation(document, path, verb):
    """An address may be written with another name for what it takes."""
    for known, verbs in document.items():
        plain = known.replace("{id}", "{code}")
        if plain == f"{ROOT}{path}" and verb in verbs:
            return verbs[verb]
    raise AssertionError(f"{verb} {path} is not in the document")


@pytest.mark.parametrize("path", [*GETS, *POSTS])
def test_each_promised_address_resolves_to_an_operation(path):
    value = str(uuid.UUID(int=1)) if path.startswith("decisions/") else "ema-trend"
    try:
        found = resolve(ROOT + path.replace("{code}", value))
    except Resolver404:
        pytest.fail(f"{path} leads nowhere")
    assert found.func.view_class is not UnknownPathApi


def test_the_document_describes_each_promised_address_verb_and_filter(document):
    for path, filters in GETS.items():
        names = {one["name"] for one in operation(document, path, "get").get("parameters", ())}
        assert set(filters) <= names, path
    for path in POSTS:
        names = {one["name"] for one in operation(document, path, "post").get("parameters", ())}
        assert "Idempotency-Key" in names, path


def test_every_promised_list_has_a_cursor_a_size_and_a_range(document):
    for path in PAGED:
        names = {one["name"] for one in operation(document, path, "get").get("parameters", ())}
        assert set(ListFilters().fields) <= names, path
        good = operation(document, path, "get")["responses"]["200"]
        assert good["content"]["application/json"]["schema"]["$ref"].endswith("Page"), path


def test_a_cursor_leads_through_a_list_without_a_gap_or_a_repeat(db):
    make_everything()
    by_token("viewer")
    client = by_token("admin")
    for path in ("decisions/", "audit/"):
        whole = client.get(f"{ROOT}{path}", {"page_size": 500}).json()["results"]
        paged, cursor = [], ""
        while True:
            asked = {"page_size": 1} | ({"cursor": cursor} if cursor else {})
            page = client.get(f"{ROOT}{path}", asked).json()
            paged += page["results"]
            cursor = page["next_cursor"]
            if not cursor:
                break
        assert paged == whole
        assert len(paged) > 1


def test_what_stops_or_loosens_wants_a_reason(db):
    make_everything()
    client = by_token("admin")
    for path in WITH_REASON:
        answer = client.post(f"{ROOT}{path.replace('{code}', 'ema-trend')}", {}, format="json")
        assert answer.status_code == 400, (path, answer.content)
        assert "reason" in {error["field"] for error in answer.json()["errors"]}, path
    shown = client.post(f"{ROOT}control/flatten", {"scope": "global"}, format="json").json()
    body = {"scope": "global", "token": shown["token"]}
    answer = client.post(f"{ROOT}control/flatten", body, format="json")
    assert answer.status_code in (400, 409)
    assert "reason" in answer.json()["detail"]


def test_the_overview_is_what_the_page_and_the_first_frame_hold(db):
    run = make_everything()
    client = by_token("viewer")
    shown = client.get(f"{ROOT}monitoring/overview").json()
    assert shown["run"]["code"] == str(run.code)
    assert shown["account"]["equity"] == 10_000.0
    assert len(shown["trades"]) == 1
    assert client.get(f"{ROOT}monitoring/overview?run={uuid.UUID(int=3)}").status_code == 400


def test_every_promised_topic_can_be_listened_to():
    assert set(PROMISED_TOPICS) <= set(TOPICS)


def test_the_metrics_and_the_stream_stand_where_they_were_promised(client, db):
    assert client.get("/metrics").status_code in (200, 401)
    (stream,) = websocket_urlpatterns(hub=None)
    assert str(stream.pattern) == "ws/stream/"
