"""Requests, transfers and locks on the admin pages: taken back and lifted only with a reason."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from accounts.admin_tools import (
    ReadOnlyAdmin,
    asked_with_reason,
    link_to,
    links_to,
    pretty_json,
)
from trades import models
from trades.locks import lock_lift
from trades.requests import request_withdraw


@admin.register(models.OperatorRequest)
class OperatorRequestAdmin(ReadOnlyAdmin):
    list_display = ("id", "created_at", "actor", "kind", "strategy", "symbol", "status", "outcome")
    list_filter = ("status", "kind", "run")
    search_fields = ("actor", "reason", "outcome", "idempotency_key")
    list_select_related = ("run",)
    exclude = ("payload",)
    readonly_fields = ("asked", "orders_sent")
    actions = ("withdraw_selected",)

    @admin.display(description="what was asked")
    def asked(self, row: models.OperatorRequest) -> Any:
        return pretty_json(row.payload)

    @admin.display(description="orders")
    def orders_sent(self, row: models.OperatorRequest) -> Any:
        return links_to(row.orders.all())

    @admin.action(description="Withdraw: those that still wait")
    def withdraw_selected(
        self, request: HttpRequest, queryset: QuerySet[models.OperatorRequest]
    ) -> HttpResponse:
        return asked_with_reason(
            self,
            request,
            queryset,
            verb="withdraw",
            effect="The trading worker will not carry them out.",
            act=lambda row, actor, reason: request_withdraw(row=row, actor=actor, reason=reason),
            named=lambda row: f"{row}: {row.reason}",
        )


@admin.register(models.EntryLock)
class EntryLockAdmin(ReadOnlyAdmin):
    list_display = ("symbol", "strategy", "reason", "actor", "created_at", "expires_at")
    list_filter = ("symbol", ("lifted_at", admin.EmptyFieldListFilter))
    search_fields = ("symbol", "strategy", "reason", "actor")
    actions = ("lift_selected",)

    @admin.action(description="Lift: entries are allowed again")
    def lift_selected(
        self, request: HttpRequest, queryset: QuerySet[models.EntryLock]
    ) -> HttpResponse:
        return asked_with_reason(
            self,
            request,
            queryset.filter(lifted_at__isnull=True),
            verb="lift",
            effect="Entries are allowed again from the next market event.",
            act=_lifted,
            named=lambda lock: f"{lock}: {lock.reason}",
            loosens=True,
        )


def _lifted(lock: models.EntryLock, actor: str, reason: str) -> None:
    lock_lift(lock=lock, actor=actor, reason=reason)


@admin.register(models.VenueTransfer)
class VenueTransferAdmin(ReadOnlyAdmin):
    list_display = ("transferred_at", "is_deposit", "asset", "amount", "fee", "venue_id", "outcome")
    list_filter = ("is_deposit", "asset", "run")
    search_fields = ("venue_id",)
    exclude = ("request",)
    readonly_fields = ("booked_by",)

    @admin.display(description="request")
    def booked_by(self, row: models.VenueTransfer) -> Any:
        return link_to(row.request)


@admin.register(models.LedgerAdjustment)
class LedgerAdjustmentAdmin(ReadOnlyAdmin):
    list_display = ("at", "asset", "amount", "price_quote", "value_quote", "equity_before_quote")
    list_filter = ("asset", "run")
    exclude = ("request",)
    readonly_fields = ("asked_by",)

    @admin.display(description="request")
    def asked_by(self, row: models.LedgerAdjustment) -> Any:
        return link_to(row.request)
