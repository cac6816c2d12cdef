"""Every error of the API is a problem document (RFC 9457); none shows a trace (SEC-35)."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import transaction
from django.http import Http404
from django.utils import timezone
from rest_framework import serializers, status
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
    ValidationError,
)
from rest_framework.response import Response
from rest_framework.views import set_rollback

from accounts.audit import audit_record
from accounts.context import call_context
from accounts.errors import Refused
from accounts.models import ApiToken, AuditEvent
from accounts.permissions import actor_of

logger = logging.getLogger(__name__)
DENIED = "permission.denied"
# One row a program, path and hour, and so many paths: what it polls must not fill the chain.
_DENIALS_EVERY = timedelta(hours=1)
_MOST_DENIALS = 100
CONTENT_TYPE = "application/problem+json"
_TITLES = {
    400: "The request was not valid",
    401: "Who is calling is not known",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "No such representation",
    409: "Refused in the present state",
    413: "The body was too large",
    415: "The media type was not JSON",
    429: "Too many requests",
    500: "Something failed on our side",
    501: "Not there yet",
}


class FieldProblem(serializers.Serializer[Any]):
    field = serializers.CharField()
    detail = serializers.CharField()


class ProblemDocument(serializers.Serializer[Any]):
    """RFC 9457, with a machine-readable reason and the errors of single fields."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    reason_code = serializers.CharField()
    request_id = serializers.CharField()
    errors = FieldProblem(many=True, required=False)


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response:
    """Answer any exception of an API view; what nobody foresaw is logged under the request's id."""
    set_rollback()
    error = _translated(exc)
    headers = {}
    if isinstance(error, APIException):
        if challenge := getattr(error, "auth_header", None):
            headers["WWW-Authenticate"] = challenge
        if wait := getattr(error, "wait", None):
            headers["Retry-After"] = str(int(wait))
        _audit_denial(error, context)
        return _answer(
            error.status_code, _code(error), _detail(error), _field_errors(error), headers
        )
    if isinstance(error, Refused):
        return _answer(error.status, error.reason_code, str(error))
    logger.error("api_failed request_id=%s", call_context.get().request_id, exc_info=error)
    return _answer(500, "internal_error", "It was logged under the request id of this answer.")


def _translated(exc: Exception) -> Exception:
    if isinstance(exc, Http404):
        return NotFound()
    if isinstance(exc, DjangoPermissionDenied):
        return PermissionDenied()
    if isinstance(exc, DjangoValidationError):
        return ValidationError(serializers.as_serializer_error(exc))
    return exc


def _answer(
    status_code: int,
    reason_code: str,
    detail: str,
    errors: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    document: dict[str, Any] = {
        "type": f"urn:tradeplatform:problem:{reason_code}",
        "title": _TITLES.get(status_code, "The request failed"),
        "status": status_code,
        "detail": detail,
        "reason_code": reason_code,
        "request_id": call_context.get().request_id,
    }
    if errors:
        document["errors"] = errors
    return Response(document, status=status_code, headers=headers, content_type=CONTENT_TYPE)


def _code(error: APIException) -> str:
    if isinstance(error, ValidationError):
        return "invalid"
    codes = error.get_codes()
    return codes if isinstance(codes, str) else "invalid"


def _detail(error: APIException) -> str:
    if isinstance(error, ValidationError):
        found = _field_errors(error)
        return "; ".join(f"{item['field']}: {item['detail']}" for item in found)
    return str(error.detail)


def _field_errors(error: APIException) -> list[dict[str, str]]:
    return list(_flattened("", error.detail)) if isinstance(error, ValidationError) else []


def _flattened(path: str, detail: Any) -> list[dict[str, str]]:
    if isinstance(detail, dict):
        pairs = [(f"{path}.{key}" if path else str(key), value) for key, value in detail.items()]
        return [item for key, value in pairs for item in _flattened(key, value)]
    if isinstance(detail, list):
        return [item for value in detail for item in _flattened(path, value)]
    return [{"field": path or "body", "detail": str(detail)}]


def _audit_denial(error: APIException, context: dict[str, Any]) -> None:
    """One row for a known caller that asked for more than its role allows (SEC-33)."""
    if error.status_code != status.HTTP_403_FORBIDDEN:
        return
    if isinstance(error, NotAuthenticated | AuthenticationFailed):
        return
    request = context["request"]
    if not getattr(request.user, "is_authenticated", False):
        return
    actor = actor_of(request)
    if isinstance(request.auth, ApiToken) and _denied_lately(actor, request.path):
        return
    with transaction.atomic():
        audit_record(
            actor=actor,
            action=DENIED,
            object_type="route",
            object_id=request.path,
            reason=str(error.detail)[:500],
            after={"method": request.method},
        )


def _denied_lately(actor: str, path: str) -> bool:
    since = timezone.now() - _DENIALS_EVERY
    lately = AuditEvent.objects.filter(actor=actor, action=DENIED, at__gt=since)
    return lately.filter(object_id=path).exists() or lately.count() >= _MOST_DENIALS
