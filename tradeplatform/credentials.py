"""Where the keys that sign orders come from: the environment, else the sealed table."""

from __future__ import annotations

import os

from django.core.exceptions import ImproperlyConfigured

from accounts.errors import ExchangeKeyRefused
from accounts.exchange_keys import MASTER, Credentials, exchange_key_get
from tradeplatform import env


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


def exchange_credentials(exchange: str, account: str) -> Credentials:
    """Return what signs orders of one account; empty where there is none, or where
    this process holds no master key.

    Raises:
        ExchangeKeyRefused: a sealed key that cannot be opened here.
    """
    if key := os.environ.get("TRADEPLATFORM_EXCHANGE_KEY", ""):
        return Credentials(
            key,
            os.environ.get("TRADEPLATFORM_EXCHANGE_SECRET", ""),
            os.environ.get("TRADEPLATFORM_EXCHANGE_PASSPHRASE", ""),
        )
    if not (masters := master_keys()):
        return Credentials("", "")
    found = exchange_key_get(exchange=exchange, account=account, masters=masters)
    return found or Credentials("", "")


__all__ = ["ExchangeKeyRefused", "exchange_credentials", "master_keys"]
