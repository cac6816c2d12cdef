"""Logins in browsers: how long each lasts, and ending one from elsewhere (SEC-18)."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import OperationalError, transaction
from django.db.models import QuerySet
from django.dispatch import Signal
from django.http import HttpRequest
from django.utils import timezone

from accounts.audit import audit_record
from accounts.context import call_context
from accounts.locks import brief_wait
from accounts.models import LoginSession
from accounts.services import digest_of

logger = logging.getLogger(__name__)
TOUCH_WAIT_S = 0.2
SEEN_RESOLUTION = timedelta(minutes=1)
# for what loosens: a login or a confirmation this fresh stands for the person (SEC-19)
CONFIRMED_FOR_S = 300
_CONFIRMED = "confirmed_at"
# sent after the commit, in the process of the act: open sockets look again at once (SEC-17)
access_changed = Signal()


def tell_access_changed() -> None:
    transaction.on_commit(lambda: access_changed.send(sender=None))


def session_begin(request: HttpRequest, user: User) -> None:
    """Note a login. Its session's key is new: Django exchanges it at every login."""
    if request.session.session_key is None:
        request.session.create()
    now = timezone.now()
    # a person who logs in again in the same browser keeps the session's key
    LoginSession.objects.update_or_create(
        digest=digest_of(str(request.session.session_key)),
        defaults={
            "user": user,
            "created_at": now,
            "last_seen_at": now,
            "ended_at": None,
            "ip_address": call_context.get().ip_address,
            "browser": request.headers.get("User-Agent", "")[:200],
        },
    )
    session_confirm(request)


def session_confirm(request: HttpRequest) -> None:
    """Note that the person at this session has just shown who it is."""
    request.session[_CONFIRMED] = int(time.time())


def session_is_confirmed(request: Any) -> bool:
    """Return whether the person showed who it is within the last five minutes."""
    at = request.session.get(_CONFIRMED, 0)
    return isinstance(at, int) and 0 <= time.time() - at <= CONFIRMED_FOR_S


def session_row(session_key: str | None) -> LoginSession | None:
    """Return the login of a session, None where it ended, is too old or was idle for too long."""
    if not session_key:
        return None
    now = timezone.now()
    return LoginSession.objects.filter(
        digest=digest_of(session_key),
        ended_at__isnull=True,
        created_at__gt=now - timedelta(seconds=settings.SESSION_COOKIE_AGE),
        last_seen_at__gt=now - timedelta(seconds=settings.SESSION_IDLE_SECONDS),
    ).first()


def session_touch(row: LoginSession) -> None:
    """Note that a person used the session, at most once a minute."""
    now = timezone.now()
    if now - row.last_seen_at <= SEEN_RESOLUTION:
        return
    try:
        with brief_wait(TOUCH_WAIT_S):
            LoginSession.objects.filter(pk=row.pk).update(last_seen_at=now)
    except OperationalError as error:
        # a locked database must not keep anybody from halting (CTL-13)
        logger.warning("use of a session not noted: %s", error)


def session_list(user: User | None = None) -> QuerySet[LoginSession]:
    """Return the logins that still hold, last used first."""
    now = timezone.now()
    rows = LoginSession.objects.select_related("user").filter(
        ended_at__isnull=True,
        created_at__gt=now - timedelta(seconds=settings.SESSION_COOKIE_AGE),
        last_seen_at__gt=now - timedelta(seconds=settings.SESSION_IDLE_SECONDS),
    )
    return rows if user is None else rows.filter(user=user)


def session_end(row: LoginSession, *, actor: str, reason: str = "") -> bool:
    """End one login at once; False where it had ended."""
    with transaction.atomic():
        ended = _ended(LoginSession.objects.filter(pk=row.pk))
        if ended:
            _record(row.user, actor, reason, ended)
    return bool(ended)


def sessions_end_all(user: User, *, actor: str, reason: str, but: str | None = None) -> int:
    """End every login of a person except the one with session key ``but``; returns how many."""
    rows = LoginSession.objects.filter(user=user)
    if but:
        rows = rows.exclude(digest=digest_of(but))
    with transaction.atomic():
        ended = _ended(rows)
        if ended:
            _record(user, actor, reason, ended)
    return ended


def session_rekey(former: str | None, present: str | None) -> None:
    """Follow a session whose key was exchanged without a new login."""
    if former and present:
        rows = LoginSession.objects.filter(digest=digest_of(former))
        rows.update(digest=digest_of(present))


def session_forget(session_key: str | None) -> None:
    """Note a logout; Django removes the session itself."""
    if session_key:
        _ended(LoginSession.objects.filter(digest=digest_of(session_key)))


def _ended(rows: QuerySet[LoginSession]) -> int:
    n_ended = rows.filter(ended_at__isnull=True).update(ended_at=timezone.now())
    if n_ended:
        tell_access_changed()
    return n_ended


def _record(user: User, actor: str, reason: str, ended: int) -> None:
    audit_record(
        actor=actor,
        action="session.end",
        object_type="user",
        object_id=user.get_username(),
        reason=reason,
        after={"sessions_ended": ended},
    )
