"""Who is at the other end of a socket, and may they still read? (SEC-15, SEC-17)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest
from rest_framework.exceptions import AuthenticationFailed, Throttled

from accounts.authentication import TokenAuthentication
from accounts.models import Scope
from accounts.roles import reaches, token_scope, user_scope
from accounts.sessions import session_row


class UnknownCaller(Exception):
    """No login, or one that ended."""


class CallerWithoutRole(Exception):
    """Known, and not allowed to read."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a handshake brought along. A bearer token wins over a cookie: a browser cannot send
    one with a socket, so it also needs no origin."""

    authorization: str = ""
    session_key: str = ""

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> Credentials:
        for name, value in scope.get("headers", []):
            if name.lower() == b"authorization":
                return cls(authorization=value.decode("latin-1"))
        session = scope.get("session")
        return cls(session_key=(session.session_key if session is not None else "") or "")


def caller_name(credentials: Credentials) -> str:
    """Return a name for the caller, the same for each socket of a user or token.

    Reads everything anew, so asking again tells whether the caller may still read.

    Raises:
        UnknownCaller: no login, an ended session, an unknown or revoked token.
        CallerWithoutRole: neither a role nor a scope that allows reading.
    """
    request = HttpRequest()
    if credentials.authorization:
        name, scope = _by_token(request, credentials.authorization)
    else:
        name, scope = _by_session(request, credentials.session_key)
    if not reaches(scope, Scope.READ):
        raise CallerWithoutRole(name)
    return name


def _by_token(request: HttpRequest, authorization: str) -> tuple[str, Scope | None]:
    request.META["HTTP_AUTHORIZATION"] = authorization
    try:
        found = TokenAuthentication().authenticate(request)
    except (AuthenticationFailed, Throttled) as error:
        raise UnknownCaller(str(error)) from error
    if found is None:
        raise UnknownCaller("the Authorization header was not 'Bearer TOKEN'")
    _, token = found
    return f"token {token.pk}", token_scope(token)


def _by_session(request: HttpRequest, session_key: str) -> tuple[str, Scope | None]:
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key or None)
    user = get_user(request)
    if not user.is_authenticated or not user.is_active:
        raise UnknownCaller("no session of an active user")
    if session_row(session_key) is None:
        raise UnknownCaller("the login was ended, too old or idle for too long")
    return f"user {user.pk}", user_scope(user)
