"""The kill switch in the database: latched, ordered by severity, audited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from accounts.models import AuditEvent
from engine.ports import TradingState
from tests.trades.rows import make_run, make_strategy
from trades.errors import ControlRefused
from trades.models import ControlEvent, ControlState
from trades.services import control_release_due, control_set

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def test_each_change_raises_the_epoch_and_leaves_an_audit_row() -> None:
    """I-9, SEC-33: who, what, why, before and after."""
    control_set(scope="global", state="HALTED", actor="anna", reason="fire drill")
    row = control_set(scope="global", state="ACTIVE", actor="anna", reason="drill over")
    assert row.epoch == 2
    assert ControlEvent.objects.count() == 2
    last = AuditEvent.objects.order_by("seq").last()
    assert last is not None
    assert (last.action, last.actor, last.reason) == ("control.set", "anna", "drill over")
    assert last.before == {"state": "HALTED"}


def test_a_breaker_raises_severity_and_never_lowers_it() -> None:
    """OPT-72: a day-loss breaker after a halt leaves the halt."""
    control_set(scope="global", state="HALTED", actor="anna", reason="stop")
    control_set(
        scope="global", state="REDUCING", actor="breaker", reason="day loss", is_breaker=True
    )
    assert ControlState.objects.get().state == "HALTED"


def test_a_stop_ends_at_its_announced_time_and_others_stay() -> None:
    """D-27: the day-loss stop ends at the next UTC day, a streak waits for a person."""
    control_set(
        scope="global",
        state="REDUCING",
        actor="breaker",
        reason="day loss",
        reason_code="DAY_LOSS",
        releases_at=NOON + timedelta(hours=12),
        is_breaker=True,
    )
    make_strategy("breakout")
    run = make_run()
    control_set(
        scope="strategy:breakout",
        state="REDUCING",
        actor="breaker",
        reason="5 losses",
        is_breaker=True,
    )
    assert control_release_due(NOON, run) == 0
    assert control_release_due(NOON + timedelta(hours=12), run) == 1
    states = dict(ControlState.objects.values_list("scope", "state"))
    assert states == {"global": "ACTIVE", "strategy:breakout": "REDUCING"}


@pytest.mark.parametrize(
    ("scope", "state", "reason", "message"),
    [
        ("everything", "HALTED", "x", "scope was 'everything'"),
        ("strategy:", "HALTED", "x", "scope was 'strategy:'"),
        ("strategy:nope", "HALTED", "x", "scope was 'strategy:nope'"),
        ("symbol:BTCUSDT", "HALTED", "x", "scope was 'symbol:BTCUSDT'"),
        ("global", "PAUSED", "x", "state was 'PAUSED', allowed: ACTIVE, REDUCING, HALTED"),
        ("global", TradingState.HALTED, "  ", "reason was empty"),
    ],
)
def test_a_wrong_request_changes_nothing_and_says_what_is_allowed(
    scope: str, state: str, reason: str, message: str
) -> None:
    with pytest.raises(ControlRefused, match=message):
        control_set(scope=scope, state=state, actor="anna", reason=reason)
    assert not ControlState.objects.exists()
