"""The books of a walk: what fills, what it costs, equity, breakers, and what leaves at the end.

Whole-number twins of ``paper``, ``ledger``, ``breakers``, ``protection`` and the simulated operator
for one long position at most; that they agree is tested trade by trade.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.column_path.state import (
    ACTIVE,
    HALTED,
    NONE,
    REDUCING,
    STOP,
    Market,
    S,
    Terms,
)
from engine.compiled import kernel
from engine.risk import DAY_MS
from engine.types.bars import FloatColumn, IntColumn

_DAYS_OF_WEEK, _MONDAY = 7, 3
NO_BREACH, DRAWDOWN, LOW_EQUITY, DAY_LOSS, WEEK_LOSS = range(5)


@kernel
def observe(s: IntColumn, terms: Terms, now_ms: int) -> None:
    """Let the stated operator lift what is over; a reset forgives what tripped the breaker."""
    if s[S.state] != ACTIVE and now_ms >= s[S.until]:
        s[S.state] = ACTIVE
        if s[S.forgives]:
            s[S.peak] = s[S.cash] + s[S.held] * s[S.mark] * terms.value_of_unit
            s[S.streak] = 0
    if s[S.own_state] != ACTIVE and now_ms >= s[S.own_until]:
        s[S.own_state], s[S.streak] = ACTIVE, 0
        s[S.forgotten] = s[S.entered]


@kernel
def fill(
    s: IntColumn,
    market: Market,
    terms: Terms,
    trades: npt.NDArray[np.int64],
    row: int,
    now_ms: int,
) -> bool:
    """Fill what was sent before this bar; False where its open is off the grid."""
    is_stopped = s[S.rests] and market.low[row] <= s[S.stop] / terms.price_scale
    if s[S.wanted] == 0 and s[S.leaving] == 0 and not is_stopped:
        return True
    opened = on_grid(market.open[row], terms.price_scale)
    if opened == NONE:
        return False
    if s[S.wanted] > 0:
        _enter(s, terms, opened, row, market.ts_ms[row])
    elif s[S.leaving] > 0:
        _close(s, terms, trades, opened, row, now_ms, s[S.leaving], 0)
    else:
        _close(s, terms, trades, min(opened, s[S.stop]), row, now_ms, STOP, 1)
    return True


@kernel
def on_grid(price: float, scale: float) -> int:
    """Return a price in units of the grid, NONE where it lies between two of them."""
    units = np.rint(price * scale)
    return int(units) if units / scale == price else NONE


@kernel
def _enter(s: IntColumn, terms: Terms, opened: int, row: int, opened_ms: int) -> None:
    price = _slipped(terms, opened, 1)
    notional = price * s[S.wanted]
    s[S.held], s[S.entry_price] = s[S.wanted], price
    s[S.entry_fee] = _fee(terms, notional)
    s[S.cash] -= notional * terms.value_of_unit + s[S.entry_fee]
    s[S.entry_row], s[S.opened_ms] = row, opened_ms
    s[S.stop], s[S.target] = s[S.wanted_stop], s[S.wanted_target]
    s[S.wanted] = 0


@kernel
def _close(
    s: IntColumn,
    terms: Terms,
    trades: npt.NDArray[np.int64],
    met: int,
    row: int,
    now_ms: int,
    reason: int,
    in_bar: int,
) -> None:
    """Sell all of it, book the trade and count a loss; enough of them stop the strategy."""
    price, held = _slipped(terms, met, -1), s[S.held]
    fee = _fee(terms, price * held)
    s[S.cash] += price * held * terms.value_of_unit - fee
    fees = s[S.entry_fee] + fee
    pnl = (price - s[S.entry_price]) * held * terms.value_of_unit - fees
    out = trades[s[S.trades]]
    out[0], out[1], out[2], out[3] = s[S.entry_row], row, s[S.entry_price], price
    out[4], out[5], out[6], out[7], out[8] = held, fees, pnl, reason, in_bar
    s[S.trades] += 1
    s[S.held], s[S.leaving], s[S.rests] = 0, 0, 0
    s[S.streak] = s[S.streak] + 1 if pnl < 0 else 0
    if s[S.streak] >= terms.loss_streak and s[S.own_state] == ACTIVE:
        s[S.own_state] = REDUCING
        s[S.own_until] = (now_ms // DAY_MS + terms.resume_after_days) * DAY_MS


@kernel
def _slipped(terms: Terms, price: int, sign: int) -> int:
    """Return ``price`` moved against the taker and rounded to the tick against him."""
    moved, step = price * (terms.slip_scale + sign * terms.slip), terms.slip_scale * terms.tick
    ticks = moved // step
    if sign > 0 and ticks * step < moved:
        ticks += 1
    return max(ticks, 1) * terms.tick


@kernel
def _fee(terms: Terms, notional: int) -> int:
    """Return the fee of a notional in price times quantity units, rounded half to even."""
    scaled = notional * terms.fee_factor
    fee, rest = scaled // terms.fee_divisor, scaled % terms.fee_divisor
    if 2 * rest > terms.fee_divisor or (2 * rest == terms.fee_divisor and fee % 2 == 1):
        fee += 1
    return fee * terms.fee_unit


@kernel
def point(s: IntColumn, terms: Terms, now_ms: int) -> None:
    """Take equity at its mark, begin a new day where one began, and move the peak."""
    before, day = s[S.equity], now_ms // DAY_MS
    equity = s[S.cash] + s[S.held] * s[S.mark] * terms.value_of_unit
    if day != s[S.day]:
        monday = day - (day + _MONDAY) % _DAYS_OF_WEEK
        in_week = s[S.day] != NONE and s[S.day] >= monday
        s[S.week_base] = s[S.week_base] + s[S.day_pnl] if in_week else 0
        s[S.day], s[S.day_start] = day, before
    s[S.equity] = equity
    s[S.peak] = max(s[S.peak], equity)
    s[S.day_pnl] = equity - s[S.day_start]


@kernel
def compound(growth: FloatColumn, before: int, now: int, terms: Terms) -> None:
    change = (now / terms.money_scale) / (before / terms.money_scale) - 1.0
    growth[0] *= 1.0 + change


@kernel
def judge(s: IntColumn, terms: Terms, now_ms: int) -> None:
    """Let the account's breakers look; the first that is reached decides."""
    reached, day = breached(s, terms), now_ms // DAY_MS
    if reached == NO_BREACH:
        return
    until, state, forgives = day + terms.resume_after_days, REDUCING, 1
    if reached == DRAWDOWN:
        state = HALTED
    elif reached == DAY_LOSS:
        until, forgives = day + 1, 0
    elif reached == WEEK_LOSS:
        until = day - (day + _MONDAY) % _DAYS_OF_WEEK + _DAYS_OF_WEEK
        forgives = 0
    if state > s[S.state]:
        s[S.state], s[S.until], s[S.forgives] = state, until * DAY_MS, forgives


