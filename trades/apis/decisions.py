"""The decision stream, one decision with its ten phases, and "why not?"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.lists import ListOperation
from accounts.money import MoneyField
from accounts.operations import READ_PROBLEMS, Operation
from accounts.paging import AllowedChoiceField, filters_of
from engine.types.decisions import PHASES, Action
from trades.apis.filters import RunFilter, RunListFilters, run_of
from trades.models import Decision
from trades.selectors import (
    STAGES,
    decision_detail,
    decision_funnel,
    decision_get,
    decision_list,
    decision_performance,
    decision_replay,
    decision_why_not,
)


class DecisionFilters(RunListFilters):
    action = AllowedChoiceField(required=False, choices=[(a.value, a.value) for a in Action])
    blocking_phase = serializers.IntegerField(required=False, min_value=1, max_value=len(PHASES))
    reason_code = serializers.CharField(required=False, max_length=60)
    stage = AllowedChoiceField(required=False, choices=[(stage, stage) for stage in STAGES])


class DecisionRow(serializers.Serializer):
    id = serializers.UUIDField(source="code")
    run = serializers.UUIDField(source="run.code")
    strategy = serializers.CharField()
    symbol = serializers.CharField()
    bar_close_at = serializers.DateTimeField()
    action = serializers.ChoiceField(choices=[(a.value, a.value) for a in Action])
    confidence = serializers.FloatField()
    quantity_base = MoneyField()
    price = serializers.FloatField()
    stop_price = MoneyField(allow_null=True)
    target_price = MoneyField(allow_null=True)
    reason_code = serializers.CharField()
    reason = serializers.CharField()
    blocking_phase = serializers.IntegerField(allow_null=True)


class PhaseReason(serializers.Serializer):
    code = serializers.CharField()
    text = serializers.CharField()
    value = serializers.FloatField(allow_null=True)
    limit = serializers.FloatField(allow_null=True)


class PhaseRow(serializers.Serializer):
    number = serializers.IntegerField()
    name = serializers.CharField()
    status = serializers.CharField()
    duration_us = serializers.FloatField(allow_null=True)
    input_digest = serializers.CharField()
    output_digest = serializers.CharField()
    output = serializers.JSONField()
    reasons = PhaseReason(many=True)


class DecisionOrder(serializers.Serializer):
    client_order_id = serializers.CharField()
    side = serializers.CharField()
    status = serializers.CharField()
    quantity_base = MoneyField()
    filled_base = MoneyField()
    refusal_code = serializers.CharField()
    refusal_text = serializers.CharField()


class DecisionDetailOutput(serializers.Serializer):
    decision = DecisionRow()
    phases = PhaseRow(many=True)
    opinions = serializers.JSONField()
    sources = serializers.JSONField()
    consensus = serializers.JSONField(allow_null=True)
    sizing = serializers.JSONField(allow_null=True)
    proposal = serializers.JSONField(allow_null=True)
    policy = serializers.JSONField()
    orders = DecisionOrder(many=True)


class FailingGate(serializers.Serializer):
    phase = serializers.IntegerField(allow_null=True)
    phase_name = serializers.CharField()
    code = serializers.CharField()
    text = serializers.CharField()
    value = serializers.FloatField(allow_null=True, default=None)
    limit = serializers.FloatField(allow_null=True, default=None)


class GateRow(serializers.Serializer):
    name = serializers.CharField()
    passed = serializers.BooleanField(allow_null=True)
    value = serializers.FloatField(allow_null=True)
    limit = serializers.FloatField(allow_null=True)
    margin = serializers.FloatField(allow_null=True)
    code = serializers.CharField()
    text = serializers.CharField()


class WhyNotOutput(serializers.Serializer):
    traded = serializers.BooleanField()
    summary = serializers.CharField()
    blocking_phase = serializers.IntegerField(allow_null=True)
    phase_name = serializers.CharField()
    reason_code = serializers.CharField()
    failing = FailingGate(many=True)
    gates = GateRow(many=True)
    nearest_miss = serializers.CharField()
    near_misses = serializers.JSONField()


class VerdictRow(serializers.Serializer):
    action = serializers.CharField()
    quantity_base = serializers.CharField()
    reason_code = serializers.CharField()
    confidence = serializers.FloatField()
    digest = serializers.CharField()


class ComparedPhase(serializers.Serializer):
    number = serializers.IntegerField()
    name = serializers.CharField()
    source = serializers.CharField()
    same = serializers.BooleanField(allow_null=True)
    digest_then = serializers.CharField()
    digest_now = serializers.CharField()
    note = serializers.CharField()


class DifferenceRow(serializers.Serializer):
    label = serializers.CharField()
    phase = serializers.IntegerField(allow_null=True)
    what = serializers.CharField()
    then = serializers.CharField()
    now = serializers.CharField()


class ReplayOutput(serializers.Serializer):
    same = serializers.BooleanField()
    same_verdict = serializers.BooleanField()
    code_then = serializers.CharField()
    code_now = serializers.CharField()
    verdict_then = VerdictRow()
    verdict_now = VerdictRow(allow_null=True)
    phases = ComparedPhase(many=True)
    differences = DifferenceRow(many=True)


class FunnelOutput(serializers.Serializer):
    stages = serializers.JSONField()
    losses = serializers.JSONField()


class LatencyRow(serializers.Serializer):
    number = serializers.IntegerField()
    name = serializers.CharField()
    n = serializers.IntegerField()
    p50_ms = serializers.FloatField()
    p95_ms = serializers.FloatField()


class PerformanceOutput(serializers.Serializer):
    decisions = serializers.IntegerField()
    sampled = serializers.IntegerField()
    by_action = serializers.DictField(child=serializers.IntegerField())
    by_reason = serializers.DictField(child=serializers.IntegerField())
    latencies = LatencyRow(many=True)
    fallbacks = serializers.DictField(child=serializers.IntegerField())
    mean_confidence = serializers.FloatField(allow_null=True)
    trades = serializers.IntegerField()
    hit_rate_fraction = serializers.FloatField(allow_null=True)


class DecisionListApi(ListOperation):
    operation_id = "decision_list"
    filters = DecisionFilters
    row = DecisionRow
    time_field = "bar_close_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return decision_list(
            run=run_of(filters),
            symbol=filters.get("symbol"),
            strategy=filters.get("strategy"),
            action=filters.get("action"),
            blocking_phase=filters.get("blocking_phase"),
            reason_code=filters.get("reason_code"),
            stage=filters.get("stage"),
        )


class DecisionDetailApi(Operation):
    @extend_schema(
        operation_id="decision_detail", responses={200: DecisionDetailOutput} | READ_PROBLEMS
    )
    def get(self, request: Request, code: UUID) -> Response:
        return Response(DecisionDetailOutput(decision_detail(_decision(code))).data)


class DecisionWhyNotApi(Operation):
    @extend_schema(operation_id="decision_why_not", responses={200: WhyNotOutput} | READ_PROBLEMS)
    def get(self, request: Request, code: UUID) -> Response:
        return Response(WhyNotOutput(decision_why_not(_decision(code))).data)


class DecisionReplayApi(Operation):
    """The decision made again from what is stored, with today's settings and code."""

    @extend_schema(operation_id="decision_replay", responses={200: ReplayOutput} | READ_PROBLEMS)
    def get(self, request: Request, code: UUID) -> Response:
        return Response(ReplayOutput(decision_replay(_decision(code))).data)


class DecisionFunnelApi(Operation):
    @extend_schema(
        operation_id="decision_funnel",
        parameters=[RunFilter],
        responses={200: FunnelOutput} | READ_PROBLEMS,
    )
    def get(self, request: Request) -> Response:
        found = decision_funnel(run=run_of(filters_of(request, RunFilter)))
        return Response(asdict(found))


class DecisionPerformanceApi(Operation):
    @extend_schema(
        operation_id="decision_performance",
        parameters=[RunFilter],
        responses={200: PerformanceOutput} | READ_PROBLEMS,
    )
    def get(self, request: Request) -> Response:
        found = decision_performance(run=run_of(filters_of(request, RunFilter)))
        return Response(PerformanceOutput(found).data)


def _decision(code: UUID) -> Decision:
    decision = decision_get(code)
    if decision is None:
        raise Http404
    return decision
