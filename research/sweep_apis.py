"""Sweeps over HTTP: start one, watch it, pause, resume or abort it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.lists import ListOperation
from accounts.operations import IDEMPOTENCY_HEADER, READ_PROBLEMS, WRITE_PROBLEMS, Operation
from accounts.paging import AllowedChoiceField, ListFilters
from research.apis import ReplayAbortInput
from research.models import Sweep, SweepStatus
from research.requests import MAX_FILES, MAX_SEED
from research.selectors import (
    data_folders,
    sweep_digest,
    sweep_get,
    sweep_list,
    sweep_paths,
)
from research.sweep_services import (
    MAX_BATCH,
    MAX_FOLDS,
    MAX_PURGE_BARS,
    MAX_TRIALS,
    sweep_change,
    sweep_start,
)


class SweepInput(serializers.Serializer):
    """One rule over files of the data folders; ranges left out: half to double of each default."""

    data = serializers.ListField(child=serializers.CharField(max_length=300), max_length=MAX_FILES)
    strategy = serializers.CharField(max_length=40)
    ranges = serializers.DictField(
        child=serializers.ListField(child=serializers.FloatField(), min_length=2, max_length=2),
        required=False,
    )
    trials = serializers.IntegerField(
        required=False, default=30, min_value=5, max_value=MAX_TRIALS, help_text="of each window"
    )
    batch = serializers.IntegerField(
        required=False,
        default=5,
        min_value=1,
        max_value=MAX_BATCH,
        help_text="trials of a window that are asked together and may run at once",
    )
    workers = serializers.BooleanField(
        required=False,
        allow_null=True,
        default=None,
        help_text="share the units out over the research workers; left out: as the installation is",
    )
    folds = serializers.IntegerField(required=False, default=3, min_value=1, max_value=MAX_FOLDS)
    in_sample_share = serializers.FloatField(
        required=False, default=0.75, min_value=0.3, max_value=0.95
    )
    purge_bars = serializers.IntegerField(
        required=False, default=100, min_value=0, max_value=MAX_PURGE_BARS
    )
    seed = serializers.IntegerField(required=False, default=1, min_value=0, max_value=MAX_SEED)
    cash = serializers.CharField(required=False, max_length=40)


class SweepRow(serializers.Serializer):
    code = serializers.UUIDField()
    status = serializers.ChoiceField(choices=SweepStatus.choices)
    actor = serializers.CharField()
    request = serializers.JSONField()
    units_done = serializers.IntegerField()
    units_total = serializers.IntegerField()
    error = serializers.CharField()
    workers = serializers.BooleanField(source="is_spread")
    result = serializers.JSONField(allow_null=True)
    digest = serializers.SerializerMethodField(help_text="SHA-256 of the result, empty before it")
    code_version = serializers.CharField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_digest(self, sweep: Sweep) -> str:
        return sweep_digest(sweep)


class SweepDetail(SweepRow):
    """``paths`` counts units by how they were traced: in columns, or by the session and why."""

    paths = serializers.SerializerMethodField()

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_paths(self, sweep: Sweep) -> dict[str, int]:
        return sweep_paths([sweep])[sweep.pk]


class SweepFilters(ListFilters):
    status = AllowedChoiceField(required=False, choices=SweepStatus.choices)


class SweepListApi(ListOperation):
    operation_id = "sweep_list"
    filters = SweepFilters
    row = SweepRow
    time_field = "created_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return sweep_list(status=filters.get("status"))

    @extend_schema(
        operation_id="sweep_start",
        parameters=[IDEMPOTENCY_HEADER],
        request=SweepInput,
        responses={201: SweepRow} | WRITE_PROBLEMS,
    )
    def post(self, request: Request) -> Response:
        given = self.checked(SweepInput)
        sweep = sweep_start(given=given, folders=data_folders(), actor=self.actor)
        return Response(SweepRow(sweep).data, status=status.HTTP_201_CREATED)


class SweepDetailApi(Operation):
    @extend_schema(operation_id="sweep_detail", responses={200: SweepDetail} | READ_PROBLEMS)
    def get(self, request: Request, code: UUID) -> Response:
        return Response(SweepDetail(_found(code)).data)


class _SweepChangeApi(Operation):
    to: ClassVar[SweepStatus]

    def changed(self, code: UUID) -> Response:
        given = self.checked(ReplayAbortInput)
        sweep = _found(code)
        sweep_change(sweep=sweep, to=self.to, actor=self.actor, reason=given["reason"])
        return Response(SweepRow(_found(code)).data)


class SweepPauseApi(_SweepChangeApi):
    to = SweepStatus.PAUSED

    @extend_schema(
        operation_id="sweep_pause",
        parameters=[IDEMPOTENCY_HEADER],
        request=ReplayAbortInput,
        responses={200: SweepRow} | WRITE_PROBLEMS,
    )
    def post(self, request: Request, code: UUID) -> Response:
        return self.changed(code)


class SweepResumeApi(_SweepChangeApi):
    to = SweepStatus.QUEUED

    @extend_schema(
        operation_id="sweep_resume",
        parameters=[IDEMPOTENCY_HEADER],
        request=ReplayAbortInput,
        responses={200: SweepRow} | WRITE_PROBLEMS,
    )
    def post(self, request: Request, code: UUID) -> Response:
        return self.changed(code)


class SweepAbortApi(_SweepChangeApi):
    to = SweepStatus.ABORTED

    @extend_schema(
        operation_id="sweep_abort",
        parameters=[IDEMPOTENCY_HEADER],
        request=ReplayAbortInput,
        responses={200: SweepRow} | WRITE_PROBLEMS,
    )
    def post(self, request: Request, code: UUID) -> Response:
        return self.changed(code)


def _found(code: UUID) -> Sweep:
    sweep = sweep_get(code)
    if sweep is None:
        raise Http404
    return sweep
