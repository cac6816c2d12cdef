"""Errors, filters, paging and repeated calls over HTTP."""

import json
import logging
import threading
from datetime import timedelta

import pytest
from django.db import connections

from accounts.models import ApiToken, AuditEvent, IdempotencyKey
from accounts.parsers import MAX_BODY_BYTES
from strategies.models import HealthChange, Strategy
from tests.accounts.callers import anonymous, by_token
from tests.trades.rows import (
    START,
    make_decision,
    make_equity,
    make_everything,
    make_run,
    make_strategy,
    make_trade,
)
from trades.models import ControlEvent, ControlState

pytestmark = pytest.mark.django_db
MEMBERS = {"type", "title", "status", "detail", "reason_code", "request_id"}
HALT = "/api/v1/control/halt"


def problem(answer, status):
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    document = json.loads(answer.content)
    assert set(document) >= MEMBERS
    assert document["status"] == status
    assert document["request_id"] == answer["X-Request-Id"]
    return document


@pytest.mark.parametrize(
    ("call", "status", "reason_code"),
    [
        (lambda: anonymous().get("/api/v1/runs/"), 401, "not_authenticated"),
        (lambda: by_token("viewer").get("/api/v1/audit/"), 403, "permission_denied"),
        (lambda: by_token("viewer").get("/api/v1/nope"), 404, "not_found"),
        (lambda: by_token("viewer").get("/api/v1/strategies/nope/"), 404, "not_found"),
        (lambda: by_token("operator").put(HALT, {}, format="json"), 405, "method_not_allowed"),
        (lambda: by_token("viewer").get("/api/v1/runs/", HTTP_ACCEPT="a/b"), 406, "not_acceptable"),
        (
            lambda: by_token("operator").post(HALT, "a=1", content_type="text/csv"),
            415,
            "unsupported_media_type",
        ),
        (
            lambda: by_token("operator").post(
                "/api/v1/strategies/nope/suspend", {"reason": "r"}, format="json"
            ),
            404,
            "strategy_unknown",
        ),
    ],
)
def test_every_error_is_a_problem_document(call, status, reason_code):
    """SEC-35"""
    assert problem(call(), status)["reason_code"] == reason_code


def test_a_stranger_is_told_how_to_authenticate():
    answer = anonymous().get("/api/v1/runs/")
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_what_nobody_foresaw_is_an_id_outside_and_a_trace_inside(monkeypatch, caplog):
    """SEC-35"""

    def broken():
        raise RuntimeError("SELECT secret FROM keys")

    monkeypatch.setattr("trades.apis.filters.run_current", broken)
    with caplog.at_level(logging.ERROR):
        answer = by_token("viewer").get("/api/v1/risk/")
    document = problem(answer, 500)
    assert "secret" not in answer.content.decode()
    assert "Traceback" not in answer.content.decode()
    logged = next(r for r in caplog.records if r.name == "accounts.problems")
    assert document["request_id"] in logged.getMessage()
    assert logged.exc_info


@pytest.mark.parametrize(
    ("query", "field", "allowed"),
    [
        ("action=BUY!", "action", "BUY, SELL, EXIT, HOLD"),
        ("colour=red", "colour", "is not a filter of this list"),
        ("symbol=A&symbol=B", "symbol", "given 2 times"),
        ("page_size=501", "page_size", "500"),
        ("page_size=0", "page_size", "1"),
        ("blocking_phase=11", "blocking_phase", "10"),
        ("cursor=zzz", "cursor", "next_cursor"),
        ("cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5LjE%3D", "cursor", "next_cursor"),
        ("run=7", "run", "UUID"),
        ("run=00000000-0000-0000-0000-000000000001", "run", "there is no run of that code"),
        ("since=yesterday", "since", "format"),
        ("since=2020-01-01T00:00:00Z&until=2026-01-01T00:00:00Z", "non_field_errors", "366"),
        ("symbol=%00", "symbol", "Null"),
    ],
)
def test_a_bad_filter_is_named_with_what_is_allowed(query, field, allowed):
    """SEC-42"""
    document = problem(by_token("viewer").get(f"/api/v1/decisions/?{query}"), 400)
    (error,) = document["errors"]
    assert error["field"] == field
    assert allowed in error["detail"]


