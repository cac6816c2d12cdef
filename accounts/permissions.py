"""Who may do what: reading needs ``read``, changing needs ``operate``, or what the view says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from accounts.models import ApiToken, Scope
from accounts.roles import reaches, token_scope, user_scope

if TYPE_CHECKING:
    # the views module reads these permission classes while it is being imported
    from rest_framework.views import APIView


def request_scope(request: Request) -> Scope | None:
    """Return how far this caller reaches; None for a stranger or a user without a role."""
    if isinstance(request.auth, ApiToken):
        return token_scope(request.auth)
    return user_scope(request.user)


def actor_of(request: Any) -> str:
    """Return the name that stands in the audit log for this caller."""
    token = getattr(request, "auth", None)
    if isinstance(token, ApiToken) and token.user is not None:
        return f"{token.user.get_username()} (token:{token.name})"
    if isinstance(token, ApiToken):
        return f"token:{token.name}"
    return str(request.user.get_username())


class ScopePermission(BasePermission):
    """A view may set ``required_scope``; it counts for reading as well."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        by_method = Scope.READ if request.method in SAFE_METHODS else Scope.OPERATE
        required = getattr(view, "required_scope", None) or by_method
        return reaches(request_scope(request), required)
