"""What Django tells of logins, written to the audit log (SEC-33)."""

from __future__ import annotations

from typing import Any

from axes.signals import user_locked_out
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction

from accounts.services import audit_record, roles_ensure
from accounts.sessions import session_begin, session_forget


def connect() -> None:
    """Listen to Django's login signals: nobody else hears of the admin's login page."""
    user_logged_in.connect(_logged_in, dispatch_uid="audit_login")
    user_logged_out.connect(_logged_out, dispatch_uid="audit_logout")
    user_login_failed.connect(_failed, dispatch_uid="audit_login_failed")
    user_locked_out.connect(_locked, dispatch_uid="audit_login_locked")


def roles_after_migrate(**kwargs: Any) -> None:
    roles_ensure()


def _logged_in(sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
    session_begin(request, user)
    _record(user.get_username(), "login.succeeded")


def _logged_out(sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
    if user is not None:
        session_forget(request.session.session_key)
        _record(user.get_username(), "login.ended")


def _failed(sender: Any, credentials: dict[str, Any], **kwargs: Any) -> None:
    _record(str(credentials.get("username", "")), "login.failed")


def _locked(sender: Any, username: str | None = None, **kwargs: Any) -> None:
    _record(username or "", "login.locked")


def _record(username: str, action: str) -> None:
    # a name may be a password typed into the wrong box: keep only so much of it
    with transaction.atomic():
        audit_record(
            actor=username[:40], action=action, object_type="user", object_id=username[:40]
        )
