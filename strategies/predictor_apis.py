"""Predictors, their models and the steps of their lives over HTTP."""

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
from accounts.operations import READ_PROBLEMS, Operation
from accounts.paging import AllowedChoiceField, ListFilters
from strategies.models import JobStatus, Stage
from strategies.selectors import (
    evolution_history,
    predictor_get,
    predictor_list,
    predictor_model_list,
    training_job_list,
)


class PredictorModelRow(serializers.Serializer):
    code = serializers.CharField()
    scope = serializers.CharField(help_text="venue and bar length it may speak in")
    stage = serializers.ChoiceField(choices=Stage.choices)
    stage_changed_at = serializers.DateTimeField()
    digest = serializers.CharField()
    is_trained = serializers.BooleanField()
    lineage = serializers.JSONField()
    metrics = serializers.JSONField()
    created_at = serializers.DateTimeField()


class TrainingJobRow(serializers.Serializer):
    id = serializers.IntegerField()
    code = serializers.CharField()
    scope = serializers.CharField()
    kind = serializers.CharField()
    reason = serializers.CharField()
    status = serializers.ChoiceField(choices=JobStatus.choices)
    progress_fraction = serializers.FloatField()
    attempts = serializers.IntegerField()
    error = serializers.CharField()
    result = serializers.JSONField()
    until_at = serializers.DateTimeField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class PredictorItem(serializers.Serializer):
    code = serializers.CharField()
    is_trained_on_candles = serializers.BooleanField()
    seats = PredictorModelRow(many=True)
    last_job = TrainingJobRow(allow_null=True)


class PredictorListOutput(serializers.Serializer):
    results = PredictorItem(many=True)


class PredictorListApi(Operation):
    @extend_schema(
        operation_id="predictor_list", responses={200: PredictorListOutput} | READ_PROBLEMS
    )
    def get(self, request: Request) -> Response:
        return Response(PredictorListOutput({"results": predictor_list()}).data)


class PredictorDetailApi(Operation):
    @extend_schema(operation_id="predictor_detail", responses={200: PredictorItem} | READ_PROBLEMS)
    def get(self, request: Request, code: str) -> Response:
        predictor = predictor_get(code)
        if predictor is None:
            raise Http404
        return Response(PredictorItem(predictor).data)


class PredictorModelFilters(ListFilters):
    code = serializers.CharField(required=False, max_length=40)
    stage = AllowedChoiceField(required=False, choices=Stage.choices)


class PredictorModelListApi(ListOperation):
    operation_id = "predictor_model_list"
    filters = PredictorModelFilters
    row = PredictorModelRow
    time_field = "created_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return predictor_model_list(code=filters.get("code"), stage=filters.get("stage"))


class EvolutionFilters(ListFilters):
    code = serializers.CharField(required=False, max_length=40)


class EvolutionRow(serializers.Serializer):
    code = serializers.CharField()
    scope = serializers.CharField()
    digest = serializers.CharField(source="model.digest")
    from_stage = serializers.CharField()
    to_stage = serializers.CharField()
    reason = serializers.CharField()
    evidence = serializers.JSONField()
    actor = serializers.CharField()
    at = serializers.DateTimeField()


class EvolutionListApi(ListOperation):
    operation_id = "predictor_evolution_list"
    filters = EvolutionFilters
    row = EvolutionRow
    time_field = "at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return evolution_history(code=filters.get("code"))


class TrainingJobListApi(ListOperation):
    operation_id = "training_job_list"
    filters = EvolutionFilters
    row = TrainingJobRow
    time_field = "created_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return training_job_list(code=filters.get("code"))
