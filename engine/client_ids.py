"""The names of orders: derived, never drawn, so that a repeat names the same order (D-19)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What an order's id is made of, and the length of a bar."""

    installation: str
    account: str
    run_code: str
    timeframe_ms: int


def client_order_id(
    installation: str,
    account: str,
    run_code: str,
    strategy: str,
    symbol: str,
    bar_close_ms: int,
    leg: int,
    cause: str = "",
) -> str:
    """Return the 32 lowercase hex characters that name this order for ever (D-19).

    The same decision gives the same id after any restart; only a re-priced or replaced order
    takes a new leg. ``cause`` sets apart what no decision asked for: a protective stop, a request.

    Raises:
        ValueError: the installation is not six lowercase hex characters.
    """
    if len(installation) != 6 or not set(installation) <= set("0123456789abcdef"):
        raise ValueError(f"installation must be 6 lowercase hex characters, was {installation!r}")
    # the length of each part is hashed too: no two tuples run together into one text
    parts = [account, run_code, strategy, symbol, str(bar_close_ms), str(leg)]
    if cause:
        parts.append(cause)
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return installation + blake2b(text.encode(), digest_size=13).hexdigest()
