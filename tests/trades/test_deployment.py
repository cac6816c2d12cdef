"""A live run begins small where nothing was proven on paper before it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from engine.risk import RiskLimits
from tests.trades.order_factory import make_run
from trades import models
from trades.alerts import Alert
from trades.core.operating_limits import OperatingLimits
from trades.deployment import limits_of_deployment

pytestmark = pytest.mark.django_db
FULL = RiskLimits(max_order_quote=Decimal(1_000))


def judged(
    run: models.TradingRun, after: timedelta = timedelta(0)
) -> tuple[RiskLimits, list[Alert]]:
    alerts: list[Alert] = []
    now = run.started_at + after
    return limits_of_deployment(run, FULL, OperatingLimits(), alerts.append, now), alerts


def paper(days: float, **fields: Any) -> models.TradingRun:
    """A run on paper that traded for so many days of venue time, before any made later."""
    run = make_run(**{"mode": "paper", "started_at": timezone.now() - timedelta(days=99), **fields})
    for at in (0.0, days):
        models.EquityPoint.objects.create(
            run=run,
            at=run.started_at + timedelta(days=at),
            equity_quote=Decimal(1),
            cash_quote=Decimal(1),
            exposure_quote=Decimal(0),
            peak_equity_quote=Decimal(1),
            drawdown_fraction=0.0,
            day_pnl_quote=Decimal(0),
        )
    return run


def test_a_live_run_without_a_past_has_a_tenth_of_its_caps_for_a_week() -> None:
    """CTL-19: and says so; risk and counts stay, only what may be held is less."""
    run = make_run(mode="live")
    limits, alerts = judged(run)
    assert limits.max_position_size == Decimal("0.010")
    assert limits.max_strategy_exposure == Decimal("0.020")
    assert limits.max_gross_exposure == Decimal("0.060")
    assert limits.max_order_quote == Decimal("100.0")
    assert limits.max_day_loss == FULL.max_day_loss
    assert [alert.code for alert in alerts] == ["CONTROLLED_DEPLOYMENT"]
    assert "0.0 days and 0 trades" in alerts[0].text
    assert alerts[0].brake is None, "soft: it warns and scales, it stops nothing"
    assert judged(run, timedelta(days=7)) == (FULL, [])


@pytest.mark.parametrize(("days", "is_full"), [(13.9, False), (14.0, True)])
def test_a_fortnight_on_paper_lifts_it(days: float, is_full: bool) -> None:
    """CTL-19"""
    paper(days / 2)
    paper(days / 2)
    limits, alerts = judged(make_run(mode="live"))
    assert ((limits == FULL), (alerts == [])) == (is_full, is_full)


def test_other_runs_prove_nothing() -> None:
    """CTL-19: a replay has no fills to be proven by, a later run was not there yet."""
    paper(30, mode="replay")
    paper(30, started_at=timezone.now() + timedelta(days=1))
    assert judged(make_run(mode="live"))[0] != FULL


def test_runs_on_paper_are_never_scaled() -> None:
    """CTL-19"""
    for mode in ("paper", "practice", "replay"):
        assert judged(make_run(mode=mode)) == (FULL, [])
