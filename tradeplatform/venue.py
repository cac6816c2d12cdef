"""The configured venue: its client, its name in the rows, and its request budget."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings

from accounts.exchange_keys import Credentials
from market.ccxt_client import build_client
from market.rate_budget import PRACTICE_LIMITS, Budget, SharedBudget
from market.venues import venue_of
from tradeplatform.configuration import PRACTICE, Configuration
from tradeplatform.configuration_accounts import MAIN
from tradeplatform.credentials import (
    ExchangeKeyRefused,
    exchange_credentials,
    key_variables,
)
from tradeplatform.timed_budget import TimedBudget
from trades.errors import RunRefused

PRACTICE_PROTOCOL = "binance"


def venue_client(config: Configuration) -> Any:
    """Return the unmodified ccxt client of the configured exchange; only URLs and keys are set.

    Raises:
        RunRefused: the practice exchange is configured and its address is not set.
        DataError: a sandbox is configured and the venue has none.
    """
    try:
        found = credentials_of(config)
    except ExchangeKeyRefused as error:
        raise RunRefused(str(error)) from error
    credentials: dict[str, Any] = {
        "key": found.key,
        "secret": found.secret,
        "passphrase": found.passphrase,
    }
    timeout_s = config.exchange.request_timeout_seconds
    if config.exchange.id != PRACTICE:
        return build_client(
            config.exchange.id,
            sandbox=config.exchange.sandbox,
            timeout_s=timeout_s,
            **credentials,
        )
    if not settings.PRACTICE_URL:
        raise RunRefused(
            "TRADEPLATFORM_PRACTICE_URL is not set; `make run` starts the practice exchange"
            " and sets it"
        )
    return build_client(
        PRACTICE_PROTOCOL, practice_url=settings.PRACTICE_URL, timeout_s=timeout_s, **credentials
    )


def credentials_of(config: Configuration) -> Credentials:
    """Return what signs orders of the configured account.

    Raises:
        ExchangeKeyRefused: a sealed key that cannot be opened here.
    """
    exchange = config.exchange
    return exchange_credentials(exchange.id, exchange.account, is_apart=config.is_apart)


def key_name(config: Configuration) -> str:
    """Return the variable of the account's key, as what is said of it names it."""
    return key_variables(config.exchange.account, is_apart=config.is_apart)[0]


def venue_code(config: Configuration) -> str:
    """Return the name rows use: the exchange, its sandbox, or the practice exchange's market."""
    if config.exchange.id != PRACTICE:
        return f"{config.exchange.id}-sandbox" if config.exchange.sandbox else config.exchange.id
    market = os.environ.get("TRADEPLATFORM_PRACTICE_MARKET", "")
    return f"{PRACTICE}-{market}" if market else PRACTICE


def venue_budget(config: Configuration) -> Budget:
    """Return the request budget that every process and every account at this venue shares: a venue
    counts what comes from one address, and its ban hits all that trades from there (I-22)."""
    is_practice = config.exchange.id == PRACTICE
    limits = PRACTICE_LIMITS if is_practice else venue_of(config.exchange.id).limits
    whose = MAIN if config.is_apart else config.exchange.account
    scope = f"{venue_code(config)}:{whose}"
    return TimedBudget(SharedBudget(settings.REDIS_URL, limits, scope))
