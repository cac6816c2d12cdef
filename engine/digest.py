"""One digest for one course of events: all decisions and fills, ids and wall time left out.

Two runs that decided and filled the same have the same digest, whatever wiring they used
(I-26, D-24, D-25).
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from hashlib import blake2b


def decision_line(
    *,
    symbol: str,
    bar_close_ms: int,
    strategy: str,
    action: str,
    quantity_base: Decimal,
    reason_code: str,
    confidence: float,
) -> str:
    """Return the canonical line of one decision.

    Confidence keeps six significant digits: a bounded window and a whole history agree to about
    1e-9, not to the last bit.
    """
    quantity = plain(quantity_base)
    return (
        f"D|{bar_close_ms}|{symbol}|{strategy}|{action}|{quantity}|{reason_code}|{confidence:.6g}"
    )


def fill_line(
    *,
    symbol: str,
    ts_ms: int,
    strategy: str,
    side: str,
    price: Decimal,
    quantity_base: Decimal,
    fee: Decimal,
    fee_asset: str,
) -> str:
    """Return the canonical line of one fill."""
    return (
        f"F|{ts_ms}|{symbol}|{strategy}|{side}|{plain(price)}|{plain(quantity_base)}"
        f"|{plain(fee)}|{fee_asset}"
    )


def plain(value: Decimal) -> str:
    """Return a decimal without exponent and without trailing zeros; 0 is ``0``."""
    if value == 0:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


class RunDigest:
    """Feeds lines in order of time; decisions and fills are chained apart, then joined."""

    def __init__(self) -> None:
        self._decisions = blake2b(digest_size=16)
        self._fills = blake2b(digest_size=16)

    def add_decision(self, line: str) -> None:
        self._decisions.update(line.encode() + b"\n")

    def add_decisions(self, line: str, at_ms: int, all_ms: Iterable[int]) -> None:
        """Feed one decision as it was taken at each of several times; ``line`` is its line of
        ``at_ms``."""
        tail = line.removeprefix(f"D|{at_ms}")
        self._decisions.update("".join([f"D|{ts_ms}{tail}\n" for ts_ms in all_ms]).encode())

    def add_fill(self, line: str) -> None:
        self._fills.update(line.encode() + b"\n")

    def hexdigest(self) -> str:
        """Return 32 hex characters over everything fed so far."""
        both = self._decisions.digest() + self._fills.digest()
        return blake2b(both, digest_size=16).hexdigest()
