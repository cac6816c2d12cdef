"""What a script asks of a run, over HTTP: ids, scopes, keys, two steps."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

import pytest

from tests.accounts.callers import by_token
from tests.trades.rows import SYMBOL, make_candle, make_everything, make_fill, make_order
from trades.models import ControlState, EntryLock, ExternalFill, OperatorRequest

pytestmark = pytest.mark.django_db
POSITION = "/api/v1/positions/ema-trend:BTC-USDT"


@pytest.fixture
def run() -> object:
    return make_everything()


def test_a_position_has_an_id_and_is_closed_by_it(run: object) -> None:
    """D-59, SEC-44: asked twice with one key it is one request."""
    caller = by_token("operator")
    (row,) = caller.get("/api/v1/positions/").json()["results"]
    body = {"reason": "news", "fraction": "0.5"}
    answers = [
        caller.post(
            f"/api/v1/positions/{row['id']}/close", body, format="json", HTTP_IDEMPOTENCY_KEY="k"
        )
        for _ in range(2)
    ]
    assert [a.status_code for a in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["status"] == "WAITING"
    made = OperatorRequest.objects.get()
    assert (made.payload["fraction"], made.actor) == ("0.5", "token:operator")
    shown = caller.get(f"/api/v1/requests/{made.pk}/").json()
    assert shown == caller.get("/api/v1/requests/").json()["results"][0]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"reason": ""}, 400),
        ({"reason": "x", "quantity_base": "NaN"}, 400),
        ({"reason": "x", "quantity_base": "99"}, 409),
        ({"reason": "x", "fraction": "2"}, 409),
    ],
)
def test_a_close_that_cannot_be_is_a_problem_document(
    run: object, body: dict[str, str], status: int
) -> None:
    """SEC-43."""
    answer = by_token("operator").post(f"{POSITION}/close", body, format="json")
    assert answer.status_code == status
    assert answer["Content-Type"].startswith("application/problem+json")
    assert not OperatorRequest.objects.exists()


def test_an_unknown_position_is_not_found(run: object) -> None:
    caller = by_token("operator")
    answer = caller.post("/api/v1/positions/nobody:X/close", {"reason": "x"}, format="json")
    assert answer.status_code == 404


def test_a_wider_stop_needs_the_scope_admin_and_a_tighter_one_operate(run: object) -> None:
    """SEC-19: what loosens asks for more."""
    tight, wide = {"reason": "x", "stop_price": "100"}, {"reason": "x", "stop_price": "90"}
    operator = by_token("operator")
    run.lots.update(stop_price=Decimal(95))  # type: ignore[attr-defined]
    assert operator.post(f"{POSITION}/exits", tight, format="json").status_code == 202
    refused = operator.post(f"{POSITION}/exits", wide, format="json")
    assert (refused.status_code, refused.json()["reason_code"]) == (409, "stop_widened")
    assert by_token("admin").post(f"{POSITION}/exits", wide, format="json").status_code == 202


def test_flatten_shows_first_and_acts_on_the_token_only(run: object) -> None:
    """CTL-13: two steps; the first changes nothing."""
    caller = by_token("operator")
    first = caller.post("/api/v1/control/flatten", {"scope": "global"}, format="json")
    assert first.status_code == 200
    shown = first.json()
    assert [(p["strategy"], p["quantity_base"]) for p in shown["positions"]] == [
        ("ema-trend", "0.5")
    ]
    # 0.5 from 100 to 110 less the entry fee 0.05 and 0.1 % of 55
    assert shown["result_quote"] == {"USDT": "4.895"}
    assert not ControlState.objects.exists()
    body = {"scope": "global", "token": shown["token"], "reason": "leaving"}
    second = caller.post("/api/v1/control/flatten", body, format="json")
    assert second.status_code == 202
    assert second.json()["requests"][0]["kind"] == "flatten"
    assert ControlState.objects.get().state == "REDUCING"
    stranger = by_token("operator")
    forged = stranger.post(
        "/api/v1/control/flatten", {"scope": "global", "token": "x"}, format="json"
    )
    assert forged.status_code == 409


def test_money_and_trades_by_hand_are_declared_by_administrators(run: object) -> None:
    """D-59, F-013."""
    operator, admin = by_token("operator"), by_token("admin")
    deposit = {"asset": "USDT", "amount": "500", "reason": "wire"}
    assert operator.post("/api/v1/adjustments/", deposit, format="json").status_code == 403
    assert admin.post("/api/v1/adjustments/", deposit, format="json").status_code == 202
    fill = ExternalFill.objects.create(
        run=run,
        trade_id="9",
        symbol=SYMBOL,
        side="SELL",
        price=Decimal(110),
        quantity_base=Decimal("0.1"),
        fee=Decimal(0),
        fee_asset="USDT",
        executed_at=run.started_at,  # type: ignore[attr-defined]
        noticed_at=run.started_at,  # type: ignore[attr-defined]
    )
    (listed,) = admin.get("/api/v1/external-fills/").json()["results"]
    assert (listed["id"], listed["booked_by"]) == (fill.pk, None)
    path = f"/api/v1/external-fills/{fill.pk}/book"
    assert admin.post(path, {"reason": "x", "book_as": "gift"}, format="json").status_code == 400
    made = admin.post(path, {"reason": "x", "book_as": "lots"}, format="json")
    assert made.status_code == 202
    assert made.json()["payload"] == {"external_fill": fill.pk, "as_lots": True}


def test_a_lock_is_set_listed_and_lifted_with_reasons(run: object) -> None:
    """D-59: symbol, reason, expiry."""
    caller = by_token("operator")
    body = {"symbol": SYMBOL, "reason": "listing", "expires_at": "2030-01-01T00:00:00Z"}
    made = caller.post("/api/v1/locks/", body, format="json")
    assert made.status_code == 201
    assert caller.post("/api/v1/locks/", body | {"reason": " "}, format="json").status_code == 400
    past = body | {"expires_at": "2020-01-01T00:00:00Z"}
    assert caller.post("/api/v1/locks/", past, format="json").status_code == 400
    (shown,) = caller.get("/api/v1/locks/").json()["results"]
    assert (shown["symbol"], shown["reason"]) == (SYMBOL, "listing")
    path = f"/api/v1/locks/{shown['id']}/lift"
    assert caller.post(path, {}, format="json").status_code == 400
    assert caller.post(path, {"reason": "over"}, format="json").json()["lifted_by"]
    assert caller.get("/api/v1/locks/").json()["results"] == []
    assert EntryLock.objects.get().lifted_at is not None


def test_gains_of_a_year_are_rows_sums_and_a_file(run: object) -> None:
    """D-59, SEC-40."""
    sale = make_order(run, side="SELL", purpose="exit", status="FILLED")
    make_fill(sale, price=Decimal(120), quantity_base=Decimal("0.2"), fee=Decimal("0.01"))
    caller = by_token("viewer")
    shown = caller.get("/api/v1/gains/?year=2026").json()
    (row,) = shown["results"]
    # 0.2 from 100 to 120; of the entry fee 0.05 two fifths, and the exit fee
    assert (row["proceeds_quote"], row["cost_quote"], row["fees_quote"]) == ("24", "20", "0.03")
    assert shown["totals"][0]["gain_quote"] == row["gain_quote"] == "3.97"
    assert caller.get("/api/v1/gains/?year=2025").json()["results"] == []
    answer = caller.get("/api/v1/gains/?year=2026&csv=true")
    assert answer["Content-Disposition"] == 'attachment; filename="gains-2026.csv"'
    (line,) = csv.DictReader(io.StringIO(answer.content.decode()))
    assert (line["gain_quote"], line["quote"]) == ("3.97", "USDT")
    assert caller.get("/api/v1/gains/?year=1").status_code == 400


def test_prices_of_now_value_what_the_preview_shows(run: object) -> None:
    """D-59: the newest candle, not the first."""
    make_candle(120.0, minute=5)
    shown = (
        by_token("operator")
        .post("/api/v1/control/flatten", {"scope": "global"}, format="json")
        .json()
    )
    assert shown["positions"][0]["mark_price"] == "120"