@kernel
def breached(s: IntColumn, terms: Terms) -> int:
    """Return which limit on losses of the account is reached, the first one, or NO_BREACH."""
    equity, peak, day_pnl = s[S.equity], s[S.peak], s[S.day_pnl]
    week_pnl = s[S.week_base] + day_pnl
    if _is_lost(peak - equity, peak, terms.drawdown) or (peak <= 0 and equity < 0):
        return DRAWDOWN
    if equity <= 0 or equity < terms.least_equity:
        return LOW_EQUITY
    if _is_lost(-day_pnl, equity - day_pnl, terms.day_loss):
        return DAY_LOSS
    if _is_lost(-week_pnl, equity - week_pnl, terms.week_loss):
        return WEEK_LOSS
    return NO_BREACH


@kernel
def _is_lost(loss: int, of: int, limit: tuple[int, int]) -> bool:
    """True where ``loss`` reaches the limit's share of a positive amount."""
    return of > 0 and loss * limit[1] >= limit[0] * of


@kernel
def send(s: IntColumn, terms: Terms) -> None:
    """Drop what a breaker of this bar stops, and let the stop rest that should."""
    if s[S.wanted] > 0 and trading_state(s) != ACTIVE:
        s[S.wanted] = 0
    if s[S.leaving] > 0 and s[S.state] == HALTED:
        s[S.leaving] = 0
    if s[S.leaving] > 0:
        s[S.rests] = 0
    elif s[S.held] > 0 and terms.stops_rest and not s[S.rests] and s[S.state] != HALTED:
        # a venue refuses a stop that would trigger at once, or one below its minimum
        worth = s[S.held] * s[S.stop] * terms.value_of_unit
        if s[S.mark] > s[S.stop] and worth >= terms.min_notional:
            s[S.rests] = 1


@kernel
def trading_state(s: IntColumn) -> int:
    return int(max(s[S.state], s[S.own_state]))
