"""From rows that trading wrote to messages that left: nothing lost, nothing twice, nobody waits."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from engine.ports import TradingState
from monitoring.components import component_list
from monitoring.models import Alert
from monitoring.services import alert_raise, alert_resolve
from notifications.core.config import ChannelSettings, QuietHours
from notifications.models import Channel, Cursor, Message, MessageState
from notifications.services import claims_release, messages_claim, messages_prune
from tests.monitoring.factories import (
    make_decision,
    make_equity,
    make_fill,
    make_order,
    make_run,
    make_strategies,
    make_trade,
)
from tests.notifications.scene import Scene
from trades.models import OrderEvent, TradingRun
from trades.services import control_set

pytestmark = pytest.mark.django_db


def order_ended(run: TradingRun, *, action: str = "BUY", status: str = "FILLED", **fields: Any):
    """Write an order with its fill and the edge that ended it, as the order service does."""
    decision = make_decision(
        run,
        at=run.started_at + timedelta(minutes=OrderEvent.objects.count()),
        action=action,
        quantity="0.02",
        reason="confluence 3 of 4",
    )
    order = make_order(run, decision, status=status, **fields)
    if order.filled_base > 0:
        make_fill(run, order)
    OrderEvent.objects.create(
        order=order, seq=1, from_status="OPEN", to_status=status, at=timezone.now()
    )
    return order


def alert(code: str = "VENUE_UNAVAILABLE", severity: str = "warning", key: str = "venue") -> Alert:
    return alert_raise(code=code, severity=severity, text=f"{code} happened", dedupe_key=key)


def states() -> dict[str, str]:
    return {row.subject: row.state for row in Message.objects.order_by("pk")}


def test_what_stood_there_before_anybody_listened_is_not_told():
    alert(key="old")
    control_set(scope="global", state=TradingState.HALTED, actor="ada", reason="before")
    scene = Scene()
    assert scene.look() == 0
    assert not Message.objects.exists()
    alert(key="new")
    assert scene.look() == 1
    assert scene.phone.subjects == ["[warning] Alert VENUE_UNAVAILABLE"]


def test_an_entry_and_an_exit_are_told_with_price_reason_and_result():
    scene, run = Scene(page_url="https://trade.example.org"), make_run()
    entry = order_ended(run)
    scene.look()
    sold = order_ended(run, action="EXIT")
    make_trade(run, exit_order_id=sold.client_order_id, pnl_quote=Decimal("12.345"), r_multiple=1.5)
    scene.look()
    bought, closed = scene.phone.sent
    assert bought.subject == "SIMULATED entry: BUY 0.02 BTC/USDT"
    assert bought.text.splitlines() == [
        "ema-trend at 64000 USDT, 1,280.00 USDT",
        "confluence 3 of 4",
        f"https://trade.example.org/decisions/{entry.decision.code}/",
    ]
    assert closed.subject == "SIMULATED exit: SELL 0.02 BTC/USDT, +12.34 USDT"
    assert "+1.50 R" in closed.text


def test_a_stop_that_was_hit_is_a_kind_of_its_own_and_a_replay_tells_nobody():
    scene, run = Scene(kinds={"exit": False}), make_run()
    order_ended(run, action="EXIT", order_type="stop", reason_code="STOP", cause="protection")
    order_ended(run, action="EXIT")
    order_ended(make_run(mode="replay"))
    scene.look()
    assert scene.phone.subjects == ["[warning] SIMULATED stop hit: SELL 0.02 BTC/USDT"]
    assert states()["SIMULATED exit: SELL 0.02 BTC/USDT"] == MessageState.SUPPRESSED
    assert Message.objects.filter(kind="fill").count() == 2, "of the replay none"


def test_an_order_the_venue_refused_is_told_and_one_that_only_ended_is_not():
    scene, run = Scene(), make_run()
    refused = {"filled_base": Decimal(0), "refusal_code": "FUNDS", "refusal_text": "not enough"}
    order_ended(run, status="REJECTED", **refused)
    order_ended(run, status="CANCELED", filled_base=Decimal(0))
    scene.look()
    assert [(m.subject, m.text) for m in scene.phone.sent] == [
        ("[warning] SIMULATED order refused: BUY BTC/USDT", "ema-trend: FUNDS not enough")
    ]


def test_the_trading_state_and_the_health_of_a_strategy_are_told():
    from strategies.services import strategy_suspend

    make_strategies()
    scene = Scene()
    control_set(scope="global", state=TradingState.HALTED, actor="ada", reason="rates look odd")
    strategy_suspend(code="ema-trend", actor="ada", reason="drawdown")
    scene.look()
    assert scene.phone.subjects == [
        "[CRITICAL] Trading HALTED: global",
        "[warning] ema-trend is SUSPENDED",
    ]
    assert "by ada: rates look odd" in scene.phone.sent[0].text


def test_an_alert_is_told_when_it_opens_when_it_gets_worse_and_when_it_is_over():
    """ORC-78: repeats of an open alert are its count and no message."""
    scene = Scene(dedupe_minutes=0)
    for _ in range(3):
        alert()
    scene.look()
    alert(severity="critical")
    scene.look()
    alert_resolve(dedupe_key="venue")
    scene.look()
    scene.look()
    assert [(m.subject, m.is_silent) for m in scene.phone.sent] == [
        ("[warning] Alert VENUE_UNAVAILABLE", False),
        ("[CRITICAL] Alert VENUE_UNAVAILABLE", False),
        ("[warning] Over: VENUE_UNAVAILABLE", True),
    ]


def test_a_process_that_fell_silent_is_told_as_what_it_is():
    """F-025, F-096"""
    scene = Scene(kinds={"alert_opened": False})
    alert("HEARTBEAT_LATE", "critical", "heartbeat:trading")
    scene.look()
    assert [row.kind for row in Message.objects.filter(state="sent")] == ["process_silent"]


def test_a_dead_notifier_loses_nothing_and_its_successor_tells_nothing_twice():
    """F-098: what happened while nobody listened is read from the rows by the next start."""
    scene, run = Scene(), make_run()
    order_ended(run)
    scene.look()
    alert()
    order_ended(run, action="EXIT")
    scene.restarted()
    scene.look(minutes=30)
    scene.restarted()
    scene.look()
    assert len(scene.phone.sent) == 3
    assert len(set(scene.phone.subjects)) == 3


def test_a_row_that_was_committed_behind_the_cursor_is_still_told():
    """Two transactions may commit out of the order of their ids."""
    scene = Scene()
    alert(key="first")
    late = alert("UNPROTECTED", key="second")
    row = Alert.objects.filter(pk=late.pk)
    held = row.values().get()
    row.delete()
    alert("EXTERNAL_FILL", key="third")
    scene.look()
    Alert.objects.create(**held)
    scene.look()
    assert sorted(scene.phone.subjects) == [
        "[warning] Alert EXTERNAL_FILL",
        "[warning] Alert UNPROTECTED",
        "[warning] Alert VENUE_UNAVAILABLE",
    ]


def test_reading_writes_nothing_where_nothing_is_new():
    """CTL-13: the database's one write lock belongs to trading."""
    scene = Scene()
    scene.look()
    scene.now += timedelta(milliseconds=1)
    with CaptureQueriesContext(connection) as asked:
        scene.notifier.look(scene.now)
    assert len(asked) > 5
    assert [q["sql"] for q in asked if not q["sql"].startswith("SELECT")] == []


