"""Bearer tokens: only in the Authorization header, never in a URL (SEC-27)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from accounts.context import call_context
from accounts.models import ApiToken
from accounts.services import digest_of, token_touch
from accounts.throttle import WINDOW, try_claim

# from one address in a quarter of an hour; a good token is never counted, so that a script with
# a bad one cannot keep out the one that halts (192 random bits are not guessed anyway)
WRONG_TOKENS = 50


@dataclass(frozen=True, slots=True)
class TokenPrincipal:
    """A caller that is a token without a user (a script); it has no pages and no password."""

    username: str
    pk: None = None
    is_authenticated: bool = True
    is_anonymous: bool = False
    is_active: bool = True
    is_staff: bool = False
    is_superuser: bool = False


class TokenAuthentication(BaseAuthentication):
    """``Authorization: Bearer TOKEN``. One answer for unknown, expired and revoked tokens."""

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() != b"bearer":
            return None
        if len(parts) != 2 or not parts[1].isascii():
            raise AuthenticationFailed("The Authorization header was not 'Bearer TOKEN'.")
        token = token_accepted(parts[1].decode("ascii"))
        return token.user or TokenPrincipal(f"token:{token.name}"), token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


def token_accepted(secret: str) -> ApiToken:
    """Return the usable token of this secret and note its use.

    Raises:
        AuthenticationFailed: unknown, expired, revoked, or its user may not log in any more.
        Throttled: too many that were not accepted came from this address.
    """
    token = ApiToken.objects.select_related("user").filter(digest=digest_of(secret)).first()
    if token is None or not token_is_usable(token):
        if not try_claim(f"token:{call_context.get().ip_address}", WRONG_TOKENS):
            raise Throttled(WINDOW.total_seconds(), "Too many tokens were not accepted.")
        raise AuthenticationFailed("The token was not accepted.")
    token_touch(token)
    return token


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the token stands in the OpenAPI document."""

    target_class = "accounts.authentication.TokenAuthentication"
    name = "bearerToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


def token_is_usable(token: ApiToken) -> bool:
    """Return whether a stored token still lets its owner in."""
    if token.revoked_at is not None or (token.user is not None and not token.user.is_active):
        return False
    return token.expires_at is None or token.expires_at > timezone.now()
