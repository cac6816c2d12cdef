"""The invariants on a timer: what a breach does in production."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.conf import settings

from engine.ports import TradingState
from monitoring.models import Alert, Heartbeat, Severity
from tests.trades.order_factory import make_intent, make_run, write_intent
from tradeplatform.configuration import Monitoring
from tradeplatform.invariants import EVERY_S, invariants_run
from tradeplatform.tasks import check_invariants
from trades import models
from trades.invariants import Breach, Report
from trades.services import control_set

pytestmark = pytest.mark.django_db


def no_pause(_: float) -> None:
    return None


def looks(*findings: list[Breach]) -> Callable[[], Report]:
    """Return a check that finds these, look after look."""
    left = list(findings)
    return lambda: Report(checked=["I-4", "I-5"], breaches=left.pop(0))


def state() -> str:
    row = models.ControlState.objects.filter(scope="global").first()
    return row.state if row else "ACTIVE"


def open_alerts() -> list[tuple[str, str]]:
    rows = Alert.objects.filter(resolved_at__isnull=True).order_by("dedupe_key")
    return list(rows.values_list("dedupe_key", "severity"))


LOT = Breach("I-5", "ema-trend holds 3 BTC/USDT, its fills say 2")
AVERAGE = Breach("I-4", "order a average was 1, fills say 2")


def test_a_real_breach_is_a_critical_alert_and_reducing() -> None:
    """I-1, I-23: planted in the rows, found by the checks themselves, nothing between."""
    order = write_intent(make_run(), make_intent())
    models.Order.objects.filter(pk=order.pk).update(client_order_id="has space")
    assert invariants_run(pause=no_pause)["breaches"] == 1
    (alert,) = Alert.objects.filter(resolved_at__isnull=True)
    assert (alert.code, alert.severity) == ("INVARIANT", Severity.CRITICAL)
    assert "I-1 does not hold" in alert.text and "has space" in alert.text
    assert state() == "REDUCING"


def test_what_only_one_look_saw_was_half_an_event() -> None:
    """I-4: rows are read while the loop writes."""
    waited: list[float] = []
    invariants_run(check=looks([LOT, AVERAGE], [AVERAGE]), pause=waited.append)
    assert open_alerts() == [("invariant:I-4", "critical")]
    assert waited == [5.0]
    invariants_run(check=looks([LOT], []), pause=no_pause)
    assert open_alerts() == []


def test_a_breach_that_stands_stops_an_operator_once_and_a_new_one_again() -> None:
    """I-9: the brake stays a person's to release."""
    for expected in ("REDUCING", "ACTIVE"):
        invariants_run(check=looks([LOT], [LOT]), pause=no_pause)
        assert state() == expected
        control_set(scope="global", state=TradingState.ACTIVE, actor="anna", reason="looked")
    other = Breach("I-5", "ema-trend holds 9 BTC/USDT, its fills say 2")
    invariants_run(check=looks([LOT, other], [LOT, other]), pause=no_pause)
    assert state() == "REDUCING"


def test_a_halt_is_never_softened_by_a_breach() -> None:
    """I-9."""
    control_set(scope="global", state=TradingState.HALTED, actor="anna", reason="stop")
    invariants_run(check=looks([LOT], [LOT]), pause=no_pause)
    assert state() == "HALTED"


def test_a_check_that_could_not_be_made_leaves_no_heartbeat() -> None:
    """I-25, F-025: the watchdog tells of the silence; a failed check never reads as a good one."""

    def damaged() -> Report:
        raise RuntimeError("database disk image is malformed")

    with pytest.raises(RuntimeError):
        invariants_run(check=damaged, pause=no_pause)
    assert not Heartbeat.objects.filter(component="invariants").exists()
    assert invariants_run(pause=no_pause)["breaches"] == 0
    assert Heartbeat.objects.get(component="invariants").expected_every_s == EVERY_S


def test_beat_asks_for_the_check_on_a_queue_that_trading_does_not_wait_for() -> None:
    """I-25"""
    entry = settings.CELERY_BEAT_SCHEDULE["check the invariants"]
    assert entry["schedule"] == EVERY_S
    assert entry["options"]["queue"] == "io"
    assert entry["task"] == check_invariants.name
    assert check_invariants.soft_time_limit < Monitoring().restart_silent_after_seconds
