"""Phase 1: ORC-07, D-57."""

from __future__ import annotations

import pytest

from engine.market_columns import market_columns
from engine.phases.market_analysis import analyse_market, describe
from engine.types.bars import ColumnStore, TradeFlow
from engine.types.opinions import LEVELS, REGIMES, MarketView, Missing
from tests.engine.phases import scene


def view(**changes: object) -> MarketView:
    found = analyse_market(scene.snapshot(**changes))  # type: ignore[arg-type]
    assert isinstance(found, MarketView)
    return found


def test_the_view_is_the_columns_read_at_the_row() -> None:
    """ORC-07"""
    store = ColumnStore(scene.bars())
    columns = market_columns(store)
    for row in (300, 450, 699):
        found = view(row=row, store=store)
        assert found.regime is REGIMES[columns.regime[row]]
        assert found.regime_probabilities == tuple(columns.regime_probabilities[row])
        assert found.risk is LEVELS[columns.risk[row]]
        assert found.volatility_bar_fraction == columns.volatility_bar[row]


def test_the_same_bars_give_the_same_view() -> None:
    """ORC-07"""
    assert view(row=500) == view(row=500)


def test_it_is_missing_until_enough_bars_are_known() -> None:
    """D-14: an unknown market is not called calm."""
    found = analyse_market(scene.snapshot(row=20))
    assert isinstance(found, Missing)
    assert "21 bars known" in found.reason


@pytest.mark.parametrize(
    ("buys", "sells", "expected"), [(3.0, 1.0, 0.5), (0.0, 2.0, -1.0), (1.0, 1.0, 0.0)]
)
def test_sentiment_is_the_imbalance_of_taker_volume(
    buys: float, sells: float, expected: float
) -> None:
    """D-57"""
    assert view(flow=TradeFlow(buys, sells, 10)).sentiment == expected


def test_sentiment_is_unavailable_without_flow_or_trades() -> None:
    """D-57: never a price move under another name."""
    assert view().sentiment == Missing("no trade flow")
    assert view(flow=TradeFlow(0.0, 0.0, 0)).sentiment == Missing("no trades in this bar")
    assert describe(view())["sentiment"] == "no trade flow"
