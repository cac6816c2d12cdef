"""Where the keys that sign orders come from: the environment, else the sealed table."""

from __future__ import annotations

import os

from django.core.exceptions import ImproperlyConfigured

from accounts.errors import ExchangeKeyRefused
from accounts.exchange_keys import MASTER, Credentials, exchange_key_get
from tradeplatform import env

_WORDS = ("KEY", "SECRET", "PASSPHRASE")


def master_keys() -> list[str]:
    """Return the master keys, the sealing one first; none where none is set.

    Separated by commas in the variable or in the file it names; a former one stands after the
    present one until ``exchangekeys rotate`` has run.
    """
    try:
        text = env.secret(MASTER, generated_in=None)
    except ImproperlyConfigured:
        return []
    return [part.strip() for part in text.replace("\n", ",").split(",") if part.strip()]


def key_variables(account: str, *, is_apart: bool) -> tuple[str, str, str]:
    """Return the variables of an account's key, secret and passphrase as a person sets them.

    An account beside ``main`` has variables of its own; the unnamed ones are never its own.
    """
    ending = f"__{account.upper().replace('-', '_')}" if is_apart else ""
    key, secret, passphrase = (f"TRADEPLATFORM_EXCHANGE_{word}{ending}" for word in _WORDS)
    return key, secret, passphrase


def exchange_credentials(exchange: str, account: str, *, is_apart: bool = False) -> Credentials:
    """Return what signs orders of one account; empty where there is none, or where
    this process holds no master key.

    Variables that name the account win over the unnamed ones, which serve ``main`` and an only
    account, and over the sealed key. Another account's key is never looked at.

    Raises:
        ExchangeKeyRefused: a sealed key that cannot be opened here.
    """
    for is_named in (True, False) if not is_apart else (True,):
        names = key_variables(account, is_apart=is_named)
        if os.environ.get(names[0], ""):
            return Credentials(*(os.environ.get(name, "") for name in names))
    if not (masters := master_keys()):
        return Credentials("", "")
    found = exchange_key_get(exchange=exchange, account=account, masters=masters)
    return found or Credentials("", "")


__all__ = ["ExchangeKeyRefused", "exchange_credentials", "key_variables", "master_keys"]
