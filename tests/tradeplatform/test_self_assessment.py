"""The quarterly look at every control."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import AuditEvent
from monitoring.models import Alert
from tests.trades.order_factory import make_intent, make_run, write_intent
from tradeplatform import self_assessment
from tradeplatform.configuration import Configuration
from trades.models import Order, TradingRun
from trades.services import control_set

pytestmark = pytest.mark.django_db
IDS = Path(__file__).resolve().parents[2] / "docs" / "contract-ids.txt"


def assessed(**options: Any) -> dict[str, Any]:
    out = io.StringIO()
    call_command("selfassessment", json=True, stdout=out, **options)
    found: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return found


def test_every_control_is_reported_with_what_it_is_set_to() -> None:
    """CTL-26: all 26, each setting with the value in force, none left out."""
    document = assessed()
    controls = {row["id"]: row for row in document["controls"]}
    wanted = [line for line in IDS.read_text().split() if line.startswith("CTL-")]
    assert list(controls) == wanted and len(wanted) == 26
    assert controls["CTL-9"]["settings"]["max_week_loss"] == 0.06
    assert controls["CTL-3"]["settings"]["max_slippage"] == 0.005
    named = {key for row in controls.values() for key in row["settings"]}
    risk = Configuration().risk
    sizes = {"risk_per_trade", "max_risk_per_trade"}
    assert named == {*risk.values(), *risk.order_path()} - sizes


def test_what_struck_is_counted_from_the_last_quarter() -> None:
    """CTL-26: orders denied and states pulled, by the control that did it."""
    run = make_run()
    for code, days in (("PRICE_COLLAR", 1), ("SLIPPAGE", 90), ("PRICE_COLLAR", 92)):
        write_intent(run, make_intent())
        newest = Order.objects.order_by("-pk")[:1].get()
        at = timezone.now() - timedelta(days=days)
        Order.objects.filter(pk=newest.pk).update(refusal_code=code, created_at=at)
    control_set(scope="global", state="HALTED", actor="a", reason="odd")
    struck = {row["id"]: row["struck"] for row in assessed()["controls"]}
    assert (struck["CTL-3"], struck["CTL-13"], struck["CTL-24"]) == (2, 1, 0)


def test_a_review_is_audited_with_the_report_and_needs_a_reason() -> None:
    """CTL-26, SEC-33"""
    with pytest.raises(CommandError, match="reason was empty"):
        assessed(review=" ")
    assert not AuditEvent.objects.filter(action=self_assessment.ACTION).exists()
    assessed(review="third quarter, limits fit")
    event = AuditEvent.objects.get(action=self_assessment.ACTION)
    assert (event.reason, event.actor[:8]) == ("third quarter, limits fit", "command:")
    assert len(event.after["controls"]) == 26
    assert assessed()["last_review"]["reason"] == "third quarter, limits fit"


@pytest.mark.parametrize(("days", "is_due"), [(100, False), (101, True)])
def test_after_a_hundred_days_without_a_review_a_banner_stays(days: int, is_due: bool) -> None:
    """CTL-26: counted from the first run where nobody ever looked; a review ends it."""
    now = timezone.now()
    assert self_assessment.banner(now) is False, "nothing runs, nothing is due"
    make_run()
    TradingRun.objects.update(started_at=now - timedelta(days=days))
    assert self_assessment.banner(now) is is_due
    assert Alert.objects.filter(code="SELF_ASSESSMENT", resolved_at=None).exists() is is_due
    assessed(review="looked")
    assert self_assessment.banner(timezone.now()) is False
    assert not Alert.objects.filter(code="SELF_ASSESSMENT", resolved_at=None).exists()