@pytest.mark.parametrize(
    ("body", "status", "reason_code"),
    [
        (b'{"reason": NaN}', 400, "not_finite"),
        (b'{"reason": "a", "reason": "b"}', 400, "duplicate_key"),
        (b"[" * 40 + b"]" * 40, 400, "too_deep"),
        (b'{"reason": "' + b"x" * MAX_BODY_BYTES + b'"}', 413, "body_too_large"),
        (b"[]", 400, "invalid"),
        (b'{"reason": ""}', 400, "invalid"),
        (b'{"reason": "  "}', 400, "invalid"),
        (b'{"reason": true}', 400, "invalid"),
        (b'{"reason": "\\u0000"}', 400, "invalid"),
        (b'{"reason": "r", "scope": "galaxy"}', 400, "invalid"),
        (b"{}", 400, "invalid"),
    ],
)
def test_a_bad_body_changes_nothing(body, status, reason_code):
    """SEC-42, SEC-43"""
    answer = by_token("operator").post(HALT, body, content_type="application/json")
    assert problem(answer, status)["reason_code"] == reason_code
    assert ControlState.objects.count() == 0


def test_the_kill_switch_is_latched_with_who_and_why():
    """SEC-33"""
    client = by_token("operator")
    answer = client.post(HALT, {"reason": "the venue is down"}, format="json")
    assert (answer.status_code, answer.json()["state"]) == (200, "HALTED")
    event = AuditEvent.objects.get(action="control.set")
    assert (event.actor, event.reason) == ("token:operator", "the venue is down")
    assert (event.before["state"], event.after["state"]) == ("ACTIVE", "HALTED")
    assert event.ip_address == "127.0.0.1"
    admin = by_token("admin")
    admin.post("/api/v1/control/resume", {"reason": "it is back"}, format="json")
    assert ControlState.objects.get().state == "ACTIVE"


@pytest.mark.parametrize("verb", ["reduce", "resume"])
def test_a_milder_state_needs_the_scope_admin_and_a_stricter_one_does_not(verb):
    """SEC-19: what undoes a halt is not for everybody who may halt."""
    operator, admin = by_token("operator"), by_token("admin")
    because = {"reason": "because"}
    assert operator.post("/api/v1/control/reduce", because, format="json").status_code == 200
    assert operator.post(HALT, because, format="json").status_code == 200
    refused = operator.post(f"/api/v1/control/{verb}", because, format="json")
    assert refused.status_code == 403
    assert "global was HALTED" in refused.json()["detail"]
    assert ControlState.objects.get().state == "HALTED"
    assert admin.post(f"/api/v1/control/{verb}", because, format="json").status_code == 200


def test_a_strategy_is_suspended_and_an_impossible_edge_is_refused():
    """SEC-33"""
    make_strategy()
    client = by_token("operator")
    url = "/api/v1/strategies/ema-trend/suspend"
    answer = client.post(url, {"reason": "five losses"}, format="json")
    assert (answer.status_code, answer.json()["status"]) == (200, "SUSPENDED")
    document = problem(client.post(url, {"reason": "again"}, format="json"), 409)
    assert document["reason_code"] == "transition_not_allowed"
    assert "its status was SUSPENDED" in document["detail"]
    assert AuditEvent.objects.filter(action="strategy.set_status").count() == 1


def test_an_override_carries_its_expiry():
    make_strategy(status="SUSPENDED")
    body = {"reason": "recovered", "override_until": "2026-02-01T00:00:00Z"}
    by_token("operator").post("/api/v1/strategies/ema-trend/unsuspend", body, format="json")
    assert Strategy.objects.get().override_until_at.isoformat() == "2026-02-01T00:00:00+00:00"


