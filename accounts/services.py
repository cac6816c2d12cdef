"""Writes of this room: audit, tokens, roles, the one-time link, idempotency keys."""

from __future__ import annotations

import hashlib
import logging
import secrets
from datetime import datetime, timedelta

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.audit import audit_head, audit_record, audit_verify
from accounts.errors import LoginLinkRefused, TokenRefused
from accounts.models import ApiToken, IdempotencyKey, LoginLink, Scope
from accounts.roles import ROLES

__all__ = [
    "audit_head",
    "audit_record",
    "audit_verify",
    "idempotency_prune",
    "login_link_create",
    "login_link_use",
    "roles_ensure",
    "token_create",
    "token_revoke",
    "token_touch",
    "user_create",
]

logger = logging.getLogger(__name__)
TOKEN_PREFIX = "tp_"  # noqa: S105 a marker that secret scanners can find, not a secret
TOKEN_BYTES = 24  # 192 bits of randomness
LAST_USE_RESOLUTION = timedelta(minutes=1)
LOGIN_LINK_LIFETIME = timedelta(hours=24)
IDEMPOTENCY_LIFETIME = timedelta(days=7)


def digest_of(secret: str) -> str:
    """Return the SHA-256 under which a random secret is stored and found again (SEC-26)."""
    return hashlib.sha256(secret.encode()).hexdigest()


def token_create(
    *,
    name: str,
    scope: str,
    actor: str,
    user: User | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiToken, str]:
    """Make a bearer token; return its row and the token itself, which is not kept.

    A token of a user never reaches further than that user's role at the time of use.

    Raises:
        TokenRefused: an unknown scope, an empty name, or an expiry in the past.
    """
    now = timezone.now()
    if scope not in Scope.values:
        raise TokenRefused(f"scope was {scope!r}, allowed: {', '.join(Scope.values)}")
    if not name.strip() or len(name) > 80:
        raise TokenRefused(f"name had {len(name.strip())} characters, allowed: 1 to 80")
    if expires_at is not None and expires_at <= now:
        raise TokenRefused(f"expiry was {expires_at:%Y-%m-%d %H:%M} UTC, which has passed")
    token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    with transaction.atomic():
        row = ApiToken.objects.create(
            name=name.strip(),
            user=user,
            scope=scope,
            prefix=token[:9],
            digest=digest_of(token),
            created_at=now,
            expires_at=expires_at,
        )
        audit_record(
            actor=actor,
            action="token.create",
            object_type="token",
            object_id=str(row.pk),
            after={
                "name": row.name,
                "scope": scope,
                "prefix": row.prefix,
                "expires_at": expires_at,
            },
        )
    return row, token


def token_revoke(*, token: ApiToken, actor: str, reason: str = "") -> bool:
    """End a token at once; return False where it had been revoked before."""
    with transaction.atomic():
        changed = ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(
            revoked_at=timezone.now()
        )
        if changed:
            audit_record(
                actor=actor,
                action="token.revoke",
                object_type="token",
                object_id=str(token.pk),
                reason=reason,
                before={"name": token.name, "scope": token.scope},
            )
    return bool(changed)


def token_touch(token: ApiToken) -> None:
    """Note the token's use, at most once a minute: reads must not become writes."""
    now = timezone.now()
    stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - LAST_USE_RESOLUTION)
    if token.last_used_at is None or now - token.last_used_at > LAST_USE_RESOLUTION:
        try:
            ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
        except OperationalError as error:
            # a locked database must not keep its owner from halting (CTL-13)
            logger.warning("use of token id=%s not noted: %s", token.pk, error)


def roles_ensure() -> None:
    """Make the groups of the three roles; safe to repeat."""
    for role in ROLES:
        Group.objects.get_or_create(name=role)


def user_create(*, username: str, password: str, role: str, actor: str) -> User:
    """Make a user with one role; an admin may use the admin pages.

    Raises:
        ValidationError: the name or the password does not pass the configured checks.
    """
    model = get_user_model()
    user = model(username=username, is_staff=role == "admin", is_superuser=role == "admin")
    user.full_clean(exclude=["password"])
    validate_password(password, user)
    user.set_password(password)
    with transaction.atomic():
        user.save(force_insert=True)
        user.groups.add(Group.objects.get(name=role))
        audit_record(
            actor=actor,
            action="user.create",
            object_type="user",
            object_id=username,
            after={"role": role},
        )
    return user


def login_link_create() -> str:
    """Make the one-time link that lets its holder become the administrator (D-39).

    Older unused links end: only the newest one printed works.
    """
    token, now = secrets.token_urlsafe(TOKEN_BYTES), timezone.now()
    with transaction.atomic():
        LoginLink.objects.filter(used_at__isnull=True, expires_at__gt=now).update(expires_at=now)
        LoginLink.objects.create(
            digest=digest_of(token), created_at=now, expires_at=now + LOGIN_LINK_LIFETIME
        )
        audit_record(actor="system", action="login_link.create", object_type="login_link")
    return token


def login_link_is_valid(token: str) -> bool:
    """Return whether the link could still be used; does not use it."""
    return LoginLink.objects.filter(
        digest=digest_of(token), used_at__isnull=True, expires_at__gt=timezone.now()
    ).exists()


def login_link_use(token: str, username: str, password: str) -> User:
    """Use the link once: make an administrator of that name and password.

    A weak password or a taken name leaves the link unused, so the person may try again.

    Raises:
        LoginLinkRefused: the link was unknown, used or expired, or the name or password was
            not accepted; the message says which.
    """
    now = timezone.now()
    try:
        with transaction.atomic():
            # a conditional update that must change one row: two parallel uses make one user
            changed = LoginLink.objects.filter(
                digest=digest_of(token), used_at__isnull=True, expires_at__gt=now
            ).update(used_at=now)
            if changed != 1:
                raise LoginLinkRefused("the link was unknown, used before or too old")
            return user_create(
                username=username, password=password, role="admin", actor="one-time link"
            )
    except ValidationError as error:
        raise LoginLinkRefused(" ".join(error.messages), reason_code="not_accepted") from error
    except IntegrityError as error:
        raise LoginLinkRefused(
            f"the name was {username!r}, which is taken", reason_code="not_accepted"
        ) from error


def idempotency_prune(now: datetime, *, dry_run: bool = False) -> int:
    """Forget answers older than a week; returns how many, also where it only looks."""
    old = IdempotencyKey.objects.filter(created_at__lt=now - IDEMPOTENCY_LIFETIME)
    return old.count() if dry_run else old.delete()[0]
