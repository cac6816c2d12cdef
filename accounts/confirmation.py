"""For what loosens: a session must have shown lately who sits at it (SEC-19).

A token has no password to ask for; that it was made by a confirmed person is its confirmation.
"""

from __future__ import annotations

from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from accounts.models import ApiToken
from accounts.sessions import session_is_confirmed


class ReauthRequired(PermissionDenied):
    """Answered with 403 and ``reauth_required``: post to ``session/confirm``, then ask again."""

    default_detail = "The login was too long ago: confirm it at session/confirm, then ask again."
    default_code = "reauth_required"


def is_confirmed(request: Request) -> bool:
    """Return whether this caller may loosen now; its scope is judged elsewhere."""
    if isinstance(request.auth, ApiToken):
        return True
    return session_is_confirmed(request)


def require_confirmed(request: Request) -> None:
    """Raises:
    ReauthRequired: a session whose person showed nothing for five minutes.
    """
    if not is_confirmed(request):
        raise ReauthRequired
