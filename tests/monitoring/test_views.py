from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import reverse

from accounts.models import AuditEvent
from monitoring.models import Alert
from monitoring.urls import urlpatterns
from tests.monitoring import factories as make
from tests.monitoring import scene
from tradeplatform.management.commands import halt
from trades.apis.control import ControlHaltApi
from trades.models import ControlState

pytestmark = pytest.mark.django_db
REASON = {"reason": "odd prices"}


@pytest.fixture
def viewer(client):
    client.force_login(make.make_user("vera", "viewer"))
    return client


@pytest.fixture
def operator(client):
    client.force_login(make.make_user("olga", "operator"))
    return client


def address(pattern) -> str:
    values = {"code": uuid.uuid4(), "alert_id": 1, "silence_id": 1, "model_id": 1}
    return reverse(pattern.name, kwargs={name: values[name] for name in pattern.pattern.converters})


@pytest.mark.parametrize("pattern", urlpatterns, ids=lambda p: p.name)
@pytest.mark.parametrize("method", ["get", "post"])
def test_no_address_answers_a_stranger(client, pattern, method):
    """SEC-8: read from the list of routes, not from a list made by hand."""
    answer = getattr(client, method)(address(pattern))
    assert answer.status_code in (302, 401, 405)
    if answer.status_code == 302:
        assert answer["Location"].startswith("/login/?next=")


@pytest.mark.parametrize("pattern", urlpatterns, ids=lambda p: p.name)
def test_a_user_without_a_role_sees_nothing(client, pattern):
    """SEC-9"""
    client.force_login(make.make_user("nobody", None))
    assert client.get(address(pattern)).status_code in (403, 405)


@pytest.mark.parametrize("name", ["overview", "decisions", "orders", "trades"])
def test_every_page_works_with_and_without_a_run(viewer, name):
    assert viewer.get(reverse(name)).status_code == 200
    scene.build(n_bars=60)
    page = viewer.get(reverse(name))
    assert page.status_code == 200
    assert b"SIMULATED" in page.content