def test_pages_show_every_row_once_although_rows_arrive_in_between():
    run = make_run()
    made = [make_decision(run, minute=minute) for minute in range(7)]
    # two strategies on one bar: the time alone does not order them
    made.append(make_decision(run, minute=3, strategy="breakout"))
    client, seen, cursor = by_token("viewer"), [], ""
    while True:
        query = f"&cursor={cursor}" if cursor else ""
        page = client.get(f"/api/v1/decisions/?page_size=3{query}").json()
        seen += [row["id"] for row in page["results"]]
        make_decision(run, minute=100 + len(seen))
        cursor = page["next_cursor"]
        if not cursor:
            break
    newest_first = sorted(made, key=lambda d: (d.bar_close_at, d.pk), reverse=True)
    assert seen == [str(decision.code) for decision in newest_first]


def test_lists_show_the_current_run_and_another_when_asked():
    current = make_run(started_at=START + timedelta(days=1))
    older = make_run(account="b", ended_at=START)
    make_trade(current, 1)
    make_trade(older, 2)
    client = by_token("viewer")
    assert client.get("/api/v1/trades/").json()["results"][0]["pnl_quote"] == "1"
    chosen = client.get(f"/api/v1/trades/?run={older.code}").json()["results"]
    assert [row["pnl_quote"] for row in chosen] == ["2"]


def test_every_list_answers_with_and_without_rows():
    """ORC-58"""
    client = by_token("viewer")
    paths = [
        "decisions/", "orders/", "fills/", "trades/", "trades/statistics", "positions/",
        "equity/", "runs/", "strategies/", "weights/", "health-changes/", "instruments/",
        "monitoring/incidents", "monitoring/alerts", "monitoring/components",
    ]  # fmt: skip
    for path in paths:
        assert client.get(f"/api/v1/{path}").json()["results"] == [], path
    run = make_everything()
    filled = {path for path in paths if client.get(f"/api/v1/{path}").json()["results"]}
    assert filled >= set(paths[:9])
    decision = run.decisions.get(action="BUY")
    detail = client.get(f"/api/v1/decisions/{decision.code}/").json()
    assert [phase["number"] for phase in detail["phases"]] == list(range(1, 11))
    assert detail["orders"][0]["status"] == "FILLED"
    why = client.get(f"/api/v1/decisions/{decision.code}/why-not").json()
    assert why["traded"] is True
    candles = "venue=practice-synthetic&symbol=BTC/USDT&timeframe_ms=60000"
    assert client.get(f"/api/v1/candles/?{candles}").json()["results"][0]["close"] == 110.0
    unknown = client.get(f"/api/v1/candles/?{candles}".replace("BTC/USDT", "NO/PE"))
    assert unknown.status_code == 404
    assert "symbol was NO/PE" in unknown.json()["detail"]


def test_money_is_text_digit_for_digit():
    run = make_run()
    make_equity(run, equity=10_000)
    row = by_token("viewer").get("/api/v1/equity/").json()["results"][0]
    assert row["equity_quote"] == "10000"


def test_lists_cost_the_same_however_many_rows_they_show(django_assert_max_num_queries):
    run = make_run()
    for minute in range(30):
        make_decision(run, minute=minute)
    client = by_token("viewer")
    client.get("/api/v1/runs/")
    # token, run, page
    with django_assert_max_num_queries(3):
        assert len(client.get("/api/v1/decisions/").json()["results"]) == 30


def retire(client, key, reason="bad", code="ema-trend"):
    url = f"/api/v1/strategies/{code}/retire"
    return client.post(url, {"reason": reason}, format="json", HTTP_IDEMPOTENCY_KEY=key)


