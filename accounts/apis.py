"""Audit log and tokens: administrators only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import Refused
from accounts.lists import ListOperation
from accounts.models import ApiToken, Scope
from accounts.operations import (
    IDEMPOTENCY_HEADER,
    READ_PROBLEMS,
    WRITE_PROBLEMS,
    Operation,
)
from accounts.pages import confirm_person
from accounts.paging import AllowedChoiceField, ListFilters
from accounts.selectors import audit_list, token_get, token_list
from accounts.services import audit_head, audit_verify, token_create, token_revoke
from accounts.sessions import CONFIRMED_FOR_S


class AuditFilters(ListFilters):
    action = serializers.CharField(required=False, max_length=80)
    actor = serializers.CharField(required=False, max_length=120)
    object_type = serializers.CharField(required=False, max_length=60)
    object_id = serializers.CharField(required=False, max_length=120)


class AuditRow(serializers.Serializer):
    seq = serializers.IntegerField()
    at = serializers.DateTimeField()
    actor = serializers.CharField()
    action = serializers.CharField()
    object_type = serializers.CharField()
    object_id = serializers.CharField()
    reason = serializers.CharField()
    before = serializers.JSONField()
    after = serializers.JSONField()
    request_id = serializers.CharField()
    ip_address = serializers.CharField()
    row_hash = serializers.CharField()


class AuditListApi(ListOperation):
    required_scope = Scope.ADMIN
    operation_id = "audit_list"
    filters = AuditFilters
    row = AuditRow
    time_field = "at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return audit_list(
            action=filters.get("action"),
            actor=filters.get("actor"),
            object_type=filters.get("object_type"),
            object_id=filters.get("object_id"),
        )


class AuditVerdict(serializers.Serializer):
    intact = serializers.BooleanField()
    first_broken_seq = serializers.IntegerField(allow_null=True)
    head_seq = serializers.IntegerField()
    head_hash = serializers.CharField()


class AuditVerifyApi(Operation):
    """Walks the whole hash chain."""

    required_scope = Scope.ADMIN

    @extend_schema(operation_id="audit_verify", responses={200: AuditVerdict} | READ_PROBLEMS)
    def get(self, request: Request) -> Response:
        broken, (seq, row_hash) = audit_verify(), audit_head()
        verdict = {
            "intact": broken is None,
            "first_broken_seq": broken,
            "head_seq": seq,
            "head_hash": row_hash,
        }
        return Response(AuditVerdict(verdict).data)


class TokenRow(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    scope = serializers.CharField()
    prefix = serializers.CharField()
    user = serializers.CharField(source="user.username", default=None, allow_null=True)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)


class TokenListOutput(serializers.Serializer):
    results = TokenRow(many=True)


class TokenCreateInput(serializers.Serializer):
    name = serializers.CharField(max_length=80)
    scope = AllowedChoiceField(choices=Scope.choices)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class TokenCreated(TokenRow):
    token = serializers.CharField(help_text="shown once; empty when the call is repeated")


class TokenListCreateApi(Operation):
    required_scope = Scope.ADMIN
    needs_confirmation = True
    secret_fields = ("token",)

    @extend_schema(operation_id="token_list", responses={200: TokenListOutput} | READ_PROBLEMS)
    def get(self, request: Request) -> Response:
        return Response(TokenListOutput({"results": token_list()}).data)

    @extend_schema(
        operation_id="token_create",
        parameters=[IDEMPOTENCY_HEADER],
        request=TokenCreateInput,
        responses={201: TokenCreated} | WRITE_PROBLEMS,
    )
    def post(self, request: Request) -> Response:
        given = self.checked(TokenCreateInput)
        row, token = token_create(
            name=given["name"],
            scope=given["scope"],
            actor=self.actor,
            expires_at=given.get("expires_at"),
        )
        answer: dict[str, Any] = {**TokenRow(row).data, "token": token}
        return Response(answer, status=status.HTTP_201_CREATED)


class TokenRevokeInput(serializers.Serializer):
    reason = serializers.CharField(max_length=500)


class TokenRevokeApi(Operation):
    required_scope = Scope.ADMIN

    @extend_schema(
        operation_id="token_revoke",
        parameters=[IDEMPOTENCY_HEADER],
        request=TokenRevokeInput,
        responses={200: TokenRow} | WRITE_PROBLEMS,
    )
    def post(self, request: Request, token_id: int) -> Response:
        given = self.checked(TokenRevokeInput)
        token = token_get(token_id)
        if token is None:
            raise Http404
        token_revoke(token=token, actor=self.actor, reason=given["reason"])
        token.refresh_from_db()
        return Response(TokenRow(token).data)


class ConfirmInput(serializers.Serializer):
    password = serializers.CharField(max_length=4096, trim_whitespace=False)
    code = serializers.CharField(
        max_length=64, required=False, default="", allow_blank=True, help_text="second step"
    )


class Confirmed(serializers.Serializer):
    confirmed_for_seconds = serializers.IntegerField()


class NotConfirmed(Refused):
    status = 403
    reason_code = "not_confirmed"


class SessionConfirmApi(Operation):
    """Show again who sits at a session; for five minutes it may then do what loosens (SEC-19)."""

    required_scope = Scope.READ

    @extend_schema(
        operation_id="session_confirm",
        request=ConfirmInput,
        responses={200: Confirmed} | WRITE_PROBLEMS,
    )
    def post(self, request: Request) -> Response:
        if isinstance(request.auth, ApiToken):
            raise NotConfirmed("a token was given, only a session is confirmed")
        given = self.checked(ConfirmInput)
        if not confirm_person(request, given["password"], code=given["code"]):
            raise NotConfirmed("the password or the code was wrong")
        return Response(Confirmed({"confirmed_for_seconds": CONFIRMED_FOR_S}).data)