@pytest.mark.parametrize("name", ["overview", "decisions", "orders", "trades", "login"])
def test_pages_hold_nothing_that_the_policy_forbids(client, name):
    """SEC-6: no inline script, no inline style, no address outside this server."""
    if name != "login":
        client.force_login(make.make_user("vera", "viewer"))
        scene.build(n_bars=40)
    page = client.get(reverse(name))
    text = page.content.decode()
    assert "script-src 'self';" in page["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in page["Content-Security-Policy"]
    for script in text.split("<script")[1:]:
        head = script.split(">")[0]
        assert "src=" in head or 'type="application/json"' in head
    assert " style=" not in text
    assert " onclick=" not in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text


def test_private_pages_are_not_kept_by_the_browser(viewer):
    """SEC-7"""
    page = viewer.get("/")
    assert "no-store" in page["Cache-Control"]
    assert page["X-Content-Type-Options"] == "nosniff"
    assert page["Referrer-Policy"] == "same-origin"
    assert page["Cross-Origin-Opener-Policy"] == "same-origin"


def test_markup_in_stored_text_stays_text(viewer):
    """SEC-39"""
    run = make.make_run()
    make.make_decision(run, reason="<img src=x onerror=alert(1)></script><script>alert(2)")
    for name in ("overview", "decisions"):
        text = viewer.get(reverse(name)).content.decode()
        assert "<img src=x" not in text
        assert "<script>alert(2)" not in text


def test_a_viewer_sees_no_buttons_and_may_not_press_them(viewer):
    """SEC-9"""
    assert b"data-control" not in viewer.get("/").content
    answer = viewer.post(reverse("control"), {"state": "HALTED", **REASON})
    assert answer.status_code == 403
    assert not ControlState.objects.exists()


def test_an_operator_halts_with_a_reason_and_it_is_audited(operator):
    """CTL-13, SEC-33"""
    answer = operator.post(reverse("control"), {"state": "HALTED", "next": "/trades/", **REASON})
    assert answer["Location"] == "/trades/"
    row = ControlState.objects.get()
    assert (row.state, row.actor, row.reason) == ("HALTED", "olga", "odd prices")
    assert AuditEvent.objects.filter(action="control.set", actor="olga").count() == 1


def test_halting_without_a_reason_changes_nothing(operator):
    page = operator.post(reverse("control"), {"state": "HALTED", "reason": " "}, follow=True)
    assert "reason was empty" in page.content.decode()
    assert not ControlState.objects.exists()


@pytest.mark.parametrize(("password", "state"), [("", "HALTED"), (make.PASSWORD, "REDUCING")])
def test_reducing_a_halt_asks_for_the_password_again(operator, password, state):
    """SEC-19: it loosens, as a resume does."""
    operator.post(reverse("control"), {"state": "HALTED", **REASON})
    operator.post(reverse("control"), {"state": "REDUCING", "password": password, **REASON})
    assert ControlState.objects.get().state == state


def test_tightening_asks_for_no_password(operator):
    operator.post(reverse("control"), {"state": "REDUCING", **REASON})
    assert ControlState.objects.get().state == "REDUCING"


@pytest.mark.parametrize(("password", "state"), [("wrong", "HALTED"), (make.PASSWORD, "ACTIVE")])
def test_resuming_asks_for_the_password_again(operator, password, state):
    """SEC-19"""
    operator.post(reverse("control"), {"state": "HALTED", **REASON})
    operator.post(reverse("control"), {"state": "ACTIVE", "password": password, **REASON})
    assert ControlState.objects.get().state == state


def test_the_way_back_never_leads_elsewhere(operator):
    answer = operator.post(
        reverse("control"), {"state": "HALTED", "next": "https://evil.test/", **REASON}
    )
    assert answer["Location"] == "/"


def test_control_forms_need_their_token():
    """SEC-12"""
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(make.make_user("olga", "operator"))
    assert strict.post(reverse("control"), {"state": "HALTED", **REASON}).status_code == 403
    assert not ControlState.objects.exists()


def test_an_operator_acknowledges_an_alert(operator):
    now = make.START
    alert = Alert.objects.create(
        code="X", severity="info", text="x", dedupe_key="x", first_at=now, last_at=now
    )
    operator.post(reverse("alert-acknowledge", args=[alert.pk]), {"next": "/"})
    assert Alert.objects.get().acknowledged_by == "olga"


def test_decisions_are_filtered_and_paged_on_the_server(viewer):
    run = make.make_run()
    for i in range(60):
        make.make_decision(run, at=make.START + i * make.MINUTE)
    make.make_decision(run, strategy="breakout", blocking_phase=7, reason_code="NOT_READY")
    everything = viewer.get(reverse("decisions"))
    assert len(everything.context["rows"].object_list) == 50
    assert "page=2" in everything.content.decode()
    blocked = viewer.get(reverse("decisions"), {"phase": "7", "strategy": "breakout"})
    assert [d.strategy for d in blocked.context["rows"]] == ["breakout"]
    assert viewer.get(reverse("decisions"), {"phase": "x'--", "page": "zz"}).status_code == 200


def test_a_decision_is_found_by_its_code_and_by_what_makes_it_unique(viewer):
    run = make.make_run()
    decision = make.make_decision(run)
    by_code = viewer.get(reverse("decision-data", args=[decision.code])).json()
    key = {
        "run": str(run.code),
        "symbol": decision.symbol,
        "strategy": decision.strategy,
        "at_ms": int(decision.bar_close_at.timestamp() * 1000),
    }
    by_key = viewer.get(reverse("decision-by-key"), key).json()
    assert by_code == by_key
    assert by_code["id"] == str(decision.code)
    assert viewer.get(reverse("decision-by-key"), {**key, "at_ms": "9" * 30}).status_code == 404
    assert viewer.get(reverse("decision-data", args=[uuid.uuid4()])).status_code == 404


@pytest.mark.parametrize("query", ["run=nonsense", "run=0e0b7d2c-6d0c-4c53-9a0c-2f8d3c2b1a00"])
def test_an_unknown_run_is_not_found(viewer, query):
    assert viewer.get(f"/?{query}").status_code == 404


@pytest.mark.parametrize("end", ["since", "until"])
@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2024-02-30", "x"]
)
def test_a_moment_outside_the_calendar_is_no_filter(viewer, end, moment):
    """SEC-35: an address that a person typed is no failure of ours."""
    make.make_run()
    assert viewer.get("/decisions/", {end: moment}).status_code == 200


