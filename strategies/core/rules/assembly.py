"""What the rules share: turning their sides, opinions and levels into checked columns."""

from __future__ import annotations

import numpy as np

from engine import shared_columns
from engine.compiled import kernel
from engine.types.bars import BoolColumn, ColumnStore, FloatColumn, IntColumn
from engine.types.opinions import RuleColumns
from strategies.core.errors import StrategyError

# No rule is ever surer than this: on bars alone nobody is.
MAX_LEAN = 0.2
ATR_SPAN = 14
# A round trip at retail fees costs about 0.2 % of the notional. A stop nearer than this would lose
# more to fees than to the market, and a target in proportion to it could not pay them.
MIN_STOP_FRACTION = 0.003
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
    and stop < close < target (the reverse for a short), all of them positive and finite. Where the
    stop is nearer than MIN_STOP_FRACTION of the close, stop and target move away in proportion.
    """
    moving = shared_columns.floored_atr(store, ATR_SPAN)
    columns = RuleColumns(
        *_checked(
            store.bars.close,
            moving,
            ready,
            side,
            lean,
            confidence,
            stop_price,
            target_price,
            exit_long & ready,
            exit_short & ready,
            MAX_LEAN,
            MIN_STOP_FRACTION,
        )
    )
    for name in RuleColumns.__slots__:
        getattr(columns, name).setflags(write=False)
    return columns


@kernel
def _checked(
    close: FloatColumn,
    moving: FloatColumn,
    ready: BoolColumn,
    side: IntColumn,
    lean: FloatColumn,
    confidence: FloatColumn,
    stop_price: FloatColumn,
    target_price: FloatColumn,
    exit_long: BoolColumn,
    exit_short: BoolColumn,
    max_lean: float,
    min_stop_fraction: float,
) -> tuple[
    IntColumn,
    FloatColumn,
    FloatColumn,
    FloatColumn,
    FloatColumn,
    BoolColumn,
    BoolColumn,
]:
    n = close.shape[0]
    sides = np.zeros(n, dtype=np.int64)
    probability_up = np.full(n, 0.5)
    sureness = np.zeros(n)
    stops, targets = np.full(n, np.nan), np.full(n, np.nan)
    for row in range(n):
        # NaN compares False: where the range is unknown the market does not move.
        if not (ready[row] and moving[row] > 0.0):
            continue
        if not np.isnan(lean[row]):
            probability_up[row] = 0.5 + min(max_lean, max(-max_lean, lean[row]))
        sign, stop, target = side[row], stop_price[row], target_price[row]
        if sign == 0 or not (stop > 0.0 and target > 0.0 and np.isfinite(stop + target)):
            continue
        if sign * stop < sign * close[row] < sign * target:
            stretch = max(1.0, min_stop_fraction * close[row] / abs(close[row] - stop))
            stop = close[row] + stretch * (stop - close[row])
            target = close[row] + stretch * (target - close[row])
            if not (stop > 0.0 and target > 0.0):
                continue
            sides[row] = sign
            stops[row], targets[row] = stop, target
            if not np.isnan(confidence[row]):
                sureness[row] = min(1.0, max(0.0, confidence[row]))
    return sides, probability_up, sureness, stops, targets, exit_long, exit_short


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
