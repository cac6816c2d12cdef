"""Limits and their use, and the kill switch."""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.confirmation import ReauthRequired, is_confirmed
from accounts.errors import Refused
from accounts.locks import brief_wait
from accounts.models import Scope
from accounts.operations import (
    IDEMPOTENCY_HEADER,
    READ_PROBLEMS,
    WRITE_PROBLEMS,
    Operation,
)
from accounts.paging import filters_of
from accounts.permissions import request_scope
from accounts.roles import reaches
from engine.ports import TradingState
from trades.apis.filters import RunFilter, run_of
from trades.apis.ledger import EquityRow
from trades.errors import ControlRefused, LooseningRefused
from trades.kill_switch import leave_halt, refuse_beside_file
from trades.selectors import risk_status
from trades.services import GLOBAL_SCOPE, control_set

_STATES = [(state.value, state.value) for state in TradingState]


class LimitRow(serializers.Serializer):
    name = serializers.CharField()
    unit = serializers.CharField()
    limit = serializers.FloatField()
    used = serializers.FloatField(allow_null=True)
    left = serializers.FloatField(allow_null=True)


class ControlRow(serializers.Serializer):
    scope = serializers.CharField()
    state = serializers.ChoiceField(choices=_STATES)
    epoch = serializers.IntegerField()
    reason_code = serializers.CharField()
    reason = serializers.CharField()
    actor = serializers.CharField()
    changed_at = serializers.DateTimeField()
    releases_at = serializers.DateTimeField(allow_null=True)


class RiskOutput(serializers.Serializer):
    run = serializers.UUIDField(source="run.code", default=None, allow_null=True)
    state = serializers.ChoiceField(choices=_STATES, help_text="of the scope global")
    effective_state = serializers.ChoiceField(
        choices=_STATES, help_text="the most severe of all scopes and holds"
    )
    equity = EquityRow(allow_null=True)
    limits = LimitRow(many=True)
    scopes = ControlRow(many=True)
    holds = serializers.ListField(child=serializers.CharField())


class RiskApi(Operation):
    @extend_schema(
        operation_id="risk_status",
        parameters=[RunFilter],
        responses={200: RiskOutput} | READ_PROBLEMS,
    )
    def get(self, request: Request) -> Response:
        run = run_of(filters_of(request, RunFilter))
        return Response(RiskOutput(risk_status(run=run)).data)


class ControlInput(serializers.Serializer):
    reason = serializers.CharField(max_length=500)
    scope = serializers.RegexField(
        r"^((account:[a-z0-9][a-z0-9-]{0,39}/)?"
        r"(strategy:[a-z0-9_-]{1,40}|symbol:[A-Za-z0-9/:._-]{1,40})"
        r"|global|account:[a-z0-9][a-z0-9-]{0,39})\Z",
        required=False,
        default=GLOBAL_SCOPE,
        error_messages={
            "invalid": "was not understood, allowed: global, strategy:CODE, symbol:SYMBOL,"
            " account:NAME, or the latter two after account:NAME/"
        },
    )


class ControlUnacceptable(Refused):
    status = 400
    reason_code = "control_refused"


class DatabaseBusy(Refused):
    status = 503
    reason_code = "database_busy"


class PendingRow(serializers.Serializer):
    """A halt the database did not take yet; every order is held until it has."""

    scope = serializers.CharField()
    state = serializers.ChoiceField(choices=_STATES)
    reason = serializers.CharField()


class _ControlApi(Operation):
    """Latched in the database: it works while the broker and every worker are down.

    Tightening needs the scope operate; a milder state than the present one needs admin.
    """

    state: TradingState

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer within seconds, also while the database is locked."""
        with brief_wait():
            return super().dispatch(request, *args, **kwargs)

    def handle_exception(self, exc: Exception) -> Response:
        """Leave a halt as a file where the database did not take it: 202, not yet latched."""
        if not isinstance(exc, DatabaseError) or not self.request.user.is_authenticated:
            return super().handle_exception(exc)
        given: dict[str, Any] = self.checked(ControlInput)
        try:
            leave_halt(state=self.state.value, actor=self.actor, because=exc, **given)
        except ControlRefused as error:
            return super().handle_exception(DatabaseBusy(str(error)))
        return Response(PendingRow({**given, "state": self.state.value}).data, status=202)

    def latch(self) -> Response:
        given: dict[str, Any] = self.checked(ControlInput)
        is_admin = reaches(request_scope(self.request), Scope.ADMIN)
        try:
            refuse_beside_file(scope=given["scope"], state=self.state.value)
            row = control_set(
                scope=given["scope"],
                state=self.state,
                actor=self.actor,
                reason=given["reason"],
                may_loosen=is_admin and is_confirmed(self.request),
            )
        except LooseningRefused as error:
            if is_admin:
                raise ReauthRequired from error
            raise PermissionDenied(f"{error}, which needs the scope admin") from error
        except ControlRefused as error:
            raise ControlUnacceptable(str(error)) from error
        return Response(ControlRow(row).data)


def _documented(operation_id: str) -> Any:
    return extend_schema(
        operation_id=operation_id,
        parameters=[IDEMPOTENCY_HEADER],
        request=ControlInput,
        responses={200: ControlRow, 202: PendingRow} | WRITE_PROBLEMS,
    )


class ControlHaltApi(_ControlApi):
    """Nothing new is sent, neither entries nor exits; entries that rest are cancelled. A stop or
    target that rests at the broker stays and may fill."""

    state = TradingState.HALTED

    @_documented("control_halt")
    def post(self, request: Request) -> Response:
        return self.latch()


class ControlReduceApi(_ControlApi):
    """Exits and cancels only."""

    state = TradingState.REDUCING

    @_documented("control_reduce")
    def post(self, request: Request) -> Response:
        return self.latch()


class ControlResumeApi(_ControlApi):
    state = TradingState.ACTIVE

    @_documented("control_resume")
    def post(self, request: Request) -> Response:
        return self.latch()
