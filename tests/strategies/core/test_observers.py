"""What is noticed, on which bar, and that nothing later changes it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.types.bars import BarColumns, ColumnStore
from engine.types.opinions import Missing
from strategies.core.observers import FailedBreakout, OneSidedBook, observers
from strategies.core.registry import PREDICTORS, RULES
from tests.bar_factory import random_walk
from tests.engine.phases.scene import order_flow, snapshot

NO_BOOK = Missing("no book")


def bars(closes: list[float]) -> BarColumns:
    close = np.array(closes)
    n = len(closes)
    return BarColumns(
        np.arange(n) * 60_000, close, close + 0.1, close - 0.1, close, np.ones(n), 60_000
    )


FLAT = [100.0 + 0.05 * (i % 3) for i in range(60)]


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ([103.0, 99.9], [0.0, 1.0]),
        ([103.0, 102.5, 99.9, 99.8], [0.0, 0.0, 1.0, 0.0]),
        ([97.0, 100.0], [0.0, -1.0]),
        ([103.0, 104.0, 105.0, 106.0, 99.0], [0.0, 0.0, 0.0, 0.0, 1.0]),
        ([103.0, 102.9, 102.9, 102.9, 99.9], [0.0] * 5),
    ],
)
def test_a_breakout_that_does_not_hold_is_told_on_the_bar_it_fails(
    after: list[float], said: list[float]
) -> None:
    """ORC-82: closed beyond the channel, back inside it within three bars."""
    whole = bars(FLAT + after)
    store = ColumnStore(whole)
    found = []
    for row in range(len(FLAT), len(whole)):
        noticed = FailedBreakout().insights(snapshot(row, bars=whole, store=store), NO_BOOK)
        found.append(noticed[0].value if noticed else 0.0)
    assert found == said


def test_a_failed_breakout_is_about_breakout_and_expires() -> None:
    whole = bars([*FLAT, 103.0, 99.9])
    (insight,) = FailedBreakout().insights(snapshot(61, bars=whole), NO_BOOK)
    assert (insight.source, insight.about, insight.direction) == ("range-reversion", "breakout", -1)
    assert insight.expires_ms - insight.at_ms == 12 * 60_000
    assert insight.symbol == "BTC/USDT"


def test_what_is_noticed_depends_on_the_past_alone() -> None:
    """ORC-82, D-25: the last row of a window says what that row of everything says."""
    whole = random_walk(8, 3_000)
    everything = ColumnStore(whole)
    names = ("ts_ms", "open", "high", "low", "close", "volume")
    seen = 0
    for end in range(2_600, 3_000, 7):
        window = replace(whole, **{n: getattr(whole, n)[end - 2_500 : end] for n in names})
        live = FailedBreakout().insights(snapshot(2_499, bars=window), NO_BOOK)
        told = FailedBreakout().insights(snapshot(end - 1, bars=whole, store=everything), NO_BOOK)
        assert live == told
        seen += bool(live)
    assert seen


@pytest.mark.parametrize(("imbalance", "direction"), [(0.8, 1), (-0.75, -1), (0.69, 0)])
def test_a_one_sided_book_is_told_with_its_side(imbalance: float, direction: int) -> None:
    """ORC-82"""
    noticed = OneSidedBook().insights(snapshot(), order_flow(imbalance=imbalance))
    assert [i.direction for i in noticed] == ([direction] if direction else [])
    assert OneSidedBook().insights(snapshot(), NO_BOOK) == ()


def test_who_notices_is_a_source_or_will_be_one() -> None:
    known = {*RULES, *PREDICTORS, "microstructure"}
    assert {observer.code for observer in observers()} <= known