def test_a_channel_that_fails_keeps_its_messages_and_rests_longer_each_time():
    """F-098: queued, shown with its reason, and the others go on."""
    scene = Scene("phone", "mail")
    scene.phone.fails("error=500")
    alert()
    scene.look()
    message = Message.objects.get(channel="phone")
    assert (message.state, message.tries, message.why) == ("queued", 1, "error=500")
    assert scene.heard["mail"].subjects == ["[warning] Alert VENUE_UNAVAILABLE"]
    scene.look(seconds=5)
    assert Message.objects.get(channel="phone").tries == 1, "it rests"
    scene.look(seconds=10)
    scene.look(seconds=21)
    assert Message.objects.get(channel="phone").tries == 3
    row = Channel.objects.get(name="phone")
    assert (row.fails_in_a_row, row.last_error) == (3, "error=500")
    scene.phone.trouble = None
    scene.look(seconds=41)
    assert Message.objects.filter(channel="phone", state="sent").count() == 1
    assert Channel.objects.get(name="phone").fails_in_a_row == 0


def test_a_channel_that_goes_on_failing_is_an_alert_that_the_others_hear_of():
    """F-098"""
    scene = Scene("phone", "mail")
    scene.phone.fails("error=403")
    alert()
    for _ in range(3):
        scene.look(minutes=5)
    assert Alert.objects.get(code="NOTIFICATIONS_FAILING").text.endswith("in a row: error=403")
    scene.look(minutes=20)
    assert "[warning] Alert NOTIFICATIONS_FAILING" in scene.heard["mail"].subjects
    own = Message.objects.get(channel="phone", subject="[warning] Alert NOTIFICATIONS_FAILING")
    assert (own.state, own.why) == ("suppressed", "it is about this channel")
    scene.phone.trouble = None
    scene.look(minutes=20)
    assert Alert.objects.get(code="NOTIFICATIONS_FAILING").resolved_at is not None


def test_a_message_without_a_way_out_is_given_up_after_a_day_and_says_so():
    """F-098"""
    scene = Scene()
    scene.phone.fails()
    alert()
    scene.look()
    scene.look(hours=25)
    assert Message.objects.get(kind="alert_opened").state == MessageState.FAILED


