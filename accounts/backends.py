"""Counts each try of a password before it is looked at (SEC-20, SEC-21)."""

from __future__ import annotations

import hashlib
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from accounts.context import call_context
from accounts.throttle import try_claim, try_give_back


class CountedTries:
    """Stands before Django's own check and stops it where a name's tries from here are used up.

    axes counts too, and shows the lock, but after the check: parallel tries would all pass it.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> None:
        if username is None or password is None:
            return
        if not try_claim(_login_key(username), settings.AXES_FAILURE_LIMIT):
            if request is not None:
                # axes' middleware answers such a request with its page and 429
                request.axes_locked_out = True  # type: ignore[attr-defined]
            raise PermissionDenied("too many tries")


def login_succeeded(username: str) -> None:
    """Uncount the try that was right; the wrong ones before it go on counting."""
    try_give_back(_login_key(username))


def login_prefix(username: str) -> str:
    """Return what every key of one name begins with; names may be mistyped passwords."""
    return f"login:{hashlib.sha256(username.encode()).hexdigest()[:32]}:"


def _login_key(username: str) -> str:
    return f"{login_prefix(username)}{call_context.get().ip_address}"
