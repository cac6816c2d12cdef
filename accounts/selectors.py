"""Reads of this room."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import QuerySet

from accounts.models import ApiToken, AuditEvent, TotpDevice
from accounts.roles import role_of


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


def audit_actions() -> list[str]:
    """Return every action that stands in the log, sorted."""
    return list(AuditEvent.objects.order_by("action").values_list("action", flat=True).distinct())


@dataclass(frozen=True, slots=True)
class UserRow:
    user: User
    role: str
    is_enrolled: bool


def user_rows() -> list[UserRow]:
    """Return everybody with role and second step, by name."""
    enrolled = set(
        TotpDevice.objects.filter(confirmed_at__isnull=False).values_list("user_id", flat=True)
    )
    people = User.objects.prefetch_related("groups").order_by("username")
    return [UserRow(user, role_of(user), user.pk in enrolled) for user in people]
