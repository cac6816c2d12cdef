"""Models, trainings and the steps of their lives on the admin pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html

from accounts.admin_tools import ReadOnlyAdmin, link_to, pretty_json
from strategies.models import CreditedTrade, PredictorEvent, PredictorModel, SettledBar, TrainingJob


@admin.register(PredictorModel)
class PredictorModelAdmin(ReadOnlyAdmin):
    list_display = ("code", "scope", "stage", "version", "stage_changed_at", "created_at")
    list_filter = ("code", "stage", "scope")
    search_fields = ("digest",)
    fields = (
        ("code", "scope"),
        ("stage", "stage_changed_at"),
        ("digest", "created_at"),
        "lineage_json",
        "metrics_json",
        "pages",
    )
    readonly_fields = ("lineage_json", "metrics_json", "pages")

    @admin.display(description="on the pages")
    def pages(self, model: PredictorModel) -> Any:
        return format_html(
            '<a href="{}">steps of its life</a>, <a href="{}?code={}">train {} now</a>',
            reverse("model-page", args=[model.pk]),
            reverse("evolution"),
            model.code,
            model.code,
        )

    @admin.display(description="lineage")
    def lineage_json(self, model: PredictorModel) -> Any:
        return pretty_json(model.lineage)

    @admin.display(description="metrics")
    def metrics_json(self, model: PredictorModel) -> Any:
        return pretty_json(model.metrics)


@admin.register(TrainingJob)
class TrainingJobAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "code", "scope", "kind", "status", "progress_fraction", "reason")
    list_filter = ("status", "code", "kind")
    search_fields = ("reason", "error")
    fields = (
        ("code", "scope", "period_key"),
        ("kind", "value", "limit"),
        ("reason", "actor"),
        ("status", "progress_fraction", "attempts"),
        ("created_at", "started_at", "finished_at"),
        ("model_link", "until_at"),
        "error",
        "result_json",
    )
    readonly_fields = ("model_link", "result_json")

    @admin.display(description="model")
    def model_link(self, job: TrainingJob) -> Any:
        return "none" if job.model is None else link_to(job.model)

    @admin.display(description="result")
    def result_json(self, job: TrainingJob) -> Any:
        return pretty_json(job.result)


@admin.register(PredictorEvent)
class PredictorEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "code", "scope", "from_stage", "to_stage", "actor", "reason")
    list_filter = ("to_stage", "code")
    search_fields = ("reason", "actor")
    fields = (
        ("at", "code", "scope"),
        ("from_stage", "to_stage"),
        "model_link",
        "reason",
        "actor",
        "evidence_json",
    )
    readonly_fields = ("model_link", "evidence_json")

    @admin.display(description="model")
    def model_link(self, event: PredictorEvent) -> Any:
        return link_to(event.model)

    @admin.display(description="evidence")
    def evidence_json(self, event: PredictorEvent) -> Any:
        return pretty_json(event.evidence)


@admin.register(SettledBar)
class SettledBarAdmin(ReadOnlyAdmin):
    list_display = ("settled_at", "symbol", "regime", "outcome_up", "opinion_at")
    list_filter = ("regime", "symbol")
    ordering = ("-id",)


@admin.register(CreditedTrade)
class CreditedTradeAdmin(ReadOnlyAdmin):
    list_display = ("closed_at", "strategy", "symbol", "regime", "side", "pnl_quote")
    list_filter = ("strategy", "regime")
    ordering = ("-id",)
