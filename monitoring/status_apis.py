"""The status document of the whole system over HTTP (ORC-65)."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.operations import READ_PROBLEMS, Operation
from monitoring.system import system_status


class StatusComponent(serializers.Serializer):
    component = serializers.CharField()
    state = serializers.CharField(help_text="up, late or down")
    last_success_at = serializers.DateTimeField()
    age_s = serializers.FloatField()
    expected_every_s = serializers.FloatField()
    version = serializers.CharField()


class StatusFinding(serializers.Serializer):
    key = serializers.CharField()
    level = serializers.CharField()
    value = serializers.FloatField(allow_null=True)
    warning = serializers.FloatField()
    critical = serializers.FloatField()


class StatusResources(serializers.Serializer):
    health = serializers.CharField()
    sampled_at = serializers.DateTimeField(allow_null=True)
    findings = StatusFinding(many=True)
    observe_only = serializers.BooleanField()
    open_incidents = serializers.ListField(child=serializers.CharField())


class SystemStatusOutput(serializers.Serializer):
    at = serializers.DateTimeField()
    state = serializers.CharField(help_text="healthy, unknown, warning or critical: the worst")
    components = StatusComponent(many=True)
    resources = StatusResources()
    alerts_open = serializers.IntegerField()


class SystemStatusApi(Operation):
    @extend_schema(
        operation_id="system_status", responses={200: SystemStatusOutput} | READ_PROBLEMS
    )
    def get(self, request: Request) -> Response:
        return Response(SystemStatusOutput(system_status(timezone.now())).data)
