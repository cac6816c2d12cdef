"""The section ``accounts``: several accounts in one file, each a whole configuration of its own.

Plain values in, plain values out; they are checked afterwards like those of any file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tradeplatform.configuration_errors import ConfigurationError, one_line

MAIN = "main"
SECTIONS = ("exchange", "trading", "risk", "strategies")
# short enough for a scope of the kill switch that names an account and a strategy
NAME = re.compile(r"^[a-z][a-z0-9-]{0,19}$")
_ALLOWED_NAME = "a small letter, then up to 19 of small letters, digits and dashes"
PRACTICE_MARKET = ("symbols", "timeframe")


def each_account(raw: Mapping[str, Any], *, source: str) -> dict[str, dict[str, Any]]:
    """Return the effective values of each account by name, ``main`` first, the others in order.

    An account's own keys win over the file's; the account of the exchange is its name. All but
    ``main`` keep a section ``accounts`` of their own name: by it they are told from an only one.

    Raises:
        ConfigurationError: an unknown section or name, no ``main``, or practice accounts that
            want different markets.
    """
    given = _named(raw["accounts"], source)
    shared = {key: value for key, value in raw.items() if key != "accounts"}
    top = shared.get("exchange")
    if isinstance(top, dict) and top.get("account", MAIN) != MAIN:
        raise _refused(source, "exchange.account", top["account"], "none beside accounts")
    found = {
        name: _effective(shared, name, given[name], source)
        for name in sorted(given, key=lambda name: name != MAIN)
    }
    _one_practice_market(found, source)
    return found


def _named(section: Any, source: str) -> dict[str, dict[str, Any]]:
    if not isinstance(section, dict):
        raise _refused(source, "accounts", section, "a mapping of names to sections")
    for name, own in section.items():
        if not NAME.match(name):
            raise _refused(source, "accounts", name, _ALLOWED_NAME)
        if not isinstance(own, dict | None):
            raise _refused(source, f"accounts.{name}", own, f"a mapping of {', '.join(SECTIONS)}")
        for key, value in (own or {}).items():
            if key not in SECTIONS:
                raise _refused(source, f"accounts.{name}.{key}", value, ", ".join(SECTIONS))
            if not isinstance(value, dict | None):
                raise _refused(source, f"accounts.{name}.{key}", value, "a mapping")
    if MAIN not in section:
        raise _refused(source, "accounts", ", ".join(section) or "empty", "main and others")
    return {name: own or {} for name, own in section.items()}


def _effective(
    shared: Mapping[str, Any], name: str, own: Mapping[str, Any], source: str
) -> dict[str, Any]:
    exchange = own.get("exchange") or {}
    if "account" in exchange:
        key = f"accounts.{name}.exchange.account"
        raise _refused(source, key, exchange["account"], "none, the account's name is it")
    found = {**shared, **{key: _over(shared.get(key), own.get(key)) for key in SECTIONS}}
    found["exchange"] = {**found["exchange"], "account": name}
    return found if name == MAIN else {**found, "accounts": {name: {}}}


def _over(below: Any, above: Any) -> Any:
    """Return ``above`` laid over ``below``, mapping by mapping; a list is replaced as a whole."""
    if above is None:
        return {} if below is None else below
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return {**below, **{key: _over(below.get(key), value) for key, value in above.items()}}


def _one_practice_market(found: Mapping[str, dict[str, Any]], source: str) -> None:
    """One practice exchange serves all practice accounts, so they see one market."""
    first: tuple[str, dict[str, Any]] | None = None
    for name, one in found.items():
        if one["exchange"].get("id", "practice") != "practice":
            continue
        if first is None:
            first = (name, one["trading"])
            continue
        for key in PRACTICE_MARKET:
            if one["trading"].get(key) != first[1].get(key):
                raise _refused(
                    source,
                    f"accounts.{name}.trading.{key}",
                    one["trading"].get(key),
                    f"that of {first[0]}, one practice exchange serves both",
                )


def _refused(source: str, key: str, value: Any, allowed: str) -> ConfigurationError:
    return ConfigurationError(f"{source}: {key} was {one_line(value)}, allowed: {allowed}")
