"""A live run begins small where nothing was proven on paper before it (CTL-19)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.utils import timezone

from engine.risk import RiskLimits
from trades import models
from trades.alerts import Alarm, Alert
from trades.core.operating_limits import OperatingLimits

FIRST_WEEK = timedelta(days=7)
_SCALED = (
    "max_position_size",
    "max_strategy_exposure",
    "max_group_exposure",
    "max_gross_exposure",
)
_SIMULATED = (models.Mode.PAPER,)


def limits_of_deployment(
    run: models.TradingRun,
    limits: RiskLimits,
    operating: OperatingLimits,
    alarm: Alarm,
    now: datetime | None = None,
) -> RiskLimits:
    """Return the limits to trade with: scaled down in a live run's first week without a past.

    A past is ``paper_days`` of venue time in paper runs, or ``paper_trades`` trades
    closed there. It is looked at when a session is built, so the caps grow
    back at the first start after the week, never within a session.
    """
    now = now or timezone.now()
    if run.mode != models.Mode.LIVE or now - run.started_at >= FIRST_WEEK:
        return limits
    days, trades = _past(run)
    if days >= operating.paper_days or trades >= operating.paper_trades:
        return limits
    share = Decimal(repr(operating.first_week_share))
    until = run.started_at + FIRST_WEEK
    text = (
        f"{days:.1f} days and {trades} trades on paper before this live run, wanted were "
        f"{operating.paper_days} or {operating.paper_trades}: caps are {share} of theirs until "
        f"{until:%Y-%m-%d %H:%M} UTC"
    )
    alarm(Alert("CONTROLLED_DEPLOYMENT", str(run.pk), text))
    scaled = {name: getattr(limits, name) * share for name in _SCALED}
    ceiling = limits.max_order_quote
    return replace(limits, **scaled, max_order_quote=None if ceiling is None else ceiling * share)


def _past(run: models.TradingRun) -> tuple[float, int]:
    """Return the days that simulated runs traded before this one, and what they closed."""
    before = models.TradingRun.objects.filter(mode__in=_SIMULATED, started_at__lt=run.started_at)
    seconds = 0.0
    for past in before:
        points = models.EquityPoint.objects.filter(run=past).order_by("at")
        first, last = points.first(), points.last()
        if first is not None and last is not None:
            seconds += (last.at - first.at).total_seconds()
    return seconds / 86_400.0, models.Trade.objects.filter(run__in=before).count()