def test_an_error_nobody_foresaw_is_a_failure_of_its_channel_and_shows_no_address(caplog):
    scene = Scene("phone", "mail")
    scene.phone.trouble = RuntimeError("https://api.example.org/bot123:SECRET/send")
    alert()
    scene.look()
    assert Message.objects.get(channel="phone").why == "it failed with RuntimeError"
    assert scene.heard["mail"].sent
    assert "SECRET" not in caplog.text


def test_a_channel_that_hangs_is_left_behind():
    """F-098: it costs its own time-out once, and never a second thread."""
    import threading

    release, entered = threading.Event(), []

    def hang(message: Any) -> None:
        entered.append(message)
        release.wait(30)

    scene = Scene("mail", "phone")
    scene.heard["mail"] = hang  # type: ignore[assignment]
    scene.restarted()
    scene.notifier._send_within_s = 0.05
    alert()
    scene.look()
    assert scene.heard["phone"].subjects == ["[warning] Alert VENUE_UNAVAILABLE"]
    assert Message.objects.get(channel="mail").why == "no answer within 0.05 s"
    scene.look(minutes=1)
    assert Message.objects.get(channel="mail").why == "the attempt before has not ended yet"
    assert len(entered) == 1
    release.set()


def test_a_message_is_claimed_by_one_sender_and_released_when_that_one_died():
    scene = Scene()
    scene.phone.fails()
    alert()
    scene.look()
    rows = list(Message.objects.all())
    assert messages_claim(rows, now=scene.now) == rows
    assert messages_claim(rows, now=scene.now) == []
    assert claims_release(now=scene.now + timedelta(seconds=119)) == 0
    assert claims_release(now=scene.now + timedelta(seconds=121)) == 1
    assert Message.objects.get().state == MessageState.QUEUED


def test_many_at_once_leave_as_one_and_what_is_critical_alone_before_them():
    scene = Scene()
    scene.phone.fails()
    for n in range(6):
        alert(key=f"venue:{n}")
    control_set(scope="global", state=TradingState.HALTED, actor="ada", reason="stop")
    scene.look()
    scene.phone.trouble = None
    scene.look(minutes=1)
    assert scene.phone.subjects == ["[CRITICAL] Trading HALTED: global", "6 messages"]
    assert scene.phone.sent[1].text.count("VENUE_UNAVAILABLE happened") == 6
    assert Message.objects.filter(state="sent").count() == 7
    assert Message.objects.exclude(sent_with=None).count() == 6


def test_what_quiet_hours_held_leaves_at_their_end_as_one():
    hour = timezone.now().hour
    scene = Scene(quiet_hours=QuietHours(start=hour * 60, end=(hour + 2) % 24 * 60))
    run = make_run()
    order_ended(run)
    order_ended(run, action="EXIT")
    scene.look()
    assert scene.phone.sent == []
    held = list(Message.objects.filter(state="queued"))
    assert {row.why for row in held} == {f"quiet hours until {(hour + 2) % 24:02d}:00 UTC"}
    scene.now = held[0].due_at
    scene.look()
    assert scene.phone.subjects == ["2 messages"]


def test_a_channel_may_have_switches_and_a_threshold_of_its_own():
    pager = ChannelSettings(
        url_env="NOTIFY_PAGER_URL", minimum_severity="critical", kinds={"entry": False}
    )
    scene = Scene("phone", "pager", channels={"pager": pager})
    alert()
    order_ended(make_run())
    scene.look()
    assert len(scene.phone.sent) == 2
    assert scene.heard["pager"].sent == []
    reasons = set(Message.objects.filter(channel="pager").values_list("why", flat=True))
    assert reasons == {"severity was warning, told from critical on", "entry is off", "fill is off"}


def test_the_daily_summary_counts_from_the_summary_before():
    # half a day from now: no second summary falls between two looks
    at = (timezone.now().hour + 12) % 24 * 60
    scene, run = Scene(kinds={"daily_summary": True}, daily_summary_at=at), make_run()
    make_trade(run, pnl_quote=Decimal("5"))
    make_trade(run, pnl_quote=Decimal("-2"))
    make_decision(run, action="BUY")
    make_equity(run, [10_000.0, 10_003.0])
    scene.look(days=1)
    scene.look()
    told = len(scene.phone.sent)
    make_trade(run, pnl_quote=Decimal("1.5"))
    scene.look(days=1)
    assert (told, len(scene.phone.sent)) == (1, 2)
    first, second = scene.phone.sent
    assert first.subject == "Daily summary: 2 trades, +3.00 USDT"
    assert "2 trades closed, 1 with a gain, 3.00 USDT after fees; 1 decisions" in first.text
    assert "equity 10,003.00 USDT, drawdown 0.00 %" in first.text
    assert second.subject == "Daily summary: 1 trade, +1.50 USDT"


