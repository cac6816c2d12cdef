"""Phase 1: the market's condition, from that symbol's bars and this bar's takers only."""

from __future__ import annotations

import pytest

from engine.phases.market_analysis import analyse_market, describe, sentiment
from engine.types.bars import ColumnStore, TradeFlow
from engine.types.opinions import LEVELS, REGIMES, MarketView, Missing
from tests.bar_factory import cut, labelled_regimes
from tests.engine.phases.scene import BARS, ROW, snapshot

EVENTFUL, _ = labelled_regimes(7, cycles=3)


def viewed(row: int, store: ColumnStore) -> MarketView:
    view = analyse_market(snapshot(row, bars=EVENTFUL, store=store))
    assert isinstance(view, MarketView)
    return view


def test_every_regime_and_the_levels_are_reached_by_the_phase() -> None:
    """ORC-07: no label exists on paper only."""
    store = ColumnStore(EVENTFUL)
    views = [viewed(row, store) for row in range(2_000, len(EVENTFUL), 5)]
    assert {view.regime for view in views} == set(REGIMES)
    assert {view.volatility for view in views} == set(LEVELS)
    assert len({view.liquidity for view in views}) == len(LEVELS)
    assert len({view.risk for view in views}) >= 3


def test_the_same_frame_gives_the_same_view() -> None:
    """ORC-07, ORC-14: a fresh store over equal bars, and the same store asked twice."""
    first, again = snapshot(), snapshot()
    assert first.store is not again.store
    assert analyse_market(first) == analyse_market(again) == analyse_market(first)


def test_bars_after_the_row_change_nothing() -> None:
    """ORC-07: a view of bar t is made of bars up to t."""
    known_then = snapshot(bars=cut(BARS, 0, ROW + 1))
    assert analyse_market(known_then) == analyse_market(snapshot())


def test_too_few_bars_are_missing_and_not_a_guess() -> None:
    """ORC-07, ORC-58: the reason counts the bars."""
    view = analyse_market(snapshot(20))
    assert isinstance(view, Missing)
    assert "21 bars known" in view.reason


@pytest.mark.parametrize(
    ("buys", "sells", "expected"), [(3.0, 1.0, 0.5), (0.0, 2.0, -1.0), (2.0, 0.0, 1.0)]
)
def test_sentiment_is_the_imbalance_of_takers(buys: float, sells: float, expected: float) -> None:
    """ORC-07, D-57."""
    view = analyse_market(snapshot(flow=TradeFlow(buys, sells, 4)))
    assert isinstance(view, MarketView)
    assert view.sentiment == expected
    assert describe(view)["sentiment"] == expected


def test_without_takers_sentiment_is_unavailable_and_never_a_price_move() -> None:
    """ORC-07, D-57: neither silence nor a bar that rose makes a feeling."""
    view = analyse_market(snapshot())
    assert isinstance(view, MarketView)
    assert view.sentiment == Missing("no trade flow")
    assert describe(view)["sentiment"] == "no trade flow"
    assert sentiment(TradeFlow(0.0, 0.0, 0)) == Missing("no trades in this bar")


def test_what_is_recorded_names_every_regime_with_its_probability() -> None:
    """ORC-73."""
    view = analyse_market(snapshot())
    assert isinstance(view, MarketView)
    probabilities = describe(view)["regime_probabilities"]
    assert isinstance(probabilities, dict)
    assert list(probabilities) == [regime.value for regime in REGIMES]
    assert sum(view.regime_probabilities) == pytest.approx(1.0)
