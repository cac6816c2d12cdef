"""What a walk is given and what it remembers: arrays that compiled loops read and write.

Money is whole numbers of the ``Grid``: ``price`` and ``quantity`` units, and money units.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.column_path.scores import Scores
from engine.risk import DAY_MS
from engine.types.bars import BoolColumn, FloatColumn, IntColumn

Codes = npt.NDArray[np.int16]

DONE, ASK, FULL, OFF_GRID, TOO_LARGE = range(5)
ACTIVE, REDUCING, HALTED = range(3)
# why a position is left; ``EXITS`` spells them as the session does
STOP, TARGET, RULE_EXIT, MAX_HOLDING = range(1, 5)
EXITS = ("", "STOP", "TARGET", "RULE_EXIT", "MAX_HOLDING")
NONE = -1


class State(NamedTuple):
    """Indices of the walk's memory: whole numbers, one array."""

    row: int = 0
    asked: int = 1
    cash: int = 2
    held: int = 3
    entry_price: int = 4
    entry_fee: int = 5
    entry_row: int = 6
    stop: int = 7
    target: int = 8
    rests: int = 9
    wanted: int = 10
    wanted_stop: int = 11
    wanted_target: int = 12
    leaving: int = 13
    mark: int = 14
    equity: int = 15
    peak: int = 16
    day: int = 17
    day_start: int = 18
    week_base: int = 19
    day_pnl: int = 20
    state: int = 21
    until: int = 22
    forgives: int = 23
    own_state: int = 24
    own_until: int = 25
    streak: int = 26
    trades: int = 27
    waiting_first: int = 28
    waiting: int = 29
    decided: int = 30
    opened_ms: int = 31
    considered: int = 32
    entered: int = 33
    of_hour: int = 34
    of_day: int = 35
    of_lately: int = 36
    forgotten: int = 37


class Terms(NamedTuple):
    """What holds for the whole walk; money in money units, limits as (numerator, denominator)."""

    timeframe_ms: int
    price_scale: float
    money_scale: float
    tick: int
    value_of_unit: int
    fee_factor: int
    fee_divisor: int
    fee_unit: int
    slip: int
    slip_scale: int
    min_notional: int
    least_equity: int
    most_equity: int
    drawdown: tuple[int, int]
    day_loss: tuple[int, int]
    week_loss: tuple[int, int]
    loss_streak: int
    resume_after_days: int
    max_holding_bars: int
    horizon_bars: int
    learn_every_bars: int
    opinion_margin: float
    stops_rest: bool


class EntryTerms(NamedTuple):
    """What an entry is judged by: settings of phases 4 to 7 and limits, as estimates and counts.

    Shares are of equity; ``most_share`` is the smallest of all caps on the notional of one order of
    a flat account, ``spendable_share`` what cash buys after reserve and fee, ``max_order_quote``
    infinite where there is none. ``lot`` is in quantity units, ``lot_base`` in base units.
    ``is_sure`` is False where phase 7 has to be asked whatever the numbers are.
    """

    is_sure: bool
    minimum_performance: float
    opinion_margin: float
    weak_factor: float
    unreliable_factor: float
    veto_probability: float
    least_readiness: float
    bars_after_gap: int
    dwell_bars: int
    jump_pause_ms: int
    jump_1m: float
    jump_5m: float
    bars_of_1m: int
    bars_of_5m: int
    least_target: float
    fees_fraction: float
    risk_per_trade: float
    base_share_of_cap: float
    max_position: float
    max_order_quote: float
    most_share: float
    spendable_share: float
    risk_factors: tuple[float, float, float, float]
    volume_bars: int
    volume_share: float
    lot: int
    lot_base: float
    least_lots: int
    per_hour: int
    per_day: int
    lately: int
    lately_day: int


class Market(NamedTuple):
    """Bars with what phase 1 says of them, each (n_bars,); ``volume`` in base units."""

    ts_ms: IntColumn
    open: FloatColumn
    high: FloatColumn
    low: FloatColumn
    close: FloatColumn
    volume: FloatColumn
    regime: Codes
    risk: Codes
    dwell_bars: Codes
    ready: BoolColumn


class Rule(NamedTuple):
    """What the rule says, each (n_bars,); ``enters`` is True where it proposes to buy, then with
    ``stop_price`` and ``target_price``, not finite where it has none."""

    enters: BoolColumn
    probability_up: FloatColumn
    exit_long: BoolColumn
    stop_price: FloatColumn
    target_price: FloatColumn


class Memory(NamedTuple):
    """What the walk remembers besides ``State``: opinions that wait, and what it wrote.

    ``growth`` is the time-weighted index of equity; ``trades`` has a row a closed trade: entry row,
    exit row, entry price, exit price, quantity, fees, PnL, reason, whether it closed in the bar.
    ``entered`` is a ring of the times of the last day's entries.
    """

    state: IntColumn
    growth: FloatColumn
    waiting: npt.NDArray[np.int64]
    waiting_up: npt.NDArray[np.float64]
    scores: Scores
    trades: npt.NDArray[np.int64]
    equity: IntColumn
    entered: IntColumn


S = State()
TRADE_PARTS = 9
_WAITING = 64


def memory(cash: int, n_bars: int, scores: Scores, most_trades: int, timeframe_ms: int) -> Memory:
    """Return the memory of a walk that begins flat with ``cash`` money units."""
    state = np.zeros(len(S), dtype=np.int64)
    state[[S.cash, S.peak, S.equity, S.day_start]] = cash
    state[[S.stop, S.target, S.wanted_stop, S.wanted_target]] = NONE
    state[S.day] = NONE
    return Memory(
        state,
        np.ones(1),
        np.zeros((_WAITING, 2), dtype=np.int64),
        np.zeros((_WAITING, 2)),
        scores,
        np.zeros((most_trades, TRADE_PARTS), dtype=np.int64),
        np.zeros(n_bars, dtype=np.int64),
        # one entry a bar at most
        np.zeros(DAY_MS // timeframe_ms + 2, dtype=np.int64),
    )