def test_the_notifier_beats_at_the_end_of_its_work():
    """F-025"""
    scene = Scene()
    (beat,) = component_list(scene.now)
    assert (beat.component, beat.is_late) == ("notifier", False)
    assert Cursor.objects.count() >= 5


def test_messages_that_ended_are_deleted_after_their_days_and_waiting_ones_stay():
    scene = Scene()
    alert()
    scene.look()
    scene.phone.fails()
    alert(key="other", code="UNPROTECTED")
    scene.look()
    later = scene.now + timedelta(days=31)
    assert messages_prune(before=later, dry_run=True) == 1
    assert messages_prune(before=later) == 1
    assert Message.objects.get().state == MessageState.QUEUED


def test_a_message_that_no_service_takes_holds_up_no_other_and_ends():
    """F-098: the channel works, and only what it will not take waits longer each time."""
    scene = Scene()
    scene.phone.refuses = "BTC < 60k"
    alert(code="BTC < 60k", key="poison", severity="critical")
    alert(code="BTC < 60k", key="milder")
    scene.look()
    control_set(scope="global", state=TradingState.HALTED, actor="ada", reason="stop")
    for wait in (1, 11, 21, 41):
        scene.look(seconds=wait)
    assert scene.phone.subjects[0] == "[CRITICAL] Trading HALTED: global"
    assert Channel.objects.get(name="phone").retry_at is None
    rows = {row.severity: row for row in Message.objects.filter(subject__contains="BTC <")}
    assert (rows["warning"].state, rows["warning"].tries) == (MessageState.FAILED, 3)
    assert rows["critical"].state == MessageState.QUEUED, "what is critical is tried for a day"


def test_one_message_spoils_no_digest():
    """F-098"""
    scene = Scene()
    scene.phone.refuses = "BTC < 60k"
    alert(code="BTC < 60k", key="poison")
    for n in range(6):
        alert(key=f"venue:{n}")
    scene.look()
    assert scene.phone.subjects == ["[warning] Alert VENUE_UNAVAILABLE"] * 6


def test_after_a_failure_the_next_message_is_tried_and_after_two_the_channel_rests():
    """F-098: one bad message may fail without the service saying that it is the message."""
    scene = Scene()
    scene.phone.fails_for = "UNPROTECTED"
    alert(code="UNPROTECTED", key="poison", severity="critical")
    alert()
    scene.look()
    assert scene.phone.subjects == ["[warning] Alert VENUE_UNAVAILABLE"]
    scene.phone.fails()
    for n in range(4):
        alert(code="AUTH", key=f"more:{n}")
    scene.look()
    assert Message.objects.filter(tries__gt=0, state="queued").count() == 3


def test_old_halts_and_open_alerts_are_not_told_again_when_their_messages_are_gone():
    """F-098"""
    scene = Scene()
    control_set(scope="global", state=TradingState.HALTED, actor="ada", reason="stop")
    alert(severity="critical")
    scene.look()
    # a breaker's halt has its venue's time, which says nothing of ours
    control_set(scope="global", state=TradingState.HALTED, actor="breaker", reason="again")
    scene.look()
    told = len(scene.phone.sent)
    scene.now += timedelta(days=31)
    assert messages_prune(before=scene.now - timedelta(days=1)) == told == 3
    scene.restarted()
    alert(code="AUTH", key="new")
    scene.look()
    assert scene.phone.subjects[told:] == ["[warning] Alert AUTH"]
    assert not Message.objects.filter(kind="control").exists(), "they are not even read"


def test_what_is_read_a_day_late_is_history_unless_it_still_stands():
    """ORC-78, F-098"""
    scene = Scene()
    old = alert(severity="critical")
    control_set(scope="global", state=TradingState.HALTED, actor="ada", reason="stop")
    scene.look(hours=30)
    assert scene.phone.subjects == ["[CRITICAL] Alert VENUE_UNAVAILABLE"]
    assert Message.objects.get(kind="control").why == "it happened 30 hours before it was read"
    assert old.resolved_at is None


def test_an_alert_that_turns_critical_days_after_it_opened_is_told():
    """ORC-78"""
    scene = Scene()
    alert()
    scene.look()
    scene.look(days=3)
    Alert.objects.update(severity="critical")
    scene.look()
    assert scene.phone.subjects[-1] == "[CRITICAL] Alert VENUE_UNAVAILABLE"


def test_a_critical_alert_that_opens_again_at_once_is_told_again():
    """ORC-78: its end was told, silence would mean that it is over."""
    scene = Scene()
    for _ in range(2):
        alert(severity="critical")
        scene.look()
        alert_resolve(dedupe_key="venue")
        scene.look()
    assert scene.phone.subjects.count("[CRITICAL] Alert VENUE_UNAVAILABLE") == 2
