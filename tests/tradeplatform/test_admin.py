"""The admin pages: every list and row opens, history is read-only, status needs a reason."""

import re
from importlib import import_module

import pytest
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.db import transaction
from django.urls import reverse

from accounts.models import ApiToken, AuditEvent
from accounts.services import token_create
from monitoring.models import Alert
from strategies.models import HealthChange, Strategy
from tests.accounts.callers import PASSWORD, by_session
from tests.trades.rows import START, make_everything, make_run, make_strategy
from trades.models import Decision, Fill, Order

# every admin module registers itself when the URLs are loaded
import_module("tradeplatform.urls")

pytestmark = pytest.mark.django_db
OURS = {"accounts", "market", "strategies", "trades", "optimization", "monitoring"}
MODELS = [model for model in admin.site._registry if model._meta.app_label in OURS]
LIST = "admin:strategies_strategy_changelist"


def url(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_each_list_and_row_opens_and_nothing_is_editable(model):
    """SEC-11, SEC-34"""
    make_everything()
    token_create(name="n", scope="read", actor="ada")
    Alert.objects.create(
        code="X", severity="info", text="t", dedupe_key="x", first_at=START, last_at=START
    )
    client = by_session("admin")
    assert client.get(url(model, "changelist")).status_code == 200
    assert client.get(url(model, "add")).status_code == 403
    row = model.objects.first()
    if row is None:
        return
    assert client.get(url(model, "change", row.pk)).status_code == 200
    assert client.post(url(model, "change", row.pk), {}).status_code == 403
    assert client.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_all_models_of_the_ledger_are_there():
    names = {model.__name__ for model in MODELS}
    assert names >= {
        "ApiToken", "AuditEvent", "Instrument", "Candle", "Strategy", "HealthChange",
        "WeightUpdate", "TradingRun", "Analysis", "Decision", "Order", "Fill", "Trade", "Lot",
        "EquityPoint", "ControlState", "ControlEvent", "Alert", "Incident", "Heartbeat",
    }  # fmt: skip


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_the_admin_pages_are_for_administrators(role):
    """SEC-9"""
    client = by_session(role)
    for model in MODELS:
        assert client.get(url(model, "changelist")).status_code == 302


def test_decisions_orders_fills_and_trades_link_to_each_other():
    make_everything()
    client = by_session("admin")
    order, fill = Order.objects.get(), Fill.objects.get()

    def page(row):
        return client.get(url(type(row), "change", row.pk)).content.decode()

    assert url(Order, "change", order.pk) in page(order.decision)
    assert url(Decision, "change", order.decision_id) in page(order)
    assert url(Fill, "change", fill.pk) in page(order)
    assert url(Order, "change", order.pk) in page(fill)
    assert f"q={order.client_order_id}" in page(order)
    found = client.get(url(Order, "changelist"), {"q": order.client_order_id})
    assert order.client_order_id in found.content.decode()


def test_a_hostile_text_is_shown_as_text():
    """SEC-39"""
    run = make_run(
        account="<img src=x onerror=alert(1)>", config={"a": "<script>alert(1)</script>"}
    )
    page = by_session("admin").get(url(type(run), "change", run.pk)).content.decode()
    assert "<img src=x" not in page
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_suspending_asks_for_a_reason_first():
    """SEC-33"""
    strategy = make_strategy()
    client = by_session("admin")
    selected = {ACTION_CHECKBOX_NAME: [strategy.pk], "action": "suspend_selected"}
    asked = client.post(reverse(LIST), selected)
    assert b"Reason (required)" in asked.content
    refused = client.post(reverse(LIST), selected | {"apply": "1", "reason": " "})
    assert b"This field is required" in refused.content
    assert Strategy.objects.get().status == "ACTIVE"
    client.post(reverse(LIST), selected | {"apply": "1", "reason": "five losses"})
    assert Strategy.objects.get().status == "SUSPENDED"
    event = AuditEvent.objects.get(action="strategy.set_status")
    assert (event.actor, event.reason) == ("admin-user", "five losses")
    assert event.ip_address == "127.0.0.1"


def test_several_strategies_change_at_once_and_the_impossible_one_says_why():
    make_strategy("breakout")
    make_strategy("ema-trend", status="RETIRED")
    client = by_session("admin")
    selected = {
        ACTION_CHECKBOX_NAME: list(Strategy.objects.values_list("pk", flat=True)),
        "action": "retire_selected",
    }
    answer = client.post(
        reverse(LIST), selected | {"apply": "1", "reason": "end of test"}, follow=True
    )
    assert set(Strategy.objects.values_list("status", flat=True)) == {"RETIRED"}
    assert HealthChange.objects.count() == 1
    assert "its status was RETIRED" in answer.content.decode()


@pytest.mark.parametrize(
    ("verb", "before", "after"),
    [
        ("suspend", "ACTIVE", "SUSPENDED"),
        ("unsuspend", "SUSPENDED", "DEGRADED"),
        ("retire", "DEGRADED", "RETIRED"),
        ("activate", "DEGRADED", "ACTIVE"),
        ("reinstate", "RETIRED", "DEGRADED"),
    ],
)
def test_one_row_is_changed_from_its_own_button(verb, before, after):
    strategy = make_strategy(status=before)
    client = by_session("admin")
    listed = client.get(reverse(LIST)).content.decode()
    target = reverse(f"admin:strategies_strategy_{verb}", args=[strategy.pk])
    assert target in listed
    assert b"Reason (required)" in client.get(target).content
    assert Strategy.objects.get().status == before
    client.post(target, {"apply": "1", "reason": "because", "password": PASSWORD})
    assert Strategy.objects.get().status == after


@pytest.mark.parametrize(
    ("verb", "before"),
    [("unsuspend", "SUSPENDED"), ("activate", "DEGRADED"), ("reinstate", "RETIRED")],
)
def test_what_lets_a_strategy_trade_again_asks_for_the_password(verb, before):
    """SEC-19: an open session alone is not the administrator."""
    strategy = make_strategy(status=before)
    client = by_session("admin")
    target = reverse(f"admin:strategies_strategy_{verb}", args=[strategy.pk])
    for given in ({}, {"password": "wrong"}):
        answer = client.post(target, {"apply": "1", "reason": "because", **given})
        assert b"Password" in answer.content
        assert Strategy.objects.get().status == before


def test_what_stops_a_strategy_asks_for_no_password():
    """SEC-19"""
    strategy = make_strategy()
    target = reverse("admin:strategies_strategy_suspend", args=[strategy.pk])
    by_session("admin").post(target, {"apply": "1", "reason": "because"})
    assert Strategy.objects.get().status == "SUSPENDED"


def test_revoking_tokens_is_audited():
    """SEC-26, SEC-33"""
    row, _ = token_create(name="n", scope="read", actor="ada")
    body = {ACTION_CHECKBOX_NAME: [row.pk], "action": "revoke"}
    by_session("admin").post(reverse("admin:accounts_apitoken_changelist"), body)
    assert ApiToken.objects.get().revoked_at is not None
    assert AuditEvent.objects.get(action="token.revoke").actor == "admin-user"


def test_people_are_not_added_or_changed_here():
    """SEC-19: the page Access asks for reason, password and code; this one could not."""
    client = by_session("admin")
    me = User.objects.get()
    assert client.post(reverse("admin:auth_user_add"), {"username": "bob"}).status_code == 403
    for page in ("change", "delete"):
        address = reverse(f"admin:auth_user_{page}", args=[me.pk])
        assert client.post(address, {"username": "bobby", "post": "yes"}).status_code == 403
    assert User.objects.get().username == "admin-user"


@pytest.mark.parametrize(
    ("mode", "badge"), [("live", "LIVE"), ("paper", "PAPER"), ("practice", "SIMULATED")]
)
def test_every_page_says_whether_the_money_is_real(mode, badge):
    make_run(mode=mode)
    assert f">{badge}<" in by_session("admin").get(reverse(LIST)).content.decode().replace(
        "\n", ""
    ).replace("  ", "").replace("> ", ">").replace(" <", "<")


def test_lists_do_not_ask_again_for_each_row(django_assert_max_num_queries):
    run = make_everything()
    client = by_session("admin")
    with transaction.atomic():
        Decision.objects.bulk_create(
            Decision(
                **{
                    f.name: getattr(run.decisions.first(), f.name)
                    for f in Decision._meta.fields
                    if f.name not in ("id", "code", "strategy")
                },
                code=f"00000000-0000-0000-0000-0000000000{n:02}",
                strategy=f"s{n}",
            )
            for n in range(10, 40)
        )
    with django_assert_max_num_queries(25):
        page = client.get(url(Decision, "changelist"))
    assert page.content.count(b"cap was 0.1") + page.content.count(b"nobody proposed") >= 30


def test_money_has_no_padding_and_times_are_iso_utc():
    make_everything()
    client = by_session("admin")
    for row in (Fill.objects.first(), Order.objects.first()):
        pages = (url(type(row), "changelist"), url(type(row), "change", row.pk))
        for text in (client.get(page).content.decode() for page in pages):
            assert "00000000" not in text.replace(str(row.pk), "")
            assert " UTC" in text
            assert not re.search(r"\b(a|p)\.m\.", text)


def test_the_admin_wears_the_colour_and_sign_of_the_pages():
    text = by_session("admin").get(reverse("admin:index")).content.decode()
    assert "rgb(37, 89, 199)" in text
    assert "img/favicon.svg" in text
    assert "axes" not in text.lower()
    assert "periodic" not in text.lower()


def test_the_actions_of_a_strategy_end_with_the_one_that_cannot_be_undone():
    shown = admin.site._registry[Strategy]
    for actions in (shown.actions, shown.actions_row, shown.actions_detail):
        assert actions[-1].startswith("retire")
