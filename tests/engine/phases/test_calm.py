"""How far a stretch of quiet bars reaches while something is held."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
import pytest

from engine.phases.calm import kept_until
from engine.phases.rule_board import empty_board
from engine.types.bars import BarColumns, ColumnStore
from tests.engine.phases.scene import CONFIG, snapshot

N_BARS = 6


@dataclass
class Held:
    """A position of a rule that has no exit of its own."""

    quantity_base: Decimal
    stop_price: Decimal | None
    target_price: Decimal | None
    strategy: str = "one"
    symbol: str = "BTC/USDT"
    opened_at_ms: int | None = None


def bars(**changed: dict[int, float]) -> BarColumns:
    """Bars between 99 and 101, but for what is changed by column and row."""
    level = {"open": 100.0, "high": 101.0, "low": 99.0, "close": 100.0, "volume": 1.0}
    columns = {name: np.full(N_BARS, value) for name, value in level.items()}
    for name, rows in changed.items():
        for row, value in rows.items():
            columns[name][row] = value
    return BarColumns(np.arange(N_BARS, dtype=np.int64) * 60_000, **columns, timeframe_ms=60_000)


@pytest.mark.parametrize(
    ("long", "low", "high", "stop", "target", "until"),
    [
        (True, {}, {}, "95", "105", N_BARS),
        (True, {2: 94.0}, {}, "95", "105", 2),
        (True, {}, {3: 106.0}, "95", "105", 3),
        (True, {1: 94.0}, {4: 106.0}, "95", "105", 1),
        (True, {0: 94.0}, {2: 106.0}, "95", "105", 0),
        (True, {4: 94.0}, {1: 106.0}, "95", "105", 1),
        (False, {4: 94.0}, {1: 106.0}, "105", "95", 1),
        (False, {1: 94.0}, {4: 106.0}, "105", "95", 1),
    ],
)
def test_a_stretch_ends_before_the_first_price_that_leaves_whatever_comes_after_it(
    long: bool,
    low: dict[int, float],
    high: dict[int, float],
    stop: str,
    target: str,
    until: int,
) -> None:
    """I-26: a stop that is met first is not jumped over for a target that is met later."""
    columns = bars(low=low, high=high)
    at = replace(snapshot(), store=ColumnStore(columns), row=0)
    held = Held(Decimal(1 if long else -1), Decimal(stop), Decimal(target))
    assert kept_until(at, held, None, empty_board(N_BARS), CONFIG, N_BARS) == until
