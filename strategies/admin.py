"""Strategies on the admin pages: their status changes here only with a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action

from accounts.admin_tools import (
    ReadOnlyAdmin,
    asked_with_reason,
    link_to,
    link_to_list,
    pretty_json,
)
from strategies import predictor_admin as predictor_admin
from strategies import services
from strategies.models import HealthChange, Strategy, WeightUpdate

ACTS: dict[str, Callable[..., HealthChange]] = {
    "suspend": services.strategy_suspend,
    "unsuspend": services.strategy_unsuspend,
    "activate": services.strategy_activate,
    "retire": services.strategy_retire,
    "reinstate": services.strategy_reinstate,
}


LOOSENING = frozenset({"unsuspend", "activate", "reinstate"})


@admin.register(Strategy)
class StrategyAdmin(ReadOnlyAdmin):
    list_display = ("code", "name", "status", "weight", "base_weight", "status_changed_at")
    list_filter = ("status",)
    search_fields = ("code", "name", "description")
    fields = (
        ("code", "name"),
        "description",
        ("status", "status_changed_at", "override_until_at"),
        "status_reason",
        ("weight", "base_weight"),
        "parameters_json",
        "history",
    )
    readonly_fields = ("parameters_json", "history")
    # what ends trading for good stands last, away from a quick hand
    actions = (
        "activate_selected",
        "unsuspend_selected",
        "reinstate_selected",
        "suspend_selected",
        "retire_selected",
    )
    actions_row = ("activate", "unsuspend", "reinstate", "suspend", "retire")
    actions_detail = ("activate", "unsuspend", "reinstate", "suspend", "retire")

    @admin.display(description="parameters")
    def parameters_json(self, strategy: Strategy) -> Any:
        return pretty_json(strategy.parameters)

    @admin.display(description="history")
    def history(self, strategy: Strategy) -> Any:
        return link_to_list(HealthChange, "changes of status", strategy__id__exact=strategy.pk)

    @admin.action(description="Suspend: no entries, exits go on")
    def suspend_selected(self, request: HttpRequest, queryset: QuerySet[Strategy]) -> Any:
        return self._ask("suspend", request, queryset)

    @admin.action(description="Unsuspend: trade again, degraded")
    def unsuspend_selected(self, request: HttpRequest, queryset: QuerySet[Strategy]) -> Any:
        return self._ask("unsuspend", request, queryset)

    @admin.action(description="Activate a degraded one: full standing again")
    def activate_selected(self, request: HttpRequest, queryset: QuerySet[Strategy]) -> Any:
        return self._ask("activate", request, queryset)

    @admin.action(description="Retire: end for good")
    def retire_selected(self, request: HttpRequest, queryset: QuerySet[Strategy]) -> Any:
        return self._ask("retire", request, queryset)

    @admin.action(description="Reinstate a retired one, degraded")
    def reinstate_selected(self, request: HttpRequest, queryset: QuerySet[Strategy]) -> Any:
        return self._ask("reinstate", request, queryset)

    @action(description="Suspend", url_path="suspend")
    def suspend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask_for_one("suspend", request, object_id)

    @action(description="Unsuspend", url_path="unsuspend")
    def unsuspend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask_for_one("unsuspend", request, object_id)

    @action(description="Activate", url_path="activate")
    def activate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask_for_one("activate", request, object_id)

    @action(description="Retire", url_path="retire")
    def retire(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask_for_one("retire", request, object_id)

    @action(description="Reinstate", url_path="reinstate")
    def reinstate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask_for_one("reinstate", request, object_id)

    def _ask_for_one(self, verb: str, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask(verb, request, Strategy.objects.filter(pk=object_id))

    def _ask(self, verb: str, request: HttpRequest, queryset: QuerySet[Strategy]) -> HttpResponse:
        return asked_with_reason(
            self,
            request,
            queryset,
            verb=verb,
            effect="It takes effect on the next market event.",
            act=lambda strategy, actor, reason: ACTS[verb](
                code=strategy.code, actor=actor, reason=reason
            ),
            named=lambda strategy: f"{strategy.name} ({strategy.code}), {strategy.status}",
            loosens=verb in LOOSENING,
        )


@admin.register(HealthChange)
class HealthChangeAdmin(ReadOnlyAdmin):
    list_display = ("at", "strategy", "from_status", "to_status", "actor", "reason")
    list_filter = ("to_status", "strategy")
    search_fields = ("reason", "actor")
    list_select_related = ("strategy",)
    fields = (("at", "strategy_link"), ("from_status", "to_status"), "reason", "actor", "evidence")
    readonly_fields = ("strategy_link", "evidence")

    @admin.display(description="strategy")
    def strategy_link(self, change: HealthChange) -> Any:
        return link_to(change.strategy)

    @admin.display(description="evidence")
    def evidence(self, change: HealthChange) -> Any:
        return pretty_json(change.metrics)


@admin.register(WeightUpdate)
class WeightUpdateAdmin(ReadOnlyAdmin):
    list_display = ("at", "strategy", "regime", "old_weight", "new_weight", "actor", "reason")
    list_filter = ("strategy", "regime")
    search_fields = ("reason", "period_key")
    list_select_related = ("strategy",)
