"""The optimization layer over HTTP."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.operations import READ_PROBLEMS, Operation
from optimization.selectors import get_optimization_status


class HealthLists(serializers.Serializer):
    active = serializers.ListField(child=serializers.CharField())
    degraded = serializers.ListField(child=serializers.CharField())
    suspended = serializers.ListField(child=serializers.CharField())
    retired = serializers.ListField(child=serializers.CharField())


class Allocation(serializers.Serializer):
    raw_weights = serializers.DictField(child=serializers.FloatField())
    normalized_weights = serializers.DictField(child=serializers.FloatField())


class OptimizationStatus(serializers.Serializer):
    enabled = serializers.BooleanField()
    status = serializers.ChoiceField(
        choices=["healthy", "degraded", "critical", "error", "disabled"]
    )
    health = HealthLists()
    allocation = Allocation()
    alerts = serializers.ListField(child=serializers.CharField())
    open_trades = serializers.IntegerField()


class OptimizationStatusApi(Operation):
    """The status document (D-08)."""

    @extend_schema(
        operation_id="optimization_status",
        responses={200: OptimizationStatus} | READ_PROBLEMS,
    )
    def get(self, request: Request) -> Response:
        return Response(OptimizationStatus(get_optimization_status()).data)
