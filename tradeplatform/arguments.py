"""Words of a command line as values; a wrong one is refused in one line."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from tradeplatform.configuration_errors import ConfigurationError


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
