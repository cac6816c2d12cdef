"""Health, incidents, alerts and components over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.lists import ListOperation
from accounts.operations import READ_PROBLEMS, Operation
from accounts.paging import AllowedChoiceField, ListFilters, filters_of
from monitoring.components import STATES, component_list
from monitoring.jobs import job_list
from monitoring.models import Alert, Incident, Severity
from monitoring.selectors import overview, run_shown
from trades.apis.filters import RunFilter, run_of


class HealthOutput(serializers.Serializer):
    status = serializers.ChoiceField(choices=[("ok", "ok"), ("degraded", "degraded")])


class HealthApi(Operation):
    """The one public path: it tells a stranger no version and no names (SEC-50)."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(operation_id="health", auth=[], responses={200: HealthOutput})
    def get(self, request: Request) -> Response:
        late = any(component.is_late for component in component_list(timezone.now()))
        return Response(HealthOutput({"status": "degraded" if late else "ok"}).data)


class OverviewFilters(RunFilter):
    symbol = serializers.CharField(required=False, max_length=40, help_text="of the price chart")


class OverviewOutput(serializers.Serializer):
    """What the overview page shows and a socket's first frame holds; empty without a run."""

    strip = serializers.JSONField(help_text="run, trading state, limits, layer, last decision")
    alerts = serializers.JSONField(help_text="open alerts, those nobody has seen first")
    components = serializers.JSONField()
    run = serializers.JSONField(allow_null=True)
    account = serializers.JSONField(allow_null=True, default=None)
    pace = serializers.JSONField(allow_null=True, default=None)
    price = serializers.JSONField(allow_null=True, default=None, help_text="bars, fills, trades")
    equity = serializers.JSONField(allow_null=True, default=None)
    positions = serializers.JSONField(default=list)
    strategies = serializers.JSONField(default=list)
    decisions = serializers.JSONField(default=list)
    funnel = serializers.JSONField(allow_null=True, default=None)
    why_no_trade = serializers.JSONField(allow_null=True, default=None)
    trades = serializers.JSONField(default=list)


class OverviewApi(Operation):
    """Everything at a glance, of the run that is shown unless another is asked for."""

    @extend_schema(
        operation_id="overview",
        parameters=[OverviewFilters],
        responses={200: OverviewOutput} | READ_PROBLEMS,
    )
    def get(self, request: Request) -> Response:
        filters = filters_of(request, OverviewFilters)
        run = run_of(filters) if "run" in filters else run_shown()
        return Response(OverviewOutput(overview(run, filters.get("symbol"))).data)


class IncidentRow(serializers.Serializer):
    where = serializers.CharField()
    error_type = serializers.CharField()
    message = serializers.CharField()
    first_at = serializers.DateTimeField()
    last_at = serializers.DateTimeField()
    count = serializers.IntegerField()


class IncidentListApi(ListOperation):
    operation_id = "incident_list"
    row = IncidentRow
    time_field = "last_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return Incident.objects.all()


class AlertFilters(ListFilters):
    severity = AllowedChoiceField(required=False, choices=Severity.choices)
    is_open = serializers.BooleanField(required=False, allow_null=True, default=None)


class AlertRow(serializers.Serializer):
    id = serializers.IntegerField()
    code = serializers.CharField()
    severity = serializers.CharField()
    text = serializers.CharField()
    run_code = serializers.CharField()
    first_at = serializers.DateTimeField()
    last_at = serializers.DateTimeField()
    count = serializers.IntegerField()
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    acknowledged_by = serializers.CharField()
    resolved_at = serializers.DateTimeField(allow_null=True)


class AlertListApi(ListOperation):
    operation_id = "alert_list"
    filters = AlertFilters
    row = AlertRow
    time_field = "last_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        rows = Alert.objects.all()
        if severity := filters.get("severity"):
            rows = rows.filter(severity=severity)
        if filters["is_open"] is not None:
            rows = rows.filter(resolved_at__isnull=filters["is_open"])
        return rows


class ComponentRow(serializers.Serializer):
    component = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True)
    age_s = serializers.FloatField(allow_null=True)
    expected_every_s = serializers.FloatField(allow_null=True)
    state = serializers.CharField(help_text=STATES)
    reason = serializers.CharField()
    is_late = serializers.BooleanField()
    code_version = serializers.CharField()


class JobRow(serializers.Serializer):
    job = serializers.CharField()
    task = serializers.CharField()
    state = serializers.CharField(help_text=STATES)
    last_success_at = serializers.DateTimeField(allow_null=True)
    expected_every_s = serializers.FloatField()
    code_version = serializers.CharField()
    reason = serializers.CharField()


class ComponentListOutput(serializers.Serializer):
    results = ComponentRow(many=True)
    jobs = JobRow(many=True)


class ComponentListApi(Operation):
    @extend_schema(
        operation_id="component_list", responses={200: ComponentListOutput} | READ_PROBLEMS
    )
    def get(self, request: Request) -> Response:
        now = timezone.now()
        found = {"results": component_list(now), "jobs": job_list(now)}
        return Response(ComponentListOutput(found).data)