def test_price_data_is_only_for_symbols_of_the_run(viewer):
    make.make_run()
    make.make_candles("ETH/USDT", 5)
    assert len(viewer.get("/data/price/?symbol=ETH/USDT").json()["bars"]["close"]) == 5
    assert viewer.get("/data/price/?symbol=DOGE/USDT").status_code == 404


@pytest.mark.parametrize("name", ["alerts", "ceilings", "decisions", "orders", "sources"])
def test_a_card_of_a_narrow_list_names_each_of_its_values(name):
    """Below 720 px the heads are hidden, so a value without its name is a bare figure."""
    text = Path(settings.BASE_DIR, f"templates/monitoring/{name}.html").read_text()
    body = text[text.index("stacks") :].split("<tbody", 1)[1].split("</tbody>", 1)[0]
    cells = re.findall(r"<td[^>]*>", re.sub(r"{%.*?%}", "", body))
    bare = [c for c in cells if "data-label" not in c and "colspan" not in c and "acts" not in c]
    assert cells and bare == []


def test_the_keys_of_a_list_are_on_the_help_sheet_and_are_no_key_of_every_page():
    own = set(
        re.findall(
            r'event\.key === "(.+?)"',
            Path(settings.BASE_DIR, "static/js/decision_page.js").read_text(),
        )
    )
    general = set(
        re.findall(
            r'event\.key === "(.+?)"', Path(settings.BASE_DIR, "static/js/palette.js").read_text()
        )
    )
    sheet = Path(settings.BASE_DIR, "templates/palette.html").read_text()
    assert own and all(f"<kbd>{key.replace(' ', 'space')}</kbd>" in sheet for key in own)
    assert not (own - {"Enter"}) & general


def test_what_a_halt_says_of_itself_does_not_deny_that_a_resting_stop_may_fill():
    """CTL-13: the order path refuses sends in a halt and leaves protective stops at the broker."""
    words = Path(settings.BASE_DIR, "static/js/strip.js").read_text()
    effect = re.search(r'HALTED:\s+"(Halt: [^"]+)"', words)
    notice = re.search(r'MEANINGS = {[^}]*HALTED: "([^"]+)"', words)
    runbook = Path(settings.BASE_DIR, "docs/runbook.md").read_text()
    assert effect and notice
    for said in (effect[1], notice[1], halt.__doc__ or "", ControlHaltApi.__doc__ or ""):
        flat = " ".join(said.split())
        assert "othing new is sent" in flat
        assert re.search(r"(stops?|rests?|resting) .*at the broker.* stay", flat), flat
        assert "no orders" not in flat and "not acted on" not in flat
    assert "may fill" in effect[1] and "unwatched" not in runbook


@pytest.mark.parametrize(("state", "tone"), [("HALTED", "error"), ("REDUCING", "warning")])
def test_that_trading_was_stopped_is_not_told_in_the_colour_of_success(operator, state, tone):
    answer = operator.post(reverse("control"), {"state": state, **REASON}, follow=True)
    (message,) = answer.context["messages"]
    assert (message.tags, message.message) == (tone, f"Trading is now {state}.")
