"""Locks on entries, set and lifted with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.lists import ListOperation
from accounts.operations import IDEMPOTENCY_HEADER, WRITE_PROBLEMS, Operation
from accounts.paging import ListFilters
from trades.apis.evolution import ReasonInput
from trades.locks import lock_lift, lock_set
from trades.selectors.requests import lock_get, lock_list, venue_now


class LockRow(serializers.Serializer):
    id = serializers.IntegerField()
    symbol = serializers.CharField()
    strategy = serializers.CharField(help_text="empty: every strategy")
    reason = serializers.CharField()
    actor = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True, help_text="in venue time")
    lifted_at = serializers.DateTimeField(allow_null=True)
    lifted_by = serializers.CharField()


class LockFilters(ListFilters):
    symbol = serializers.CharField(required=False, max_length=40)
    standing = serializers.BooleanField(
        required=False, default=True, help_text="only those that keep entries out now"
    )


class LockInput(ReasonInput):
    symbol = serializers.CharField(max_length=40)
    strategy = serializers.CharField(max_length=40, required=False, default="")
    expires_at = serializers.DateTimeField(required=False, default=None, allow_null=True)


class LockListApi(ListOperation):
    operation_id = "lock_list"
    filters = LockFilters
    row = LockRow
    time_field = "created_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return lock_list(symbol=filters.get("symbol"), standing=filters["standing"])

    @extend_schema(
        operation_id="lock_set",
        parameters=[IDEMPOTENCY_HEADER],
        request=LockInput,
        responses={201: LockRow} | WRITE_PROBLEMS,
    )
    def post(self, request: Request) -> Response:
        given = self.checked(LockInput)
        return Response(
            LockRow(lock_set(**given, actor=self.actor, now=venue_now())).data, status=201
        )


class LockLiftApi(Operation):
    @extend_schema(
        operation_id="lock_lift",
        parameters=[IDEMPOTENCY_HEADER],
        request=ReasonInput,
        responses={200: LockRow} | WRITE_PROBLEMS,
    )
    def post(self, request: Request, lock_id: int) -> Response:
        given = self.checked(ReasonInput)
        lock = lock_get(lock_id)
        if lock is None:
            raise Http404("no such lock")
        lock_lift(lock=lock, actor=self.actor, reason=given["reason"])
        lock.refresh_from_db()
        return Response(LockRow(lock).data)
