"""Strategies, their weights and health over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.lists import ListOperation
from accounts.models import Scope
from accounts.operations import (
    IDEMPOTENCY_HEADER,
    READ_PROBLEMS,
    WRITE_PROBLEMS,
    Operation,
)
from accounts.paging import AllowedChoiceField, ListFilters
from engine.types.opinions import REGIMES
from strategies import services
from strategies.models import HealthChange, Status
from strategies.selectors import (
    health_change_list,
    strategy_get,
    strategy_list,
    weight_update_list,
)


class StrategyRow(serializers.Serializer):
    code = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    status = serializers.ChoiceField(choices=Status.choices)
    status_changed_at = serializers.DateTimeField()
    status_reason = serializers.CharField()
    override_until_at = serializers.DateTimeField(allow_null=True)
    base_weight = serializers.FloatField()
    weight = serializers.FloatField()
    parameters = serializers.JSONField()


class StrategyListOutput(serializers.Serializer):
    results = StrategyRow(many=True)


class StrategyListApi(Operation):
    @extend_schema(
        operation_id="strategy_list", responses={200: StrategyListOutput} | READ_PROBLEMS
    )
    def get(self, request: Request) -> Response:
        return Response(StrategyListOutput({"results": strategy_list()}).data)


class StrategyDetailApi(Operation):
    @extend_schema(operation_id="strategy_detail", responses={200: StrategyRow} | READ_PROBLEMS)
    def get(self, request: Request, code: str) -> Response:
        strategy = strategy_get(code)
        if strategy is None:
            raise Http404
        return Response(StrategyRow(strategy).data)


class StatusReasonInput(serializers.Serializer):
    reason = serializers.CharField(max_length=500)


class StatusOverrideInput(StatusReasonInput):
    override_until = serializers.DateTimeField(
        required=False, help_text="venue time up to which this holds against the evidence"
    )


class _StatusApi(Operation):
    """One edge of the status table; the body gives the reason."""

    act: Callable[..., HealthChange]
    body: type[serializers.Serializer] = StatusReasonInput

    def move(self, code: str) -> Response:
        given: dict[str, Any] = self.checked(self.body)
        self.act(code=code, actor=self.actor, **given)
        return Response(StrategyRow(strategy_get(code)).data)


def _documented(operation_id: str, body: type[serializers.Serializer]) -> Any:
    return extend_schema(
        operation_id=operation_id,
        parameters=[IDEMPOTENCY_HEADER],
        request=body,
        responses={200: StrategyRow} | WRITE_PROBLEMS,
    )


class StrategySuspendApi(_StatusApi):
    act = staticmethod(services.strategy_suspend)

    @_documented("strategy_suspend", StatusReasonInput)
    def post(self, request: Request, code: str) -> Response:
        return self.move(code)


class StrategyUnsuspendApi(_StatusApi):
    needs_confirmation = True
    act = staticmethod(services.strategy_unsuspend)
    body = StatusOverrideInput

    @_documented("strategy_unsuspend", StatusOverrideInput)
    def post(self, request: Request, code: str) -> Response:
        return self.move(code)


class StrategyActivateApi(_StatusApi):
    """Only an administrator calls a degraded strategy sound before the evidence does."""

    required_scope = Scope.ADMIN
    needs_confirmation = True
    act = staticmethod(services.strategy_activate)
    body = StatusOverrideInput

    @_documented("strategy_activate", StatusOverrideInput)
    def post(self, request: Request, code: str) -> Response:
        return self.move(code)


class StrategyRetireApi(_StatusApi):
    act = staticmethod(services.strategy_retire)

    @_documented("strategy_retire", StatusReasonInput)
    def post(self, request: Request, code: str) -> Response:
        return self.move(code)


class StrategyReinstateApi(_StatusApi):
    """Only an administrator brings a retired strategy back (D-06)."""

    required_scope = Scope.ADMIN
    needs_confirmation = True
    act = staticmethod(services.strategy_reinstate)
    body = StatusOverrideInput

    @_documented("strategy_reinstate", StatusOverrideInput)
    def post(self, request: Request, code: str) -> Response:
        return self.move(code)


class HealthChangeFilters(ListFilters):
    strategy = serializers.CharField(required=False, max_length=40)
    to_status = AllowedChoiceField(required=False, choices=Status.choices)


class HealthChangeRow(serializers.Serializer):
    strategy = serializers.CharField(source="strategy.code")
    at = serializers.DateTimeField()
    from_status = serializers.CharField()
    to_status = serializers.CharField()
    reason = serializers.CharField()
    actor = serializers.CharField()
    metrics = serializers.JSONField()


class HealthChangeListApi(ListOperation):
    operation_id = "health_change_list"
    filters = HealthChangeFilters
    row = HealthChangeRow
    time_field = "at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return health_change_list(
            strategy=filters.get("strategy"), to_status=filters.get("to_status")
        )


class WeightFilters(ListFilters):
    strategy = serializers.CharField(required=False, max_length=40)
    regime = AllowedChoiceField(required=False, choices=[(r.value, r.value) for r in REGIMES])


class WeightUpdateRow(serializers.Serializer):
    strategy = serializers.CharField(source="strategy.code")
    at = serializers.DateTimeField()
    regime = serializers.CharField()
    old_weight = serializers.FloatField()
    new_weight = serializers.FloatField()
    reason = serializers.CharField()
    actor = serializers.CharField()
    evidence = serializers.JSONField()


class WeightListApi(ListOperation):
    operation_id = "weight_list"
    filters = WeightFilters
    row = WeightUpdateRow
    time_field = "at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return weight_update_list(strategy=filters.get("strategy"), regime=filters.get("regime"))
