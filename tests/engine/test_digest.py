"""One digest for one course of events."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from engine.digest import RunDigest, decision_line, fill_line, plain
from tests.engine.books import D

DECISION: dict[str, Any] = {
    "symbol": "BTC/USDT",
    "bar_close_ms": 60_000,
    "strategy": "one",
    "action": "BUY",
    "quantity_base": D("0.50"),
    "reason_code": "RULE_ENTRY",
    "confidence": 0.7,
}
FILL: dict[str, Any] = {
    "symbol": "BTC/USDT",
    "ts_ms": 60_000,
    "strategy": "one",
    "side": "BUY",
    "price": D("100.10"),
    "quantity_base": D("0.50"),
    "fee": D("0.05005"),
    "fee_asset": "USDT",
}


def test_lines_are_spelled_for_ever() -> None:
    """I-26, D-24: stored digests stay comparable over releases."""
    assert decision_line(**DECISION) == "D|60000|BTC/USDT|one|BUY|0.5|RULE_ENTRY|0.7"
    assert fill_line(**FILL) == "F|60000|BTC/USDT|one|BUY|100.1|0.5|0.05005|USDT"


@pytest.mark.parametrize("field", DECISION)
def test_every_field_of_a_decision_counts(field: str) -> None:
    """I-26"""
    value = DECISION[field]
    other = value + "x" if isinstance(value, str) else value * 2
    assert decision_line(**{**DECISION, field: other}) != decision_line(**DECISION)


@pytest.mark.parametrize("field", FILL)
def test_every_field_of_a_fill_counts(field: str) -> None:
    """I-26"""
    value = FILL[field]
    other = value + "x" if isinstance(value, str) else value * 2
    assert fill_line(**{**FILL, field: other}) != fill_line(**FILL)


def test_confidence_counts_to_six_digits() -> None:
    """I-26: a bounded window and a whole history agree to about 1e-9."""
    near = decision_line(**{**DECISION, "confidence": 0.7 + 1e-9})
    far = decision_line(**{**DECISION, "confidence": 0.7 + 1e-5})
    assert near == decision_line(**DECISION) != far


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0"),
        ("-0.00", "0"),
        ("1E+3", "1000"),
        ("1E-8", "0.00000001"),
        ("10", "10"),
        ("-2.50", "-2.5"),
        ("100.0", "100"),
    ],
)
def test_decimals_are_plain(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


def digest(decisions: list[str], fills: list[str]) -> str:
    run = RunDigest()
    for line in decisions:
        run.add_decision(line)
    for line in fills:
        run.add_fill(line)
    return run.hexdigest()


def test_order_kind_and_number_of_lines_count() -> None:
    """I-26: how decisions and fills interleave does not."""
    digests = {
        digest([], []),
        digest(["a"], []),
        digest([], ["a"]),
        digest(["a", "b"], []),
        digest(["b", "a"], []),
        digest(["ab"], []),
    }
    assert len(digests) == 6
    mixed = RunDigest()
    mixed.add_fill("f")
    mixed.add_decision("d")
    assert mixed.hexdigest() == digest(["d"], ["f"])
    assert len(mixed.hexdigest()) == 32
