"""Who may read through freqtrade's addresses: a token of scope ``read``, and nothing else (D-37).

freqtrade's programs know a user name and a password, and then carry what the log-in gave them.
The password here is a token; the user name is theirs to choose and is not looked at. What the
log-in gives is signed, opaque, and worth nothing once the token is revoked.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from django.core import signing
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from accounts.authentication import TokenPrincipal, token_accepted, token_is_usable
from accounts.models import ApiToken, Scope
from accounts.selectors import token_get

ACCESS_S = 15 * 60
REFRESH_S = 30 * 86_400
_KINDS = {"access": ACCESS_S, "refresh": REFRESH_S}


def pass_issue(token: ApiToken, kind: str) -> str:
    """Return a signed pass of ``kind`` (access or refresh) that stands for a token."""
    return signing.dumps({"token": token.pk}, salt=_salt(kind), compress=False)


def pass_accepted(text: str, kind: str) -> ApiToken:
    """Return the token a pass stands for.

    Raises:
        AuthenticationFailed: not ours, of the other kind, too old, or its token has ended.
    """
    try:
        content = signing.loads(text, salt=_salt(kind), max_age=_KINDS[kind])
    except signing.BadSignature as error:
        raise AuthenticationFailed("The pass was not accepted; log in again.") from error
    token = token_get(content["token"])
    if token is None or not token_is_usable(token):
        raise AuthenticationFailed("The pass was not accepted; log in again.")
    return token


def _bearer_of(request: Request) -> str:
    """Return what follows ``Bearer`` in the Authorization header, empty where nothing does."""
    kind, _, value = _header(request).partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def _password_of(request: Request) -> str:
    """Return the password of a Basic header, empty where there is none.

    Raises:
        AuthenticationFailed: a Basic header that is not base64 of ``user:password``.
    """
    kind, _, value = _header(request).partition(" ")
    if kind.lower() != "basic":
        return ""
    try:
        _, colon, password = base64.b64decode(value, validate=True).decode("ascii").partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise AuthenticationFailed("The Basic header was not base64 of user:token.") from error
    if not colon:
        raise AuthenticationFailed("The Basic header was not base64 of user:token.")
    return password


class _Reader(BaseAuthentication):
    """Finds the token of a call; one that reaches further than reading is refused."""

    def token_of(self, request: Request) -> ApiToken | None:
        raise NotImplementedError

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        token = self.token_of(request)
        if token is None:
            return None
        if token.scope != Scope.READ:
            # it must not lie in a program that only reads
            raise PermissionDenied(f"The token's scope was {token.scope}, allowed here: read.")
        return token.user or TokenPrincipal(f"token:{token.name}"), token

    def authenticate_header(self, request: Request) -> str:
        # not Basic: a browser would open its own window over the page that asks
        return 'Bearer realm="freqtrade"'


class PasswordAuthentication(_Reader):
    """Basic: any user name, a token as the password."""

    def token_of(self, request: Request) -> ApiToken | None:
        secret = _password_of(request)
        return token_accepted(secret) if secret else None


class RefreshAuthentication(_Reader):
    """Bearer with the pass that only gives new ones."""

    def token_of(self, request: Request) -> ApiToken | None:
        text = _bearer_of(request)
        return pass_accepted(text, "refresh") if text else None


class AccessAuthentication(_Reader):
    """Bearer with the pass of a log-in."""

    def token_of(self, request: Request) -> ApiToken | None:
        text = _bearer_of(request)
        return pass_accepted(text, "access") if text else None


def _salt(kind: str) -> str:
    return f"tradeplatform.compat.{kind}"


def _header(request: Request) -> str:
    return get_authorization_header(request).decode("latin-1")
