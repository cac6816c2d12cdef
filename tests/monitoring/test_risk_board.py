"""Every control with what is used of it, and what was denied."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from monitoring.limit_words import limit_words
from monitoring.risk_board import risk_board, use_row
from tests.monitoring import factories as make
from tests.monitoring import scene
from trades.core.controls import CONTROLS
from trades.models import ControlEvent, ControlState, SessionState
from trades.selectors.controls import control_uses, denial_list
from trades.selectors.risk import LimitUse, risk_status

pytestmark = pytest.mark.django_db


def control(run, number: int):
    rows = control_uses(run=run, status=risk_status(run=run))
    return next(row for row in rows if row.control.id == f"CTL-{number}")


def test_every_control_has_its_row_and_every_setting_its_value():
    """The table of the self-assessment and of this page is one."""
    board = risk_board(make.make_run())
    assert [row["id"] for row in board["controls"]] == [f"CTL-{n}" for n in range(1, 27)]
    for known, shown in zip(CONTROLS, board["controls"], strict=True):
        keys = {limit_words(key)[0] for key in known.keys}
        told = {use["name"] for use in shown["uses"]} | {name for name, _ in shown["settings"]}
        assert keys <= told, known.id


def test_a_limit_of_the_run_wins_over_the_default():
    run = make.make_run(config={"risk": {"max_total_drawdown": 0.11, "collar": 0.04}})
    assert {use.name: use.limit for use in control(run, 9).uses}["max_drawdown"] == 0.11
    assert float(dict(control(run, 3).settings)["collar"]) == 0.04


def test_groups_of_assets_are_named_and_their_denials_counted():
    groups = {"majors": ["BTC", "ETH"]}
    at = make.START + timedelta(days=1)
    run = make.make_run(config={"risk": {"correlated_groups": groups}}, last_event_at=at)
    make.make_decision(run, at=at, reason_code="MAX_GROUP_MAJORS", blocking_phase=7)
    row = next(r for r in risk_board(run)["controls"] if r["id"] == "CTL-4")
    assert dict(row["settings"])["Groups of correlated assets"] == "majors: BTC ETH"
    assert row["struck_day"] == 1


def test_a_position_without_its_stop_at_the_venue_is_counted():
    run = make.make_run()
    make.make_lot(run)
    (use,) = control(run, 15).uses
    assert (use.limit, use.used) == (0.0, 1.0)
    lot = run.lots.get()
    decision = make.make_decision(run)
    make.make_order(
        run,
        decision,
        side="SELL",
        purpose="exit",
        cause="protection",
        status="OPEN",
        stop_price=lot.stop_price,
        quantity_base=lot.quantity_base,
        filled_base=0,
    )
    (use,) = control(run, 15).uses
    assert use.used == 0.0


def test_denials_are_counted_by_code_within_a_day_of_venue_time():
    at = make.START + timedelta(days=3)
    run = make.make_run(last_event_at=at)
    for hours, code in ((1, "MAX_ORDER"), (2, "MAX_ORDER"), (3, "NOT_READY"), (30, "MAX_ORDER")):
        make.make_decision(
            run,
            at=at - timedelta(hours=hours),
            reason_code=code,
            reason=f"{code} {hours}",
            blocking_phase=7,
        )
    make.make_decision(run, at=at, reason_code="NO_PROPOSAL")
    refused = make.make_decision(run, at=at - timedelta(hours=4), strategy="breakout")
    make.make_order(
        run, refused, status="REJECTED", refusal_code="FUNDS", refusal_text="too little"
    )
    found = [(row.code, row.n, row.text, row.is_order) for row in denial_list(run=run)]
    assert found == [
        ("MAX_ORDER", 2, "MAX_ORDER 1", False),
        ("FUNDS", 1, "too little", True),
        ("NOT_READY", 1, "NOT_READY 3", False),
    ]
    row = control(run, 1)
    assert (row.struck_day, row.struck_week) == (2, 3)


def test_breakers_that_struck_are_counted_with_their_control():
    run = make.make_run()
    for days, code, state in ((0, "DAY_LOSS", "REDUCING"), (3, "DAY_LOSS", "REDUCING")):
        ControlEvent.objects.create(
            scope="global",
            from_state="ACTIVE",
            to_state=state,
            epoch=1,
            reason_code=code,
            actor="risk",
            at=timezone.now() - timedelta(days=days),
        )
    row = control(run, 9)
    assert (row.struck_day, row.struck_week) == (1, 2)


def test_counters_are_what_the_session_remembers():
    """A person's reset counts here as it does there."""
    run = make.make_run(last_event_at=make.START + timedelta(hours=1))
    make.make_equity(run, [10_000.0, 9_900.0])
    for _ in range(3):
        make.make_trade(run, pnl_quote=-1)
    assert {use.name: use.used for use in risk_status(run=run).limits}["loss_streak"] == 3
    now_ms = round(run.last_event_at.timestamp() * 1000)
    memory = {
        "streaks": {"ema-trend": 0, "breakout": 2},
        "entries": {"breakout|BTC/USDT|BUY": [now_ms - 20 * 60_000, now_ms - 60_000]},
        "week": {"20514": "-300", "20515": "100"},
    }
    SessionState.objects.create(run=run, payload={"account": memory}, event_at=make.START)
    used = {use.name: use.used for use in risk_status(run=run).limits}
    assert used["loss_streak"] == 2
    assert (used["max_entries_per_15m"], used["max_entries_per_day"]) == (1, 2)
    assert used["max_week_loss"] == pytest.approx(200 / 10_100)


@pytest.mark.parametrize(
    ("used", "limit", "level", "width"),
    [
        (None, 1.0, "", None),
        (0.6, 1.0, "", 0.6),
        (0.7, 1.0, "near", 0.7),
        (2.0, 1.0, "over", 1.0),
        (0.0, 0.0, "", 0.0),
        (1.0, 0.0, "over", 1.0),
    ],
)
def test_a_bar_warns_before_its_limit_and_never_leaves_its_frame(used, limit, level, width):
    row = use_row(LimitUse("max_day_loss", "trades", limit, used, None))
    assert (row["level"], row["width"]) == (level, width)


def test_the_page_tells_who_stopped_what_and_changes_nothing(client):
    client.force_login(make.make_user("vera", "viewer"))
    run = scene.build(n_bars=30)
    ControlState.objects.create(
        scope="symbol:BTC/USDT",
        state="HALTED",
        reason="odd prices",
        actor="olga",
        changed_at=timezone.now(),
    )
    page = client.get(reverse("risk")).content.decode()
    assert "odd prices" in page and "olga" in page and "CTL-26" in page
    assert client.post(reverse("risk")).status_code == 405
    assert str(run.code) in client.get(f"{reverse('risk')}?run={run.code}").content.decode()


def test_no_control_is_shown_by_the_name_of_its_key():
    keys = [key for control in CONTROLS for key in control.keys]
    raw = [key for key in keys if limit_words(key) == (key.replace("_", " "), "")]
    assert keys and raw == []
