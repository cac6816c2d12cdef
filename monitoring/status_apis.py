"""The status document of the whole system over HTTP (ORC-65)."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.operations import READ_PROBLEMS, Operation
from monitoring.components import STATES
from monitoring.system import system_status


class StatusComponent(serializers.Serializer):
    component = serializers.CharField()
    state = serializers.CharField(help_text=STATES)
    last_success_at = serializers.DateTimeField(allow_null=True)
    age_s = serializers.FloatField(allow_null=True)
    expected_every_s = serializers.FloatField(allow_null=True)
    version = serializers.CharField()
    reason = serializers.CharField(help_text="why, where the state does not say it all")


class StatusJob(serializers.Serializer):
    job = serializers.CharField()
    state = serializers.CharField(help_text=STATES)
    last_success_at = serializers.DateTimeField(allow_null=True)
    expected_every_s = serializers.FloatField()
    version = serializers.CharField()
    reason = serializers.CharField(help_text="the last error, or why it is paused")


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
    jobs = StatusJob(many=True)
    resources = StatusResources()
    alerts_open = serializers.IntegerField()


class SystemStatusApi(Operation):
    @extend_schema(
        operation_id="system_status", responses={200: SystemStatusOutput} | READ_PROBLEMS
    )
    def get(self, request: Request) -> Response:
        return Response(SystemStatusOutput(system_status(timezone.now())).data)
