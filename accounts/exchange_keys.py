"""Exchange keys that are kept in the database: sealed, and never given back (SEC-28, SEC-29).

The master keys come from the environment of the processes that trade, and from nowhere else: the
web process can tell which account has a key and its last four characters, and cannot read it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.utils import timezone

from accounts.audit import audit_record
from accounts.errors import ExchangeKeyRefused
from accounts.models import ExchangeKey
from accounts.sealing import InvalidToken, vault

MASTER = "TRADEPLATFORM_MASTER_KEY"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What signs orders. Its text shows the account's last four characters and nothing else."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    passphrase: str = field(default="", repr=False)


def exchange_key_set(
    *,
    exchange: str,
    account: str,
    credentials: Credentials,
    masters: Sequence[str],
    actor: str,
) -> ExchangeKey:
    """Keep the key of one account, sealed with the first master key; an older one is replaced.

    Raises:
        ExchangeKeyRefused: an empty name, key or secret, no usable master key, or a key that is
            kept for another account of the exchange.
    """
    for name, value in (("exchange", exchange), ("account", account)):
        if not value.strip() or len(value) > 40:
            raise ExchangeKeyRefused(f"{name} had {len(value.strip())} characters, allowed: 1-40")
    if len(credentials.key) < 8 or not credentials.secret:
        raise ExchangeKeyRefused("key or secret was missing, both are needed")
    with transaction.atomic():
        _refuse_shared(exchange, account, credentials.key, masters)
        row, _ = ExchangeKey.objects.update_or_create(
            exchange=exchange,
            account=account,
            defaults={
                "sealed": _sealed(credentials, masters),
                "last4": credentials.key[-4:],
                "created_at": timezone.now(),
                "created_by": actor[:120],
            },
        )
        _record("exchange_key.set", row, actor)
    return row


def exchange_key_remove(*, exchange: str, account: str, actor: str) -> bool:
    """Forget a key; False where there was none. The exchange goes on accepting it until ended."""
    row = ExchangeKey.objects.filter(exchange=exchange, account=account).first()
    if row is None:
        return False
    with transaction.atomic():
        _record("exchange_key.remove", row, actor)
        row.delete()
    return True


def exchange_keys_rotate(*, masters: Sequence[str], actor: str) -> int:
    """Seal every key anew with the first master key; returns how many.

    Afterwards the former master keys open nothing here and may be taken from the environment.

    Raises:
        ExchangeKeyRefused: a row that no master key opens; nothing is changed then.
    """
    with transaction.atomic():
        rows = list(ExchangeKey.objects.select_for_update())
        for row in rows:
            row.sealed = _sealed(_opened(row, masters), masters)
            row.save(update_fields=["sealed"])
        audit_record(
            actor=actor,
            action="exchange_key.rotate",
            object_type="exchange_key",
            after={"keys": len(rows)},
        )
    return len(rows)


def exchange_key_get(*, exchange: str, account: str, masters: Sequence[str]) -> Credentials | None:
    """Return an account's credentials, None where no key is kept for it.

    Raises:
        ExchangeKeyRefused: no master key, or none that opens the row.
    """
    row = ExchangeKey.objects.filter(exchange=exchange, account=account).first()
    return None if row is None else _opened(row, masters)


def _refuse_shared(exchange: str, account: str, key: str, masters: Sequence[str]) -> None:
    """Two accounts with one key would see each other's orders as made by hand."""
    alike = ExchangeKey.objects.filter(exchange=exchange, last4=key[-4:]).exclude(account=account)
    for row in alike:
        if _opened(row, masters).key == key:
            raise ExchangeKeyRefused(
                f"the key is kept for account {row.account} of {exchange} already,"
                " allowed: a key of its own for each account"
            )


def _sealed(credentials: Credentials, masters: Sequence[str]) -> str:
    plain = json.dumps([credentials.key, credentials.secret, credentials.passphrase])
    try:
        return vault(masters).encrypt(plain.encode()).decode()
    except ValueError:
        # the error's own text, and its cause, would quote the key
        raise ExchangeKeyRefused(_unusable(masters)) from None


def _opened(row: ExchangeKey, masters: Sequence[str]) -> Credentials:
    try:
        plain = vault(masters).decrypt(row.sealed.encode())
    except ValueError:
        raise ExchangeKeyRefused(_unusable(masters)) from None
    except InvalidToken:
        raise ExchangeKeyRefused(
            f"the key of {row.exchange} {row.account} was sealed with another {MASTER}"
        ) from None
    return Credentials(*json.loads(plain))


def _unusable(masters: Sequence[str]) -> str:
    if not masters:
        return f"{MASTER} is not set; manage.py exchangekeys newmaster prints one"
    return f"{MASTER} was not usable, allowed: what manage.py exchangekeys newmaster prints"


def _record(action: str, row: ExchangeKey, actor: str) -> None:
    audit_record(
        actor=actor,
        action=action,
        object_type="exchange_key",
        object_id=f"{row.exchange} {row.account}",
        after={"last4": row.last4},
    )
