"""Words of a command line as values; a wrong one is refused in one line."""

from __future__ import annotations

import math
from argparse import ArgumentParser
from datetime import UTC, datetime

from django.core.management.base import CommandError

from tradeplatform.configuration_errors import ConfigurationError
from trades.models import TradingRun
from trades.selectors import run_current, run_open_list


def number_within(
    name: str, text: str, lowest: float, highest: float, *, whole: bool = False
) -> float:
    """Return a number within ``lowest``..``highest``.

    Raises:
        ConfigurationError: it is none, not whole where it must be, or out of range.
    """
    kind = "a whole number" if whole else "a number"
    try:
        value = float(int(text)) if whole else float(text)
    except (ValueError, OverflowError):
        raise ConfigurationError(f"{name} was {text!r}, allowed: {kind}") from None
    if not (math.isfinite(value) and lowest <= value <= highest):
        raise ConfigurationError(
            f"{name} was {text}, allowed: {kind} in {lowest:.12g}..{highest:.12g}"
        )
    return value


def names_among(name: str, text: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of a comma-separated list, at least one.

    Raises:
        ConfigurationError: none is given, or one is not allowed.
    """
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    for word in found or (text,):
        if word not in allowed:
            raise ConfigurationError(f"{name} was {word!r}, allowed: {', '.join(allowed)}")
    return found


def add_account(parser: ArgumentParser, about: str = "left out: main") -> None:
    parser.add_argument("--account", help=f"of the section accounts; {about}")


def run_of_account(account: str | None) -> TradingRun | None:
    """Return the current run, of one account where it is named; None where none was ever open.

    Raises:
        CommandError: the account has no open run.
    """
    if account is None:
        return run_current()
    known = {run.account: run for run in reversed(run_open_list())}
    if account not in known:
        allowed = ", ".join(sorted(known)) or "none, no run is open"
        raise CommandError(f"account was {account!r}, allowed: {allowed}", returncode=2)
    return known[account]


def moment_ms(name: str, text: str | None) -> int | None:
    """Return UTC milliseconds of an ISO date or time (UTC where it names no zone).

    Raises:
        ConfigurationError: it is neither.
    """
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{name} was {text!r}, allowed: an ISO date or time such as 2024-03-01T00:00"
        ) from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
