"""The hard ceilings: what the file allows, what holds, and lowering them in two steps."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.confirmation import ReauthRequired, is_confirmed
from accounts.models import Scope
from accounts.money import MoneyField
from accounts.operations import IDEMPOTENCY_HEADER, READ_PROBLEMS, WRITE_PROBLEMS, Operation
from accounts.paging import filters_of
from accounts.permissions import request_scope
from accounts.roles import reaches
from trades.apis.filters import RunFilter, run_of
from trades.ceiling_changes import ceiling_confirm, ceiling_preview
from trades.ceilings import ceiling_list
from trades.errors import CeilingRaised, CeilingRefused
from trades.models import TradingRun
from trades.requests import LONGEST_REASON


class CeilingRow(serializers.Serializer):
    name = serializers.CharField()
    filed = MoneyField(allow_null=True, help_text="the configuration file's; null is none")
    holds = MoneyField(allow_null=True, help_text="the stricter of the file's and of what was set")
    will_hold = MoneyField(allow_null=True, help_text="null where no raise waits")
    at = serializers.DateTimeField(allow_null=True, help_text="when it will")


class CeilingOutput(serializers.Serializer):
    results = CeilingRow(many=True)


class CeilingInput(serializers.Serializer):
    limits = serializers.DictField(
        child=MoneyField(allow_null=True),
        allow_empty=True,
        required=False,
        default=dict,
        help_text="new numbers by name, null for the file's own; left out with a token",
    )
    token = serializers.CharField(
        max_length=20_000, required=False, default="", help_text="of the preview, to confirm it"
    )
    reason = serializers.CharField(max_length=LONGEST_REASON, required=False, default="")


class CeilingChangeRow(serializers.Serializer):
    account = serializers.CharField(
        help_text="whose limit: what is stored holds for every account, each has a row"
    )
    name = serializers.CharField()
    filed = MoneyField(allow_null=True)
    before = MoneyField(allow_null=True)
    after = MoneyField(allow_null=True)
    raises = serializers.BooleanField(help_text="true where it lets more be risked than now")


class CeilingChangeOutput(serializers.Serializer):
    changes = CeilingChangeRow(many=True)
    token = serializers.CharField()
    good_for_s = serializers.IntegerField()
    version = serializers.IntegerField(allow_null=True, help_text="of the settings, once confirmed")
    results = CeilingRow(many=True)


class CeilingApi(Operation):
    """Two steps. Without a token: what would change, and a token (200). With the token and a
    reason it is made (200): a lower ceiling counts from the next event. A higher one, up to the
    file's, needs the scope admin and a login confirmed lately, and counts ten minutes later."""

    def run(self) -> TradingRun:
        run = run_of(filters_of(self.request, RunFilter))
        if run is None:
            raise CeilingRefused("no run is open, its configuration says what the ceilings are")
        return run

    @extend_schema(
        operation_id="ceiling_list",
        parameters=[RunFilter],
        responses={200: CeilingOutput} | READ_PROBLEMS,
    )
    def get(self, request: Request) -> Response:
        return Response(CeilingOutput({"results": ceiling_list(self.run())}).data)

    @extend_schema(
        operation_id="ceiling_change",
        parameters=[IDEMPOTENCY_HEADER, RunFilter],
        request=CeilingInput,
        responses={200: CeilingChangeOutput} | WRITE_PROBLEMS,
    )
    def post(self, request: Request) -> Response:
        given = self.checked(CeilingInput)
        run = self.run()
        if not given["token"]:
            preview = ceiling_preview(run=run, changes=given["limits"], actor=self.actor)
            shown: dict[str, Any] = {"changes": preview.changes, "token": preview.token}
            return self._answer(run, {**shown, "good_for_s": preview.good_for_s, "version": None})
        is_admin = reaches(request_scope(request), Scope.ADMIN)
        try:
            row = ceiling_confirm(
                run=run,
                token=given["token"],
                actor=self.actor,
                reason=given["reason"],
                may_raise=is_admin and is_confirmed(request),
            )
        except CeilingRaised as error:
            if is_admin:
                raise ReauthRequired from error
            raise PermissionDenied(f"{error}, which needs the scope admin") from error
        done: dict[str, Any] = {"changes": [], "token": "", "good_for_s": 0}
        return self._answer(run, {**done, "version": row.version})

    def _answer(self, run: TradingRun, said: dict[str, Any]) -> Response:
        return Response(CeilingChangeOutput({**said, "results": ceiling_list(run)}).data)
