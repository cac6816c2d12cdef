"""The configured venue: its client, its name in the rows, and its request budget."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings

from market.ccxt_client import build_client
from market.rate_budget import PRACTICE_LIMITS, Budget, SharedBudget
from market.venues import venue_of
from tradeplatform.configuration import PRACTICE, Configuration
from tradeplatform.credentials import ExchangeKeyRefused, exchange_credentials
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
        found = exchange_credentials(config.exchange.id, config.exchange.account)
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


def venue_code(config: Configuration) -> str:
    """Return the name rows use: the exchange, its sandbox, or the practice exchange's market."""
    if config.exchange.id != PRACTICE:
        return f"{config.exchange.id}-sandbox" if config.exchange.sandbox else config.exchange.id
    market = os.environ.get("TRADEPLATFORM_PRACTICE_MARKET", "")
    return f"{PRACTICE}-{market}" if market else PRACTICE


def venue_budget(config: Configuration) -> Budget:
    """Return the request budget that every process of this account shares."""
    is_practice = config.exchange.id == PRACTICE
    limits = PRACTICE_LIMITS if is_practice else venue_of(config.exchange.id).limits
    scope = f"{venue_code(config)}:{config.exchange.account}"
    return TimedBudget(SharedBudget(settings.REDIS_URL, limits, scope))
