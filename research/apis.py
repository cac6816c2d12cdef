"""Replays over HTTP: start one, watch it, abort it, read what came out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.lists import ListOperation
from accounts.operations import IDEMPOTENCY_HEADER, READ_PROBLEMS, WRITE_PROBLEMS, Operation
from accounts.paging import AllowedChoiceField, ListFilters
from research.models import ReplayJob, ReplayStatus
from research.requests import BOOKS, MAX_FILES, MAX_SEED, MAX_SYMBOLS
from research.selectors import data_folders, replay_get, replay_list
from research.services import NOTES_MAX, replay_abort, replay_note, replay_start


class ReplayInput(serializers.Serializer):
    """Files of the data folders, or the candles that are kept of a venue."""

    data = serializers.ListField(
        child=serializers.CharField(max_length=300), required=False, max_length=MAX_FILES
    )
    venue = serializers.CharField(
        required=False, max_length=60, allow_blank=True, help_text="whose stored candles"
    )
    symbols = serializers.ListField(
        child=serializers.CharField(max_length=40), required=False, max_length=MAX_SYMBOLS
    )
    timeframe = serializers.CharField(required=False, max_length=10, allow_blank=True)
    strategies = serializers.ListField(
        child=serializers.CharField(max_length=40), required=False, max_length=20
    )
    predictors = serializers.ListField(
        child=serializers.CharField(max_length=40),
        required=False,
        allow_null=True,
        max_length=20,
        help_text="null: all of them",
    )
    layer = serializers.BooleanField(required=False, default=False)
    cash = serializers.CharField(required=False, max_length=40, allow_blank=True)
    slippage_bps = serializers.CharField(required=False, max_length=20, default="2")
    seed = serializers.IntegerField(required=False, min_value=0, max_value=MAX_SEED, default=1)
    book = AllowedChoiceField(required=False, choices=BOOKS, default="none")
    notes = serializers.CharField(
        required=False, max_length=NOTES_MAX, allow_blank=True, default=""
    )

    def get_fields(self) -> dict[str, Any]:
        # ``from`` is a word of the language, so it cannot be an attribute
        ends = {
            name: serializers.CharField(
                required=False, allow_null=True, allow_blank=True, max_length=40
            )
            for name in ("from", "to")
        }
        return super().get_fields() | ends


class ReplayRow(serializers.Serializer):
    code = serializers.UUIDField()
    status = serializers.ChoiceField(choices=ReplayStatus.choices)
    actor = serializers.CharField()
    notes = serializers.CharField()
    request = serializers.JSONField()
    progress_fraction = serializers.FloatField()
    bars_done = serializers.IntegerField()
    bars_total = serializers.IntegerField()
    bars_per_s = serializers.FloatField()
    error = serializers.CharField()
    attempts = serializers.IntegerField()
    result = serializers.JSONField(allow_null=True)
    code_version = serializers.CharField()
    config_digest = serializers.CharField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class ReplayReport(serializers.Serializer):
    report = serializers.JSONField(allow_null=True, help_text="null until it is done")


class ReplayFilters(ListFilters):
    status = AllowedChoiceField(required=False, choices=ReplayStatus.choices)
    actor = serializers.CharField(required=False, max_length=120)


class ReplayListApi(ListOperation):
    operation_id = "replay_list"
    filters = ReplayFilters
    row = ReplayRow
    time_field = "created_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return replay_list(status=filters.get("status"), actor=filters.get("actor"))

    @extend_schema(
        operation_id="replay_start",
        parameters=[IDEMPOTENCY_HEADER],
        request=ReplayInput,
        responses={201: ReplayRow} | WRITE_PROBLEMS,
    )
    def post(self, request: Request) -> Response:
        given = self.checked(ReplayInput)
        job = replay_start(
            given=given, folders=data_folders(), actor=self.actor, notes=given["notes"]
        )
        return Response(ReplayRow(job).data, status=status.HTTP_201_CREATED)


class ReplayDetailApi(Operation):
    @extend_schema(operation_id="replay_detail", responses={200: ReplayRow} | READ_PROBLEMS)
    def get(self, request: Request, code: UUID) -> Response:
        return Response(ReplayRow(_found(code)).data)


class ReplayReportApi(Operation):
    """The whole document behind the page: course, trades, costs, assumptions."""

    @extend_schema(operation_id="replay_report", responses={200: ReplayReport} | READ_PROBLEMS)
    def get(self, request: Request, code: UUID) -> Response:
        return Response(ReplayReport(_found(code)).data)


class ReplayAbortInput(serializers.Serializer):
    reason = serializers.CharField(max_length=500)


class ReplayAbortApi(Operation):
    @extend_schema(
        operation_id="replay_abort",
        parameters=[IDEMPOTENCY_HEADER],
        request=ReplayAbortInput,
        responses={200: ReplayRow} | WRITE_PROBLEMS,
    )
    def post(self, request: Request, code: UUID) -> Response:
        given = self.checked(ReplayAbortInput)
        job = _found(code)
        replay_abort(job=job, actor=self.actor, reason=given["reason"])
        return Response(ReplayRow(_found(code)).data)


class ReplayNotesInput(serializers.Serializer):
    notes = serializers.CharField(max_length=NOTES_MAX, allow_blank=True)


class ReplayNotesApi(Operation):
    @extend_schema(
        operation_id="replay_notes",
        parameters=[IDEMPOTENCY_HEADER],
        request=ReplayNotesInput,
        responses={200: ReplayRow} | WRITE_PROBLEMS,
    )
    def post(self, request: Request, code: UUID) -> Response:
        given = self.checked(ReplayNotesInput)
        replay_note(job=_found(code), notes=given["notes"], actor=self.actor)
        return Response(ReplayRow(_found(code)).data)


def _found(code: UUID) -> ReplayJob:
    job = replay_get(code)
    if job is None:
        raise Http404
    return job
