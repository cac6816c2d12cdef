"""Samples, usage, the optimizer's actions, rules, report and settings over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
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
from accounts.paging import AllowedChoiceField, ListFilters, filters_of
from resources import selectors
from resources.actions.registry import ACTIONS
from resources.asking import action_ask
from resources.models import ActionState, IncidentState, Resolution
from resources.switches import config_change, config_holding

_RESOLUTIONS = {choice.label: int(choice.value) for choice in Resolution}


class SampleFilters(ListFilters):
    resolution = AllowedChoiceField(
        required=False, choices=[(name, name) for name in _RESOLUTIONS], default="raw"
    )


class SampleRow(serializers.Serializer):
    host = serializers.CharField()
    at = serializers.DateTimeField()
    resolution_s = serializers.IntegerField()
    values = serializers.DictField(
        child=serializers.JSONField(allow_null=True),
        help_text="subject.metric to a number or null; of a minute or an hour to"
        " [n, mean, minimum, maximum, p95]",
    )


class SampleListApi(ListOperation):
    operation_id = "sample_list"
    filters = SampleFilters
    row = SampleRow
    time_field = "at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return selectors.sample_list(_RESOLUTIONS[filters["resolution"]])


class UsageRow(serializers.Serializer):
    key = serializers.CharField()
    unit = serializers.CharField()
    n = serializers.IntegerField()
    mean = serializers.FloatField()
    minimum = serializers.FloatField()
    maximum = serializers.FloatField()
    p50 = serializers.FloatField()
    p95 = serializers.FloatField()
    p99 = serializers.FloatField()
    slope_per_s = serializers.FloatField()
    limit = serializers.FloatField(allow_null=True)
    seconds_to_limit = serializers.FloatField(allow_null=True)


class UsageOutput(serializers.Serializer):
    results = UsageRow(many=True)


class UsageApi(Operation):
    @extend_schema(operation_id="resource_usage", responses={200: UsageOutput} | READ_PROBLEMS)
    def get(self, request: Request) -> Response:
        return Response(UsageOutput({"results": selectors.usage(timezone.now())}).data)


class ActionFilters(ListFilters):
    action = AllowedChoiceField(required=False, choices=[(code, code) for code in ACTIONS])
    state = AllowedChoiceField(required=False, choices=ActionState.choices)


class ActionRow(serializers.Serializer):
    id = serializers.IntegerField()
    incident_id = serializers.IntegerField(allow_null=True)
    action = serializers.CharField()
    origin = serializers.CharField()
    actor = serializers.CharField()
    reason = serializers.CharField()
    state = serializers.CharField()
    target_key = serializers.CharField()
    parameters = serializers.DictField()
    started_at = serializers.DateTimeField()
    applied_at = serializers.DateTimeField(allow_null=True)
    judged_at = serializers.DateTimeField(allow_null=True)
    reverted_at = serializers.DateTimeField(allow_null=True)
    duration_ms = serializers.FloatField(allow_null=True)
    own_before = serializers.DictField()
    own_after = serializers.DictField()
    before = serializers.DictField()
    after = serializers.DictField()
    improvement = serializers.FloatField(allow_null=True)
    noise = serializers.FloatField(allow_null=True)
    verdict = serializers.CharField()
    regressions = serializers.ListField(child=serializers.DictField())
    side_effects = serializers.ListField(child=serializers.CharField())
    saved = serializers.DictField(child=serializers.FloatField())
    error = serializers.CharField()
    is_in_effect = serializers.BooleanField()


class ActionInput(serializers.Serializer):
    action = AllowedChoiceField(choices=[(code, code) for code in ACTIONS])
    reason = serializers.CharField(max_length=500)
    dry_run = serializers.BooleanField(required=False, default=False)


class ActionListApi(ListOperation):
    """The history of actions; POST carries one out for a person, with a reason."""

    operation_id = "optimizer_action_list"
    filters = ActionFilters
    row = ActionRow
    time_field = "started_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        rows = selectors.action_list()
        for name in ("action", "state"):
            if value := filters.get(name):
                rows = rows.filter(**{name: value})
        return rows

    @extend_schema(
        operation_id="optimizer_action_run",
        request=ActionInput,
        parameters=[IDEMPOTENCY_HEADER],
        responses={201: ActionRow} | WRITE_PROBLEMS,
    )
    def post(self, request: Request) -> Response:
        given: dict[str, Any] = self.checked(ActionInput)
        row = action_ask(
            code=given["action"],
            actor=self.actor,
            reason=given["reason"],
            dry_run=given["dry_run"],
        )
        return Response(ActionRow(row).data, status=201)


class RuleRow(serializers.Serializer):
    code = serializers.CharField()
    kind = serializers.CharField()
    key = serializers.CharField()
    unit = serializers.CharField()
    limit = serializers.FloatField()
    clear = serializers.FloatField()
    value = serializers.FloatField(allow_null=True)
    about = serializers.CharField()
    actions = serializers.ListField(child=serializers.CharField())


class MaintenanceRow(serializers.Serializer):
    code = serializers.CharField()
    every_s = serializers.FloatField()
    next_at = serializers.DateTimeField()
    last_run_at = serializers.DateTimeField(allow_null=True)
    last_outcome = serializers.CharField()
    missed = serializers.IntegerField()


class RuleListOutput(serializers.Serializer):
    health = serializers.CharField()
    results = RuleRow(many=True)
    timetable = MaintenanceRow(many=True)
    settings = serializers.DictField()


class RuleInput(serializers.Serializer):
    settings = serializers.DictField(
        child=serializers.JSONField(), help_text="names and values as in the GET's settings"
    )
    reason = serializers.CharField(max_length=500)


class RuleListApi(Operation):
    """What the optimizer goes by."""

    @extend_schema(
        operation_id="optimizer_rule_list", responses={200: RuleListOutput} | READ_PROBLEMS
    )
    def get(self, request: Request) -> Response:
        return Response(_rules())


class OptimizerSettingsApi(Operation):
    """Changes single settings, audited, with a reason; an administrator's act."""

    required_scope = Scope.ADMIN
    needs_confirmation = True

    @extend_schema(
        operation_id="optimizer_settings_change",
        request=RuleInput,
        parameters=[IDEMPOTENCY_HEADER],
        responses={200: RuleListOutput} | WRITE_PROBLEMS,
    )
    def post(self, request: Request) -> Response:
        given = self.checked(RuleInput)
        config_change(values=given["settings"], actor=self.actor, reason=given["reason"])
        return Response(_rules())


