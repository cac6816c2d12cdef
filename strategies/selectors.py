"""Reads of this room."""

from __future__ import annotations

from django.db.models import QuerySet

from strategies.models import HealthChange, Strategy, WeightUpdate


def strategy_list() -> QuerySet[Strategy]:
    return Strategy.objects.order_by("code")


def health_change_list(
    *, strategy: str | None = None, to_status: str | None = None
) -> QuerySet[HealthChange]:
    rows = HealthChange.objects.select_related("strategy")
    if strategy:
        rows = rows.filter(strategy__code=strategy)
    return rows.filter(to_status=to_status) if to_status else rows


def weight_update_list(
    *, strategy: str | None = None, regime: str | None = None
) -> QuerySet[WeightUpdate]:
    rows = WeightUpdate.objects.select_related("strategy")
    if strategy:
        rows = rows.filter(strategy__code=strategy)
    return rows.filter(regime=regime) if regime else rows


def strategy_get(code: str) -> Strategy | None:
    return Strategy.objects.filter(code=code).first()
