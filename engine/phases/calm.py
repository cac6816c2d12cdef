"""How long a replay stays quiet: rows before which nothing can happen, whatever is asked of them.

Each function here answers for a stretch of rows what ``engine.phases.quiet`` asks of one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from engine.market_columns import market_columns
from engine.phases.config import PipelineConfig
from engine.phases.context import Holding
from engine.phases.ensemble import ENSEMBLE
from engine.phases.foresight import Outlook
from engine.phases.rule_board import RuleBoard
from engine.types.bars import BoolColumn, ColumnStore, IntColumn, Snapshot

_FOR_EVER_MS = 2**62


@dataclass(frozen=True, slots=True)
class Calm:
    """Where nothing can happen over one store, whatever is held or said; shapes (n_bars,).

    ``silent``: no rule proposes; ``notices``: some observer may notice something; ``idle_until``:
    the first bar from this one on that is not silent, or on which something may be noticed or
    opinions are remembered.
    """

    store: ColumnStore
    silent: BoolColumn
    notices: BoolColumn
    idle_until: IntColumn


def calm_of(
    store: ColumnStore, silent: BoolColumn, notices: BoolColumn, learn_every_bars: int
) -> Calm:
    """Return where nothing can happen, from where nobody proposes and where something is noticed;
    opinions are remembered every ``learn_every_bars``."""
    bars = store.bars
    number = (bars.ts_ms + bars.timeframe_ms) // bars.timeframe_ms
    busy = ~silent | notices | (number % learn_every_bars == 0)
    rows = np.where(busy, np.arange(len(bars)), len(bars))
    return Calm(store, silent, notices, np.minimum.accumulate(rows[::-1])[::-1])


def next_regime(store: ColumnStore) -> IntColumn:
    """Return for each row the next one on which the regime changes or is not known, (n_bars,);
    the number of bars where there is none."""
    columns, n = market_columns(store), len(store.bars)
    changes = np.append(np.flatnonzero((columns.dwell_bars == 0) | ~columns.ready), n)
    following: IntColumn = changes[np.searchsorted(changes, np.arange(n), side="right")]
    return following


def bars_before(store: ColumnStore, row: int, last: int, until_ms: int) -> int:
    """Return how many of rows ``row`` to ``last`` (excluded) close before a time."""
    opens_ms = store.bars.ts_ms[row:last]
    return int(opens_ms.searchsorted(until_ms - store.bars.timeframe_ms))


def silent_until(snapshot: Snapshot, outlook: Outlook, last: int) -> int:
    """Return the first row on which the ensemble may enter, ``last`` where it does not."""
    rows = range(snapshot.row, min(last, outlook.last))
    shortable = snapshot.instrument.shortable
    return next((row for row in rows if outlook.may_enter(row, shortable)), rows.stop)


def kept_until(
    snapshot: Snapshot,
    held: Holding,
    outlook: Outlook | None,
    board: RuleBoard,
    config: PipelineConfig,
    last: int,
) -> int:
    """Return the first row on which a position may be left but for its age, ``last`` at most."""
    row, bars = snapshot.row, snapshot.store.bars
    is_long, stop, target = held.quantity_base > 0, held.stop_price, held.target_price
    lows, highs = bars.low[row:last].tolist(), bars.high[row:last].tolist()
    worst, best = (lows, highs) if is_long else (highs, lows)
    sign = 1.0 if is_long else -1.0
    if stop is not None:
        at = float(stop)
        last = row + _first((sign * (price - at) <= 0.0 for price in worst), last - row)
    if target is not None:
        at = float(target)
        last = row + _first((sign * (price - at) >= 0.0 for price in best), last - row)
    if held.strategy == ENSEMBLE and outlook is not None:
        limit, ahead = config.exit_probability, range(row, last)
        last = row + _first(
            (outlook.may_leave(at_row, is_long, limit) for at_row in ahead), last - row
        )
    elif held.strategy == ENSEMBLE:
        last = row
    columns = board.columns.get(held.strategy)
    if columns is not None:
        asked = columns.exit_long if is_long else columns.exit_short
        last = row + _first(asked[row:last].tolist(), last - row)
    return last


def longest_ms(held: Holding, store: ColumnStore, config: PipelineConfig) -> int:
    """Return the time from which a position is left for its age."""
    if held.opened_at_ms is None:
        return _FOR_EVER_MS
    return held.opened_at_ms + config.max_holding_bars * store.bars.timeframe_ms


def _first(found: Iterable[bool], otherwise: int) -> int:
    """Return the place of the first True before ``otherwise``, else that."""
    places = zip(range(otherwise), found, strict=False)
    return next((place for place, is_so in places if is_so), otherwise)