def _rules() -> Any:
    now = timezone.now()
    document = {
        "health": selectors.health(now).level.value,
        "results": selectors.rule_list(now),
        "timetable": selectors.status(now)["timetable"],
        "settings": config_holding().values(),
    }
    return RuleListOutput(document).data


class TallyRow(serializers.Serializer):
    action = serializers.CharField()
    attempts = serializers.IntegerField()
    ran = serializers.IntegerField()
    measured = serializers.IntegerField()
    successes = serializers.IntegerField()
    ran_rate = serializers.FloatField(allow_null=True)
    success_rate = serializers.FloatField(allow_null=True)
    mean_improvement = serializers.FloatField(allow_null=True)
    saved = serializers.DictField(child=serializers.FloatField())


class TrendRow(serializers.Serializer):
    week = serializers.CharField()
    value = serializers.FloatField()
    n = serializers.IntegerField()
    change = serializers.FloatField(allow_null=True)
    is_regression = serializers.BooleanField()


class ReportFilters(serializers.Serializer):
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)


class ReportOutput(serializers.Serializer):
    since = serializers.DateTimeField(allow_null=True)
    until = serializers.DateTimeField(allow_null=True)
    observed = serializers.IntegerField()
    total = TallyRow()
    actions = TallyRow(many=True)
    saved = serializers.DictField(child=serializers.FloatField())
    incidents = serializers.DictField(child=serializers.IntegerField())
    trends = serializers.DictField(child=TrendRow(many=True))


class ReportApi(Operation):
    @extend_schema(
        operation_id="optimizer_report",
        parameters=[ReportFilters],
        responses={200: ReportOutput} | READ_PROBLEMS,
    )
    def get(self, request: Request) -> Response:
        filters = filters_of(request, ReportFilters)
        document = selectors.report(since=filters.get("since"), until=filters.get("until"))
        document["trends"] = selectors.trends(timezone.now())
        return Response(ReportOutput(document).data)


class StepRow(serializers.Serializer):
    stage = serializers.CharField()
    at = serializers.DateTimeField()
    text = serializers.CharField()
    detail = serializers.DictField()


class ResourceIncidentRow(serializers.Serializer):
    id = serializers.IntegerField()
    rule = serializers.CharField()
    kind = serializers.CharField()
    key = serializers.CharField()
    state = serializers.CharField()
    cause = serializers.CharField()
    limit = serializers.FloatField()
    first_value = serializers.FloatField()
    worst_value = serializers.FloatField()
    last_value = serializers.FloatField()
    count = serializers.IntegerField()
    opened_at = serializers.DateTimeField()
    last_at = serializers.DateTimeField()
    escalated_at = serializers.DateTimeField(allow_null=True)
    resolved_at = serializers.DateTimeField(allow_null=True)
    steps = StepRow(many=True)


class ResourceIncidentFilters(ListFilters):
    state = AllowedChoiceField(required=False, choices=IncidentState.choices)


class ResourceIncidentListApi(ListOperation):
    operation_id = "optimizer_incident_list"
    filters = ResourceIncidentFilters
    row = ResourceIncidentRow
    time_field = "opened_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        rows = selectors.incident_list()
        if state := filters.get("state"):
            rows = rows.filter(state=state)
        return rows
