"""What administrators and the command line change of people: roles, access, lost passwords."""

from __future__ import annotations

from axes.utils import reset as axes_reset
from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.db import transaction

from accounts.audit import audit_record
from accounts.backends import login_prefix
from accounts.errors import UserRefused
from accounts.roles import ROLES, role_of
from accounts.sessions import sessions_end_all
from accounts.throttle import tries_forget


def user_set_role(*, user: User, role: str, actor: str, reason: str) -> bool:
    """Give a person exactly one role, or none; False where nothing would change.

    Raises:
        UserRefused: no such role, no reason, or nobody would be left as administrator.
    """
    _needs_reason(reason)
    if role and role not in ROLES:
        raise UserRefused(f"role was {role!r}, allowed: {', '.join(ROLES)} or none")
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        before = role_of(user)
        if before == role:
            return False
        if before == "admin":
            _refuse_last(user)
        user.groups.remove(*Group.objects.filter(name__in=ROLES))
        if role:
            user.groups.add(Group.objects.get(name=role))
        user.is_staff = user.is_superuser = role == "admin"
        user.save(update_fields=["is_staff", "is_superuser"])
        _record(user, "user.set_role", actor, reason, {"role": before}, {"role": role})
        sessions_end_all(user, actor=actor, reason="another role")
    return True


def user_set_active(*, user: User, is_active: bool, actor: str, reason: str) -> bool:
    """Let a person in or keep them out; whoever is kept out is logged out at once.

    Raises:
        UserRefused: no reason, or nobody would be left as administrator.
    """
    _needs_reason(reason)
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        if user.is_active == is_active:
            return False
        if not is_active and role_of(user) == "admin":
            _refuse_last(user)
        user.is_active = is_active
        user.save(update_fields=["is_active"])
        verb = "user.activate" if is_active else "user.deactivate"
        _record(user, verb, actor, reason, {"is_active": not is_active}, {"is_active": is_active})
        if not is_active:
            sessions_end_all(user, actor=actor, reason="kept out")
    return True


def password_set(
    *, user: User, password: str, actor: str, reason: str, keep: str | None = None
) -> None:
    """Set a password and end the person's other logins (all but the session key ``keep``).

    Raises:
        ValidationError: the password does not pass the configured checks.
        UserRefused: no reason.
    """
    _needs_reason(reason)
    validate_password(password, user)
    with transaction.atomic():
        user.set_password(password)
        user.save(update_fields=["password"])
        _record(user, "user.set_password", actor, reason, None, None)
        sessions_end_all(user, actor=actor, reason="another password", but=keep)


def locks_lift(user: User) -> None:
    """Forget the wrong tries of a person who has just been let in anew."""
    tries_forget(login_prefix(user.get_username()))
    tries_forget(f"code:{user.pk}")
    axes_reset(username=user.get_username())


def _needs_reason(reason: str) -> None:
    if not reason.strip():
        raise UserRefused("reason was empty, a change of access needs one")


def _refuse_last(user: User) -> None:
    others = User.objects.filter(is_active=True, is_superuser=True).exclude(pk=user.pk)
    if not others.exists():
        raise UserRefused(f"{user.get_username()} was the only administrator; name another first")


def _record(
    user: User,
    action: str,
    actor: str,
    reason: str,
    before: dict[str, object] | None,
    after: dict[str, object] | None,
) -> None:
    audit_record(
        actor=actor,
        action=action,
        object_type="user",
        object_id=user.get_username(),
        reason=reason.strip(),
        before=before,
        after=after,
    )
