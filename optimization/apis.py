"""The optimization layer over HTTP."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope, SettingsSource
from accounts.operations import IDEMPOTENCY_HEADER, READ_PROBLEMS, WRITE_PROBLEMS, Operation
from optimization.reports import layer_report
from optimization.selectors import get_optimization_status, settings_status
from optimization.switches import effective, optimization_settings_change


class HealthLists(serializers.Serializer):
    active = serializers.ListField(child=serializers.CharField())
    degraded = serializers.ListField(child=serializers.CharField())
    suspended = serializers.ListField(child=serializers.CharField())
    retired = serializers.ListField(child=serializers.CharField())


class Allocation(serializers.Serializer):
    raw_weights = serializers.DictField(child=serializers.FloatField())
    normalized_weights = serializers.DictField(child=serializers.FloatField())
    weights_in_use = serializers.DictField(child=serializers.FloatField())


class LayerSettingsOutput(serializers.Serializer):
    values = serializers.DictField()
    version = serializers.IntegerField()
    source = serializers.ChoiceField(choices=["default", *SettingsSource.values])
    actor = serializers.CharField()
    reason = serializers.CharField()
    since = serializers.DateTimeField(allow_null=True)
    effective_at = serializers.CharField()


class LayerUpdateStatus(serializers.Serializer):
    book = serializers.CharField(allow_null=True)
    interval_seconds = serializers.FloatField()
    last_at = serializers.DateTimeField(allow_null=True, help_text="venue time")
    last_status = serializers.CharField(allow_null=True)
    last_error = serializers.CharField()
    next_at = serializers.DateTimeField(allow_null=True, help_text="venue time")
    state_version = serializers.IntegerField()
    as_of_trade = serializers.IntegerField()


class OptimizationStatus(serializers.Serializer):
    enabled = serializers.BooleanField()
    status = serializers.ChoiceField(
        choices=["healthy", "degraded", "critical", "error", "disabled"]
    )
    health = HealthLists()
    allocation = Allocation()
    alerts = serializers.ListField(child=serializers.CharField())
    open_trades = serializers.IntegerField()
    settings = LayerSettingsOutput()
    update = LayerUpdateStatus()


class OptimizationStatusApi(Operation):
    """The status document (D-08)."""

    @extend_schema(
        operation_id="optimization_status",
        responses={200: OptimizationStatus} | READ_PROBLEMS,
    )
    def get(self, request: Request) -> Response:
        # the document as it is: the serializer only describes it, so that callable, command and
        # endpoint cannot differ (OPT-61)
        return Response(get_optimization_status())


class OptimizationReportApi(Operation):
    """Strategy summary, allocation, health and regime effectiveness (OPT-82)."""

    @extend_schema(operation_id="optimization_report", responses={200: dict} | READ_PROBLEMS)
    def get(self, request: Request) -> Response:
        return Response(layer_report())


class SwitchInput(serializers.Serializer):
    reason = serializers.CharField(max_length=500)


class SettingsInput(SwitchInput):
    values = serializers.DictField(
        child=serializers.JSONField(), help_text="the keys to change; others keep their value"
    )
    version = serializers.IntegerField(
        required=False, min_value=0, help_text="the version you looked at; another is refused"
    )


class _SettingsApi(Operation):
    def change(self, changes: dict[str, Any], given: dict[str, Any]) -> Response:
        row = optimization_settings_change(
            changes=changes,
            actor=self.actor,
            reason=given["reason"],
            source=SettingsSource.API,
            expected_version=given.get("version"),
        )
        return Response(settings_status(row))


def _documented(operation_id: str, body: type[serializers.Serializer]) -> Any:
    return extend_schema(
        operation_id=operation_id,
        parameters=[IDEMPOTENCY_HEADER],
        request=body,
        responses={200: LayerSettingsOutput} | WRITE_PROBLEMS,
    )


class OptimizationEnableApi(_SettingsApi):
    """Only an administrator lets the layer size and refuse."""

    required_scope = Scope.ADMIN
    needs_confirmation = True

    @_documented("optimization_enable", SwitchInput)
    def post(self, request: Request) -> Response:
        return self.change({"enabled": True}, self.checked(SwitchInput))


class OptimizationDisableApi(_SettingsApi):
    """Back to the base behaviour, which every operator may ask for."""

    @_documented("optimization_disable", SwitchInput)
    def post(self, request: Request) -> Response:
        return self.change({"enabled": False}, self.checked(SwitchInput))


class OptimizationSettingsApi(_SettingsApi):
    required_scope = Scope.ADMIN
    needs_confirmation = True

    @extend_schema(
        operation_id="optimization_settings_read",
        responses={200: LayerSettingsOutput} | READ_PROBLEMS,
    )
    def get(self, request: Request) -> Response:
        return Response(settings_status(effective()))

    @_documented("optimization_settings", SettingsInput)
    def post(self, request: Request) -> Response:
        given = self.checked(SettingsInput)
        return self.change(given["values"], given)
