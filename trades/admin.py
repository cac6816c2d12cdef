"""Runs, decisions, orders, fills and trades on the admin pages: linked, searchable, read-only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join

from accounts.admin_tools import (
    NOTHING,
    ReadOnlyAdmin,
    link_to,
    link_to_list,
    links_to,
    pretty_json,
)
from trades import models
from trades import request_admin as request_admin
from trades.stored import analysis_document, decision_document


def _order_link(client_order_id: str) -> Any:
    if not client_order_id:
        return NOTHING
    return link_to_list(models.Order, client_order_id, q=client_order_id)


@admin.register(models.TradingRun)
class TradingRunAdmin(ReadOnlyAdmin):
    list_display = ("code", "mode", "venue", "account", "started_at", "ended_at", "last_event_at")
    list_filter = ("mode", "venue")
    search_fields = ("code", "config_digest", "code_version")
    exclude = ("config",)
    readonly_fields = ("config_json", "contents")

    @admin.display(description="configuration")
    def config_json(self, run: models.TradingRun) -> Any:
        return pretty_json(run.config)

    @admin.display(description="contents")
    def contents(self, run: models.TradingRun) -> Any:
        kinds = (models.Decision, models.Order, models.Fill, models.Trade, models.EquityPoint)
        found = [
            link_to_list(kind, str(kind._meta.verbose_name_plural), run__id__exact=run.pk)
            for kind in kinds
        ]
        return format_html_join(" · ", "{}", ((link,) for link in found))


@admin.register(models.Analysis)
class AnalysisAdmin(ReadOnlyAdmin):
    list_display = ("bar_close_at", "symbol", "price", "regime", "probability_up", "run")
    list_filter = ("symbol", "regime", "run")
    list_select_related = ("run",)
    ordering = ("-id",)
    exclude = ("payload",)
    readonly_fields = ("decisions_made", "phases")

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Analysis]:
        return super().get_queryset(request).defer("payload")

    @admin.display(description="decisions")
    def decisions_made(self, analysis: models.Analysis) -> Any:
        return links_to(analysis.decisions.defer("payload"))

    @admin.display(description="phases 1-6, 9, 10")
    def phases(self, analysis: models.Analysis) -> Any:
        return pretty_json(analysis_document(analysis))


@admin.register(models.Decision)
class DecisionAdmin(ReadOnlyAdmin):
    list_display = (
        "bar_close_at",
        "strategy",
        "symbol",
        "action",
        "confidence",
        "quantity_base",
        "blocking_phase",
        "reason_code",
        "reason",
    )
    list_filter = ("action", "strategy", "symbol", "blocking_phase", "reason_code", "run")
    search_fields = ("code", "reason", "reason_code")
    ordering = ("-id",)
    exclude = ("payload", "analysis")
    readonly_fields = ("analysis_link", "orders_sent", "phases")

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Decision]:
        return super().get_queryset(request).defer("payload")

    @admin.display(description="analysis")
    def analysis_link(self, decision: models.Decision) -> Any:
        return link_to(decision.analysis)

    @admin.display(description="orders")
    def orders_sent(self, decision: models.Decision) -> Any:
        return links_to(decision.orders.all())

    @admin.display(description="phases 7 and 8, sizing, proposal")
    def phases(self, decision: models.Decision) -> Any:
        return pretty_json(decision_document(decision))


@admin.register(models.Order)
class OrderAdmin(ReadOnlyAdmin):
    list_display = (
        "decided_at",
        "client_order_id",
        "strategy",
        "symbol",
        "side",
        "purpose",
        "quantity_base",
        "filled_base",
        "status",
        "refusal_code",
    )
    list_filter = ("status", "side", "purpose", "strategy", "symbol", "run")
    search_fields = ("client_order_id", "venue_order_id", "refusal_text")
    ordering = ("-id",)
    exclude = ("decision",)
    readonly_fields = ("decision_link", "edges", "fills_booked", "trades_made")

    @admin.display(description="decision")
    def decision_link(self, order: models.Order) -> Any:
        return link_to(order.decision)

    @admin.display(description="states")
    def edges(self, order: models.Order) -> Any:
        return pretty_json(
            [
                f"{e.at:%Y-%m-%d %H:%M:%S} {e.from_status} → {e.to_status}"
                for e in order.events.all()
            ]
        )

    @admin.display(description="fills")
    def fills_booked(self, order: models.Order) -> Any:
        return links_to(order.fills.all())

    @admin.display(description="trades")
    def trades_made(self, order: models.Order) -> Any:
        return link_to_list(models.Trade, "trades of this order", q=order.client_order_id)


@admin.register(models.Fill)
class FillAdmin(ReadOnlyAdmin):
    list_display = (
        "executed_at",
        "trade_id",
        "strategy",
        "symbol",
        "side",
        "price",
        "quantity_base",
        "fee",
        "fee_asset",
    )
    list_filter = ("strategy", "symbol", "side", "run")
    search_fields = ("trade_id", "order__client_order_id")
    ordering = ("-id",)
    exclude = ("order",)
    readonly_fields = ("order_link",)

    @admin.display(description="order")
    def order_link(self, fill: models.Fill) -> Any:
        return link_to(fill.order)


@admin.register(models.Trade)
class TradeAdmin(ReadOnlyAdmin):
    list_display = (
        "closed_at",
        "strategy",
        "symbol",
        "side",
        "quantity_base",
        "entry_price",
        "exit_price",
        "pnl_quote",
        "r_multiple",
        "exit_reason",
    )
    list_filter = ("strategy", "symbol", "entry_regime", "exit_reason", "run")
    search_fields = ("trade_id", "entry_order_id", "exit_order_id")
    ordering = ("-id",)
    exclude = ("entry_order_id", "exit_order_id")
    readonly_fields = ("entry_order", "exit_order")

    @admin.display(description="entry order")
    def entry_order(self, trade: models.Trade) -> Any:
        return _order_link(trade.entry_order_id)

    @admin.display(description="exit order")
    def exit_order(self, trade: models.Trade) -> Any:
        return _order_link(trade.exit_order_id)


@admin.register(models.Lot)
class LotAdmin(ReadOnlyAdmin):
    list_display = ("opened_at", "strategy", "symbol", "side", "quantity_base", "entry_price")
    list_filter = ("is_open", "strategy", "symbol", "run")
    search_fields = ("lot_id", "entry_order_id")
    exclude = ("entry_order_id",)
    readonly_fields = ("entry_order",)

    @admin.display(description="entry order")
    def entry_order(self, lot: models.Lot) -> Any:
        return _order_link(lot.entry_order_id)


@admin.register(models.EquityPoint)
class EquityPointAdmin(ReadOnlyAdmin):
    list_display = ("at", "equity_quote", "cash_quote", "exposure_quote", "drawdown_fraction")
    list_filter = ("run",)
    ordering = ("-id",)


@admin.register(models.ControlState)
class ControlStateAdmin(ReadOnlyAdmin):
    """Changed on the overview page and by the API, which ask for a reason."""

    list_display = ("scope", "state", "reason", "actor", "changed_at", "releases_at")
    list_filter = ("state",)


@admin.register(models.ControlEvent)
class ControlEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "scope", "from_state", "to_state", "reason_code", "actor", "reason")
    list_filter = ("to_state", "reason_code")
    search_fields = ("reason", "actor", "scope")


@admin.register(models.RejectedEvent)
class RejectedEventAdmin(ReadOnlyAdmin):
    list_display = ("event_at", "symbol", "reason", "run")
    list_filter = ("symbol", "run")
    search_fields = ("reason",)
    list_select_related = ("run",)
    ordering = ("-id",)


@admin.register(models.ExternalFill)
class ExternalFillAdmin(ReadOnlyAdmin):
    list_display = ("executed_at", "trade_id", "symbol", "side", "price", "quantity_base")
    list_filter = ("symbol", "run")
    search_fields = ("trade_id", "client_order_id")
    ordering = ("-id",)


@admin.register(models.EvolutionEvent)
class EvolutionEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "source", "kind", "text", "value", "limit")
    list_filter = ("kind", "source", "run")
    ordering = ("-id",)
