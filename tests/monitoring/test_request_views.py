"""The pages by which a person closes, moves, flattens, locks and declares; each with a reason."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from django.urls import reverse

from tests.accounts.callers import PASSWORD, by_session
from tests.trades.rows import SYMBOL, make_everything
from trades.models import ControlState, EntryLock, OperatorRequest, TradingRun

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> TradingRun:
    run = make_everything()
    run.lots.update(stop_price=Decimal(95), target_price=Decimal(120))
    return run


def position(run: TradingRun, **fields: str) -> dict[str, str]:
    about = {"run": str(run.code), "strategy": "ema-trend", "symbol": SYMBOL, "reason": "news"}
    return about | {"stop_price": "95", "target_price": "120"} | fields


@pytest.mark.parametrize(("act", "fraction"), [("close", None), ("half", "0.5")])
def test_a_button_closes_a_position_or_half_of_it_once(
    run: TradingRun, act: str, fraction: str | None
) -> None:
    """D-59, SEC-44: the form's key makes a double click one request."""
    caller = by_session("operator")
    for _ in range(2):
        caller.post(reverse("position-act"), position(run, act=act, key="k"))
    assert OperatorRequest.objects.get().payload["fraction"] == fraction


def test_a_tighter_stop_needs_a_reason_and_a_wider_one_the_password(run: TradingRun) -> None:
    """SEC-19."""
    caller = by_session("operator")
    wide = position(run, act="exits", stop_price="90")
    told = caller.post(reverse("position-act"), wide, follow=True).content.decode()
    assert "widens the stop of 95" in told and "needs your password" in told
    caller.post(reverse("position-act"), wide | {"password": "wrong"})
    assert not OperatorRequest.objects.exists()
    caller.post(reverse("position-act"), wide | {"password": PASSWORD})
    assert OperatorRequest.objects.get().payload["changes"] == {"stop_price": "90"}
    caller.post(reverse("position-act"), position(run, act="exits", stop_price="99"))
    assert OperatorRequest.objects.count() == 2


@pytest.mark.parametrize(
    "fields", [{"reason": ""}, {"act": "exits"}, {"run": "x"}, {"symbol": "DOGE/USDT"}]
)
def test_what_cannot_be_asked_is_told_and_writes_nothing(
    run: TradingRun, fields: dict[str, str]
) -> None:
    told = by_session("operator").post(
        reverse("position-act"), position(run, act="close") | fields, follow=True
    )
    assert "Nothing was asked" in told.content.decode()
    assert not OperatorRequest.objects.exists()


def test_flatten_is_looked_at_and_then_confirmed(run: TradingRun) -> None:
    """CTL-13: the look changes nothing; the confirmation stops entries before any worker."""
    caller = by_session("operator")
    page = caller.get(reverse("flatten")).content.decode()
    assert "4.90 USDT" in page or "4.89 USDT" in page
    assert not ControlState.objects.exists()
    token = re.search(r'name="token" value="([^"]+)"', page)
    assert token is not None
    given = {"scope": "global", "token": token[1], "reason": "leaving"}
    answer = caller.post(reverse("flatten"), given, follow=True)
    assert "takes no entries now" in answer.content.decode()
    assert ControlState.objects.get().state == "REDUCING"
    assert (
        "Nothing was done"
        in caller.post(reverse("flatten"), given | {"token": "x"}).content.decode()
    )


def test_locks_are_set_and_lifted_on_the_page(run: TradingRun) -> None:
    """D-59."""
    caller = by_session("operator")
    caller.post(
        reverse("lock-set"),
        {"symbol": SYMBOL, "strategy": "", "until": "2030-01-01T10:00", "reason": "<b>listing</b>"},
    )
    lock = EntryLock.objects.get()
    assert lock.expires_at is not None and lock.expires_at.hour == 10
    page = caller.get(reverse("requests")).content.decode()
    assert "&lt;b&gt;listing&lt;/b&gt;" in page, "SEC-39"
    caller.post(reverse("lock-lift"), {"lock": str(lock.pk), "reason": "over"})
    assert EntryLock.objects.get().lifted_at is not None
    told = caller.post(reverse("lock-set"), {"symbol": SYMBOL, "until": "x", "reason": "r"})
    assert told.status_code == 302
    assert EntryLock.objects.count() == 1


def test_only_who_may_does(run: TradingRun) -> None:
    """SEC-8: a viewer reads the list, an operator closes, an administrator declares money."""
    viewer, operator = by_session("viewer"), by_session("operator")
    assert viewer.get(reverse("requests")).status_code == 200
    for name in ("position-act", "lock-set", "lock-lift", "flatten"):
        assert viewer.post(reverse(name), {}).status_code == 403
    money = {"run": str(run.code), "asset": "USDT", "amount": "5", "reason": "wire", "key": "k"}
    assert operator.post(reverse("adjust"), money).status_code == 403
    assert operator.post(reverse("book-external"), money).status_code == 403
    by_session("admin").post(reverse("adjust"), money)
    assert OperatorRequest.objects.get().payload == {"asset": "USDT", "amount": "5"}


def test_gains_download_names_its_year(run: TradingRun) -> None:
    """D-59."""
    answer = by_session("viewer").get(reverse("gains"), {"year": "2026"})
    assert answer["Content-Type"].startswith("text/csv")
    assert by_session("operator").get(reverse("gains"), {"year": "x"}).status_code == 302
