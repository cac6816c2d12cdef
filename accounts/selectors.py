"""Reads of this room."""

from __future__ import annotations

from django.db.models import QuerySet

from accounts.models import ApiToken, AuditEvent


def audit_list(
    *,
    action: str | None = None,
    actor: str | None = None,
    object_type: str | None = None,
    object_id: str | None = None,
) -> QuerySet[AuditEvent]:
    wanted = {
        "action": action,
        "actor": actor,
        "object_type": object_type,
        "object_id": object_id,
    }
    return AuditEvent.objects.filter(**{k: v for k, v in wanted.items() if v is not None})


def token_list() -> QuerySet[ApiToken]:
    return ApiToken.objects.select_related("user").order_by("-created_at", "-id")


def token_get(token_id: int) -> ApiToken | None:
    return ApiToken.objects.select_related("user").filter(pk=token_id).first()
