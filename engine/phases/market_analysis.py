"""Phase 1: in what condition is this market? (ORC-07)"""

from __future__ import annotations

from engine.market_columns import WARM_UP_BARS, market_columns
from engine.types.bars import Snapshot, TradeFlow
from engine.types.decisions import JsonValue
from engine.types.opinions import LEVELS, REGIMES, MarketView, Missing

_NO_FLOW = Missing("no trade flow")
_NO_TRADES = Missing("no trades in this bar")


def analyse_market(snapshot: Snapshot) -> MarketView | Missing:
    """Return the condition at the snapshot's row, from bars of that symbol up to that row only.

    Missing until enough bars are known to compare with. Sentiment is the takers' imbalance of
    this bar where the source gives trade flow, never a price move under another name (D-57).
    """
    columns = market_columns(snapshot.store)
    row = snapshot.row
    if not columns.ready[row]:
        return Missing(f"not warm: {row + 1} bars known, about {WARM_UP_BARS} needed")
    first, second, third, fourth = columns.regime_probabilities[row].tolist()
    flow = snapshot.event.flow
    return MarketView(
        REGIMES[columns.regime.item(row)],
        (first, second, third, fourth),
        columns.volatility_bar.item(row),
        LEVELS[columns.volatility.item(row)],
        LEVELS[columns.liquidity.item(row)],
        _NO_FLOW if flow is None else sentiment(flow),
        LEVELS[columns.risk.item(row)],
        columns.dwell_bars.item(row),
    )


def sentiment(flow: TradeFlow) -> float | Missing:
    """Return (buys - sells) / (buys + sells) of taker volume, in [-1, 1]."""
    total = flow.buy_volume_base + flow.sell_volume_base
    if not total > 0.0:
        return _NO_TRADES
    return (flow.buy_volume_base - flow.sell_volume_base) / total


def describe(view: MarketView) -> dict[str, JsonValue]:
    """Return the view as JSON."""
    feeling = view.sentiment
    return {
        "regime": view.regime.value,
        "regime_probabilities": {
            regime.value: p for regime, p in zip(REGIMES, view.regime_probabilities, strict=True)
        },
        "volatility_bar_fraction": view.volatility_bar_fraction,
        "volatility": view.volatility.value,
        "liquidity": view.liquidity.value,
        "sentiment": feeling.reason if isinstance(feeling, Missing) else feeling,
        "risk": view.risk.value,
        "dwell_bars": view.dwell_bars,
    }
