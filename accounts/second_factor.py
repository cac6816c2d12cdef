"""The second step of a login: enrolment, codes that work once, recovery codes (SEC-23)."""

from __future__ import annotations

import base64
import secrets
import time
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from accounts import totp
from accounts.audit import audit_record
from accounts.errors import SecondFactorRefused
from accounts.models import RecoveryCode, TotpDevice
from accounts.sealing import InvalidToken, derived
from accounts.services import digest_of
from accounts.throttle import try_claim, try_give_back

RECOVERY_CODES = 10
RECOVERY_BYTES = 10  # 80 bits: a plain hash of it cannot be searched
CODE_TRIES = 10


def is_enrolled(user: Any) -> bool:
    """Return whether this person's login has a second step. Asked once a request."""
    known = getattr(user, "_is_enrolled", None)
    if known is None:
        known = TotpDevice.objects.filter(user_id=user.pk, confirmed_at__isnull=False).exists()
        user._is_enrolled = known
    return bool(known)


def enrolment_start(user: User) -> str:
    """Return a new secret for a person without a second step; an unfinished one is replaced.

    Raises:
        SecondFactorRefused: the second step is on already.
    """
    secret = totp.new_secret()
    with transaction.atomic():
        if TotpDevice.objects.filter(user=user, confirmed_at__isnull=False).exists():
            raise SecondFactorRefused("the second step was on already; switch it off first")
        TotpDevice.objects.update_or_create(
            user=user, defaults={"sealed_secret": _vault().encrypt(secret.encode()).decode()}
        )
    return secret


def enrolment_secret(user: User) -> str | None:
    """Return the secret of an unfinished enrolment, None where there is none."""
    device = TotpDevice.objects.filter(user=user, confirmed_at__isnull=True).first()
    return None if device is None else _opened(device)


def enrolment_finish(user: User, code: str) -> list[str]:
    """Switch the second step on with a first code; return the recovery codes, shown once.

    Raises:
        SecondFactorRefused: nothing was started, or the code was wrong.
    """
    device = TotpDevice.objects.filter(user=user, confirmed_at__isnull=True).first()
    if device is None:
        raise SecondFactorRefused("no enrolment was started")
    if not _code_is_used(device, code):
        raise SecondFactorRefused("the code was wrong; is the phone's clock right?")
    with transaction.atomic():
        TotpDevice.objects.filter(pk=device.pk).update(confirmed_at=timezone.now())
        codes = _codes_renewed(user)
        _record(user, "totp.enrol", str(user.get_username()))
    user._is_enrolled = True  # type: ignore[attr-defined]
    return codes


def recovery_codes_renew(user: User) -> list[str]:
    """Replace the recovery codes; the old ones end."""
    with transaction.atomic():
        codes = _codes_renewed(user)
        _record(user, "totp.recovery_codes", str(user.get_username()))
    return codes


def recovery_codes_left(user: User) -> int:
    return RecoveryCode.objects.filter(user=user, used_at__isnull=True).count()


def second_factor_remove(user: User, *, actor: str, reason: str) -> bool:
    """Switch the second step off; return False where it was off.

    Raises:
        SecondFactorRefused: no reason.
    """
    if not reason.strip():
        raise SecondFactorRefused("reason was empty, switching the second step off needs one")
    with transaction.atomic():
        removed = TotpDevice.objects.filter(user=user).delete()[0]
        RecoveryCode.objects.filter(user=user).delete()
        if removed:
            _record(user, "totp.remove", actor, reason.strip())
    user._is_enrolled = False  # type: ignore[attr-defined]
    return bool(removed)


def code_accept(user: User, code: str) -> bool:
    """Use up a code of the app or a recovery code; False for wrong, used and too many tries.

    Tries are counted before the code is looked at, for the person and not for an address: who
    gets here knows the password.
    """
    key = f"code:{user.pk}"
    if not try_claim(key, CODE_TRIES):
        return False
    accepted = _app_code_accept(user, code) or _recovery_code_accept(user, code)
    if accepted:
        try_give_back(key)
    return accepted


def _app_code_accept(user: User, code: str) -> bool:
    device = TotpDevice.objects.filter(user=user, confirmed_at__isnull=False).first()
    return device is not None and _code_is_used(device, code)


def _code_is_used(device: TotpDevice, code: str) -> bool:
    """Return whether ``code`` was right and not used before; it is used now."""
    secret = _opened(device)
    step = None if secret is None else totp.step_of(secret, code, unix_s=time.time())
    if step is None:
        return False
    # one row must change: the same code twice, also at once, is accepted once
    rows = TotpDevice.objects.filter(pk=device.pk, last_step__lt=step)
    return bool(rows.update(last_step=step))


def _recovery_code_accept(user: User, code: str) -> bool:
    plain = "".join(code.split()).replace("-", "").upper()
    with transaction.atomic():
        used = RecoveryCode.objects.filter(
            user=user, digest=digest_of(plain), used_at__isnull=True
        ).update(used_at=timezone.now())
        if used:
            _record(user, "totp.recovery_used", str(user.get_username()))
    return bool(used)


def _codes_renewed(user: User) -> list[str]:
    codes = [
        base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode()
        for _ in range(RECOVERY_CODES)
    ]
    RecoveryCode.objects.filter(user=user).delete()
    RecoveryCode.objects.bulk_create(
        [RecoveryCode(user=user, digest=digest_of(code)) for code in codes]
    )
    return [totp.in_groups(code) for code in codes]


def _opened(device: TotpDevice) -> str | None:
    """Return the secret, None where the platform's key is another one now: no code fits then."""
    try:
        return _vault().decrypt(device.sealed_secret.encode()).decode()
    except InvalidToken:
        return None


def _vault() -> Any:
    return derived([settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS], "totp")


def _record(user: User, action: str, actor: str, reason: str = "") -> None:
    audit_record(
        actor=actor,
        action=action,
        object_type="user",
        object_id=str(user.get_username()),
        reason=reason,
    )
