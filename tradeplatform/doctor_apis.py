"""The diagnostic bundle over HTTP, for administrators."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from accounts.operations import READ_PROBLEMS, Operation
from tradeplatform.doctor import bundle


class DoctorOutput(serializers.Serializer[Any]):
    format = serializers.IntegerField()
    made_at = serializers.DateTimeField()
    versions = serializers.JSONField()
    settings = serializers.JSONField()
    configuration = serializers.JSONField()
    processes = serializers.JSONField()
    components = serializers.JSONField()
    database = serializers.JSONField()
    runs = serializers.JSONField()
    control = serializers.JSONField()
    alerts = serializers.JSONField()
    incidents = serializers.JSONField()
    audit = serializers.JSONField()
    invariants = serializers.JSONField()
    preflight = serializers.JSONField()
    notifications = serializers.JSONField()
    disk = serializers.JSONField()
    clock = serializers.JSONField()
    logs = serializers.JSONField()


class DoctorApi(Operation):
    """What somebody who helps needs to see, secrets removed. The invariants are those of the last
    check on the timer; ``manage.py doctor`` checks them anew."""

    required_scope = Scope.ADMIN

    @extend_schema(operation_id="doctor", responses={200: DoctorOutput} | READ_PROBLEMS)
    def get(self, request: Request) -> Response:
        return Response(bundle(check=False))
