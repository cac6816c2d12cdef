"""What the rules share: turning their sides, opinions and levels into checked columns."""

from __future__ import annotations

import numpy as np

from engine import shared_columns
from engine.types.bars import BoolColumn, ColumnStore, FloatColumn, IntColumn
from engine.types.opinions import RuleColumns
from strategies.core.errors import StrategyError

# No rule is ever surer than this: on bars alone nobody is.
MAX_LEAN = 0.2
ATR_SPAN = 14
# Recursions over longer spans than this would still remember what a live window never saw.
MAX_WINDOW = 256
MAX_EMA_SPAN = 60


def assemble(
    store: ColumnStore,
    *,
    side: IntColumn,
    lean: FloatColumn,
    confidence: FloatColumn,
    stop_price: FloatColumn,
    target_price: FloatColumn,
    exit_long: BoolColumn,
    exit_short: BoolColumn,
    ready: BoolColumn,
) -> RuleColumns:
    """Return columns that keep the promises of ``RuleColumns``, whatever the rule computed.

    ``lean`` is probability - 0.5. An entry survives only where the rule is warm, the market moves
    and stop < close < target (the reverse for a short), all of them positive and finite.
    """
    close = store.bars.close
    direction = side * close
    moving = np.nan_to_num(shared_columns.floored_atr(store, ATR_SPAN)) > 0.0
    # Comparisons with NaN are False, so an unknown level cancels the entry.
    sound = (side * stop_price < direction) & (direction < side * target_price)
    sound &= (stop_price > 0.0) & (target_price > 0.0) & np.isfinite(stop_price + target_price)
    proposed = (side != 0) & ready & moving & sound
    lean = np.clip(np.nan_to_num(lean), -MAX_LEAN, MAX_LEAN)
    columns = RuleColumns(
        side=np.where(proposed, side, 0).astype(np.int64),
        probability_up=np.where(ready & moving, 0.5 + lean, 0.5),
        confidence=np.where(proposed, np.clip(np.nan_to_num(confidence), 0.0, 1.0), 0.0),
        stop_price=np.where(proposed, stop_price, np.nan),
        target_price=np.where(proposed, target_price, np.nan),
        exit_long=exit_long & ready,
        exit_short=exit_short & ready,
    )
    for name in RuleColumns.__slots__:
        getattr(columns, name).setflags(write=False)
    return columns


def delayed(values: FloatColumn, bars: int = 1) -> FloatColumn:
    """Return the column ``bars`` rows earlier, NaN where there was none."""
    out = np.full(values.shape[0], np.nan)
    out[bars:] = values[: values.shape[0] - bars]
    return out


def check_at_least(name: str, value: float, lowest: float) -> None:
    """Refuse a parameter below its lowest value (NaN is below everything).

    Raises:
        StrategyError: the value is below ``lowest`` or not finite.
    """
    if not (np.isfinite(value) and value >= lowest):
        raise StrategyError(f"{name} must be at least {lowest:g}, was {value:g}")


def check_within(name: str, value: float, lowest: float, highest: float) -> None:
    """Refuse a parameter outside its range.

    Raises:
        StrategyError: the value is outside or not finite.
    """
    if not lowest <= value <= highest:
        raise StrategyError(f"{name} must be within {lowest:g}..{highest:g}, was {value:g}")
