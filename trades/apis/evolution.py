"""Asking by hand for a new model, and stopping a training."""

from __future__ import annotations

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.operations import IDEMPOTENCY_HEADER, WRITE_PROBLEMS, Operation
from strategies.models import TrainingJob
from strategies.predictor_apis import TrainingJobRow
from strategies.training import training_abort
from trades.services import predictor_evolve


class ReasonInput(serializers.Serializer):
    reason = serializers.CharField(max_length=500)


class PredictorEvolveOutput(serializers.Serializer):
    results = TrainingJobRow(many=True)


class PredictorEvolveApi(Operation):
    @extend_schema(
        operation_id="predictor_evolve",
        parameters=[IDEMPOTENCY_HEADER],
        request=ReasonInput,
        responses={200: PredictorEvolveOutput} | WRITE_PROBLEMS,
    )
    def post(self, request: Request, code: str) -> Response:
        given = self.checked(ReasonInput)
        jobs = predictor_evolve(code=code, actor=self.actor, reason=given["reason"])
        return Response(PredictorEvolveOutput({"results": jobs}).data)


class TrainingAbortApi(Operation):
    @extend_schema(
        operation_id="training_abort",
        parameters=[IDEMPOTENCY_HEADER],
        request=ReasonInput,
        responses={200: TrainingJobRow} | WRITE_PROBLEMS,
    )
    def post(self, request: Request, job_id: int) -> Response:
        given = self.checked(ReasonInput)
        job = TrainingJob.objects.filter(pk=job_id).first()
        if job is None:
            raise Http404
        training_abort(job=job, actor=self.actor, reason=given["reason"])
        job.refresh_from_db()
        return Response(TrainingJobRow(job).data)