def test_a_halt_pressed_twice_has_one_effect_and_one_answer():
    """F-102, SEC-44, I-17: the same key, the same body; one change, one audit row."""
    client = by_token("operator")
    answers = [
        client.post(HALT, {"reason": "r"}, format="json", HTTP_IDEMPOTENCY_KEY="h1")
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert ControlEvent.objects.count() == 1
    assert AuditEvent.objects.filter(action="control.set").count() == 1


def test_a_repeated_call_gets_the_same_answer_and_has_one_effect():
    """F-102, SEC-44"""
    make_strategy()
    client = by_token("operator")
    first, second = retire(client, "k1"), retire(client, "k1")
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert second["Idempotency-Replayed"] == "true"
    assert HealthChange.objects.count() == 1
    assert AuditEvent.objects.filter(action="strategy.set_status").count() == 1


def test_a_key_used_for_another_request_is_refused():
    """SEC-44"""
    make_strategy()
    make_strategy("breakout")
    client = by_token("operator")
    retire(client, "k1")
    for answer in (retire(client, "k1", reason="other"), retire(client, "k1", code="breakout")):
        assert problem(answer, 409)["reason_code"] == "idempotency_key_reused"
    assert Strategy.objects.get(code="breakout").status == "ACTIVE"


def test_a_key_belongs_to_its_caller():
    """SEC-44"""
    make_strategy()
    retire(by_token("operator"), "k1")
    other = retire(by_token("operator"), "k1")
    assert problem(other, 409)["reason_code"] == "transition_not_allowed"


def test_a_refused_call_keeps_its_key_free_for_the_next_try():
    """SEC-44"""
    client = by_token("operator")
    assert retire(client, "k1").status_code == 404
    make_strategy()
    assert retire(client, "k1").status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 121, "with\ttab"])
def test_a_key_that_cannot_be_kept_is_refused(key):
    """SEC-44"""
    make_strategy()
    document = problem(retire(by_token("operator"), key), 400)
    assert document["reason_code"] == "idempotency_key_invalid"
    assert Strategy.objects.get().status == "ACTIVE"


def test_a_repeated_token_creation_never_stores_or_repeats_the_secret():
    """SEC-26, SEC-44"""
    client = by_token("admin")

    def create():
        body = {"name": "grafana", "scope": "read"}
        return client.post("/api/v1/tokens/", body, format="json", HTTP_IDEMPOTENCY_KEY="k1")

    first, second = create(), create()
    assert first.status_code == second.status_code == 201
    assert first.json()["token"].startswith("tp_")
    assert second.json() == first.json() | {"token": ""}
    assert ApiToken.objects.filter(name="grafana").count() == 1
    assert first.json()["token"] not in repr(list(IdempotencyKey.objects.values()))


def test_a_made_token_works_until_it_is_revoked():
    """SEC-26"""
    admin = by_token("admin")
    made = admin.post("/api/v1/tokens/", {"name": "n", "scope": "read"}, format="json").json()
    headers = {"HTTP_AUTHORIZATION": f"Bearer {made['token']}"}
    assert anonymous().get("/api/v1/runs/", **headers).status_code == 200
    url = f"/api/v1/tokens/{made['id']}/revoke"
    assert admin.post(url, {"reason": "leaked"}, format="json").json()["revoked_at"]
    assert anonymous().get("/api/v1/runs/", **headers).status_code == 401
    listed = admin.get("/api/v1/tokens/").json()["results"]
    assert "token" not in listed[0]
    assert "digest" not in listed[0]


@pytest.mark.django_db(transaction=True)
def test_parallel_calls_with_one_key_have_one_effect():
    """SEC-44"""
    client, answers = by_token("operator"), []
    headers = dict(client._credentials)

    def halt():
        body = {"reason": "the venue is down"}
        caller = anonymous()
        answer = caller.post(HALT, body, format="json", HTTP_IDEMPOTENCY_KEY="k1", **headers)
        answers.append((answer.status_code, answer.json()))
        connections.close_all()

    threads = [threading.Thread(target=halt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 6
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0] == 200
    assert ControlEvent.objects.count() == 1
    assert ControlState.objects.get().epoch == 1
