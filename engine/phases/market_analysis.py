"""Phase 1: in what condition is this market? (ORC-07)"""

from __future__ import annotations

from collections.abc import Sequence

from engine import conditions
from engine.market_columns import WARM_UP_BARS, market_columns
from engine.types.bars import ColumnStore, Snapshot, TradeFlow
from engine.types.decisions import JsonValue
from engine.types.opinions import LEVELS, REGIMES, ConditionChange, MarketView, Missing

_NO_FLOW = Missing("no trade flow")
_NO_TRADES = Missing("no trades in this bar")


def analyse_market(snapshot: Snapshot) -> MarketView | Missing:
    """Return the condition at the snapshot's row, from bars of that symbol up to that row only.

    Missing until enough bars are known to compare with. Sentiment is the takers' imbalance of
    this bar where the source gives trade flow, never a price move under another name (D-57).
    """
    flow = snapshot.event.flow
    return _view(snapshot.store, snapshot.row, _NO_FLOW if flow is None else sentiment(flow))


def _view(store: ColumnStore, row: int, feeling: float | Missing) -> MarketView | Missing:
    columns = market_columns(store)
    if not columns.ready[row]:
        return Missing(f"not warm: {row + 1} bars known, about {WARM_UP_BARS} needed")
    first, second, third, fourth = columns.regime_probabilities[row].tolist()
    return MarketView(
        REGIMES[columns.regime.item(row)],
        (first, second, third, fourth),
        columns.volatility_bar.item(row),
        LEVELS[columns.volatility.item(row)],
        LEVELS[columns.liquidity.item(row)],
        feeling,
        LEVELS[columns.risk.item(row)],
        columns.dwell_bars.item(row),
    )


def changes_since(
    snapshot: Snapshot, current: MarketView | Missing, felt: float | None
) -> tuple[ConditionChange, ...]:
    """Return what changed since the bar before, which the same columns tell (ORC-84).

    So a session built anew sees the change that its predecessor would have seen; only the last
    clear sentiment ``felt`` must be remembered, for no column knows past flow.
    """
    store, row = snapshot.store, snapshot.row
    if row == 0:
        return ()
    elapsed_ms = int(store.bars.ts_ms[row] - store.bars.ts_ms[row - 1])
    known = isinstance(current, MarketView)
    return conditions.condition_changes(
        _view(store, row - 1, _NO_FLOW) if known else current,
        current,
        felt=felt,
        at_ms=snapshot.event.ts_ms,
        missing_bars=elapsed_ms // store.bars.timeframe_ms - 1,
    )


def sentiment(flow: TradeFlow) -> float | Missing:
    """Return (buys - sells) / (buys + sells) of taker volume, in [-1, 1]."""
    total = flow.buy_volume_base + flow.sell_volume_base
    if not total > 0.0:
        return _NO_TRADES
    return (flow.buy_volume_base - flow.sell_volume_base) / total


def describe(view: MarketView, changes: Sequence[ConditionChange] = ()) -> dict[str, JsonValue]:
    """Return the view and what changed since the bar before as JSON."""
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
        "changes": [conditions.describe(change) for change in changes],
    }
