"""Reads of this room."""

from __future__ import annotations

from django.db.models import QuerySet

from strategies.models import HealthChange, Status, Strategy, WeightUpdate


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


def status_without_layer(code: str, layer_actor: str = "optimization") -> Status:
    """Return where a strategy would stand had the optimization layer never moved it: the status
    that anybody else set last, ACTIVE where nobody did.

    A layer's edge that somebody else's followed is left out too: what counts is the last word that
    was not the layer's.
    """
    edges = HealthChange.objects.filter(strategy__code=code).exclude(actor=layer_actor)
    last = edges.order_by("-at", "-id").values_list("to_status", flat=True).first()
    return Status(last) if last else Status.ACTIVE
