"""Roles and scopes: one order, read < operate < admin. No role means no access."""

from __future__ import annotations

from typing import Any

from accounts.models import ApiToken, Scope

ROLES: dict[str, Scope] = {
    "viewer": Scope.READ,
    "operator": Scope.OPERATE,
    "admin": Scope.ADMIN,
}
_RANK = {Scope.READ: 1, Scope.OPERATE: 2, Scope.ADMIN: 3}


def user_scope(user: Any) -> Scope | None:
    """Return how far a logged-in user's roles reach; None where there is no role."""
    if user is None or not user.is_authenticated or not user.is_active:
        return None
    if user.is_superuser:
        return Scope.ADMIN
    # kept on the user, which lives for one request: each check would ask the database again
    known = getattr(user, "_scope_of_roles", None)
    if known is None:
        held = [ROLES[name] for name in user.groups.values_list("name", flat=True) if name in ROLES]
        known = (max(held, key=_RANK.__getitem__) if held else None,)
        user._scope_of_roles = known
    scope: Scope | None = known[0]
    return scope


def role_of(user: Any) -> str:
    """Return the name of the role a person holds, the furthest where several; empty for none."""
    scope = user_scope(user)
    return next((role for role, reach in ROLES.items() if reach == scope), "")


def token_scope(token: ApiToken) -> Scope | None:
    """Return a token's reach: its scope, and never more than its user's."""
    own = Scope(token.scope)
    if token.user_id is None:
        return own
    of_user = user_scope(token.user)
    return None if of_user is None else min(own, of_user, key=_RANK.__getitem__)


def reaches(scope: Scope | None, required: Scope | str) -> bool:
    """Return whether ``scope`` allows what needs ``required``; no scope allows nothing."""
    return scope is not None and _RANK[scope] >= _RANK[Scope(required)]
