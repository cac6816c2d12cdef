"""An entry judged as phase 7 judges it, by numbers alone, or UNSURE: then phase 7 is asked.

Prices are whole ticks and exact. Sizes are floats with room for every rounding on the way: one that
lies so near to a whole lot that its last digits decide is not judged here. A test asks phase 7 the
same questions and compares every answer (decision record 0037).
"""

from __future__ import annotations

import numpy as np

from engine.column_path.books import NO_BREACH, breached
from engine.column_path.history import WARM_ROW
from engine.column_path.scores import CLOSE_CALL, SELECTED, selected, voice
from engine.column_path.scores import UNSURE as SCORE_UNSURE
from engine.column_path.state import (
    NONE,
    REDUCING,
    EntryTerms,
    Market,
    Memory,
    Rule,
    S,
    Terms,
)
from engine.compiled import kernel
from engine.risk import DAY_MS, HOUR_MS
from engine.standing import LATELY_MS
from engine.types.bars import IntColumn

REFUSED, TAKEN, SWITCHED_OFF, UNSURE = range(4)
# Whole numbers up to this have at most 15 digits with one more decimal: a float spells each of them
# apart, so that comparing floats compares what they spell.
_MOST_UNITS = 1e14
# Rounding of the steps of a size and of one more sum, as parts of it; with room to spare.
_ROUNDED, _ADDED = 1e-12, 2.5e-16
# Rooms of market volume are cut to this step, see ``engine.controls``.
_ROOM_STEP = 1e-12


@kernel
def judge_entry(
    market: Market,
    rule: Rule,
    terms: Terms,
    entry: EntryTerms,
    memory: Memory,
    row: int,
    now_ms: int,
) -> int:
    """Judge and size the entry that the rule proposes on ``row``; the account is flat.

    TAKEN: ``wanted`` is written with its stop and target. SWITCHED_OFF: refused, and the strategy
    takes no entries for some days. UNSURE: nothing is written.
    """
    s = memory.state
    s[S.considered] += 1
    is_known = selected(memory.scores, market.regime[row], entry.minimum_performance)
    if not entry.is_sure or row < WARM_ROW or is_known == SCORE_UNSURE:
        return UNSURE
    price = nearest_tick(market.close[row], terms)
    if price <= 0:
        return UNSURE
    if not (_is_ready(market, terms, entry, row) and _is_calm(market, entry, row)):
        return REFUSED
    stop_price, target_price = rule.stop_price[row], rule.target_price[row]
    # what is not finite is left out; a stop that is none is refused
    if not 0.0 < stop_price < np.inf:
        return REFUSED
    stop, target = tick_above(stop_price, terms), NONE
    if np.isfinite(target_price):
        target = nearest_tick(target_price, terms)
        if target < 0:
            return UNSURE
        if not abs(target_price - market.close[row]) / market.close[row] >= entry.least_target:
            return REFUSED
    if stop == NONE:
        return UNSURE
    if stop >= price:
        return REFUSED
    factor = _trusted(memory, entry, rule.probability_up[row], is_known == SELECTED)
    if factor == NONE:
        return UNSURE
    if factor <= 0.0 or breached(s, terms) != NO_BREACH or s[S.streak] >= terms.loss_streak:
        return REFUSED
    last_hour, last_day, lately, of_day = counts(memory, now_ms)
    if last_hour >= entry.per_hour or last_day >= entry.per_day:
        return REFUSED
    if lately >= entry.lately or of_day >= entry.lately_day:
        switch_off(s, terms, now_ms)
        return SWITCHED_OFF
    lots = _lots(market, terms, entry, s[S.equity], row, price, stop, factor)
    if lots == NONE:
        return UNSURE
    wanted = lots * entry.lot
    if lots < entry.least_lots or wanted * price * terms.value_of_unit < terms.min_notional:
        return REFUSED
    s[S.wanted], s[S.wanted_stop], s[S.wanted_target] = wanted, stop, target
    return TAKEN


# -- prices ----------------------------------------------------------------------------------------


@kernel
def _ticks_below(value: float, terms: Terms) -> int:
    """Return the whole ticks in a price above 0, NONE where it is too large to be told apart."""
    if not value * terms.price_scale < _MOST_UNITS:
        return NONE
    ticks = int(value * terms.price_scale / terms.tick)
    while ticks * terms.tick / terms.price_scale > value:
        ticks -= 1
    while (ticks + 1) * terms.tick / terms.price_scale <= value:
        ticks += 1
    return ticks


@kernel
def tick_above(value: float, terms: Terms) -> int:
    """Return a price above 0 rounded up to the tick, in price units, or NONE."""
    ticks = _ticks_below(value, terms)
    if ticks == NONE or ticks * terms.tick / terms.price_scale == value:
        return ticks * terms.tick if ticks != NONE else NONE
    return (ticks + 1) * terms.tick


@kernel
def nearest_tick(value: float, terms: Terms) -> int:
    """Return a price above 0 rounded to the tick, half to even, in price units, or NONE."""
    if not value > 0.0:
        return NONE
    ticks = _ticks_below(value, terms)
    if ticks == NONE:
        return NONE
    middle = (2 * ticks + 1) * terms.tick / (2.0 * terms.price_scale)
    if value > middle or (value == middle and ticks % 2 == 1):
        ticks += 1
    return ticks * terms.tick


# -- gates -----------------------------------------------------------------------------------------


@kernel
def _is_ready(market: Market, terms: Terms, entry: EntryTerms, row: int) -> bool:
    """True where enough bars came in a row, and since the regime changed; see ``readiness``."""
    in_a_row = 1
    while (
        in_a_row < min(entry.bars_after_gap, row + 1)
        and market.ts_ms[row - in_a_row + 1] - market.ts_ms[row - in_a_row] == terms.timeframe_ms
    ):
        in_a_row += 1
    continuity = min(1.0, in_a_row / entry.bars_after_gap)
    dwell = min(1.0, market.dwell_bars[row] / entry.dwell_bars)
    return bool(min(continuity, dwell) >= entry.least_readiness)


@kernel
def _is_calm(market: Market, entry: EntryTerms, row: int) -> bool:
    """True where no price of the last minutes jumped; see ``controls.worst_jump``."""
    at = row
    while at > 0 and (at == row or market.ts_ms[row] - market.ts_ms[at] < entry.jump_pause_ms):
        if abs(market.open[at] / market.close[at - 1] - 1.0) >= entry.jump_1m:
            return False
        for back, most in ((entry.bars_of_1m, entry.jump_1m), (entry.bars_of_5m, entry.jump_5m)):
            if 0 < back <= at:
                before = market.close[at - back]
                if max(market.high[at] / before - 1.0, 1.0 - market.low[at] / before) >= most:
                    return False
        at -= 1
    return True


@kernel
def _trusted(memory: Memory, entry: EntryTerms, probability: float, is_selected: bool) -> float:
    """Return the share of its size that the rule's standing leaves: 0 where the vote or the verdict
    denies, NONE where the vote lies on its limit or nothing is said."""
    lean = probability - 0.5
    if not is_selected or abs(lean) < entry.opinion_margin:
        return entry.unreliable_factor
    if lean == 0.0:
        return NONE
    room = 0.5 + voice(memory.scores) * lean - entry.veto_probability
    if abs(room) <= CLOSE_CALL:
        return NONE
    if room < 0.0:
        return 0.0
    # one opinion alone is weak however much it is trusted, see ``Desk``
    return entry.weak_factor


# -- counts ----------------------------------------------------------------------------------------


@kernel
def counts(memory: Memory, now_ms: int) -> tuple[int, int, int, int]:
    """Return the entries of the last hour and day, and those of the last 15 minutes and day that
    were not forgotten with a reset; see ``OrderThrottle`` and ``EntryCounts``."""
    s = memory.state
    s[S.of_day] = _since(memory, s[S.of_day], now_ms - DAY_MS)
    s[S.of_hour] = _since(memory, max(s[S.of_hour], s[S.of_day]), now_ms - HOUR_MS)
    s[S.of_lately] = _since(memory, max(s[S.of_lately], s[S.of_day]), now_ms - LATELY_MS)
    entered, forgotten = s[S.entered], s[S.forgotten]
    return (
        entered - s[S.of_hour],
        entered - s[S.of_day],
        entered - max(s[S.of_lately], forgotten),
        entered - max(s[S.of_day], forgotten),
    )


@kernel
def _since(memory: Memory, first: int, over_ms: int) -> int:
    ring = memory.entered
    while first < memory.state[S.entered] and ring[first % ring.shape[0]] <= over_ms:
        first += 1
    return first


@kernel
def note(memory: Memory, now_ms: int) -> None:
    """Remember one entry; ``counts`` was asked on the same bar."""
    s = memory.state
    memory.entered[s[S.entered] % memory.entered.shape[0]] = now_ms
    s[S.entered] += 1


@kernel
def switch_off(s: IntColumn, terms: Terms, now_ms: int) -> None:
    """Let the strategy take no entries until the stated operator looks."""
    s[S.own_state] = REDUCING
    s[S.own_until] = (now_ms // DAY_MS + terms.resume_after_days) * DAY_MS


# -- sizes -----------------------------------------------------------------------------------------


@kernel
def _lots(
    market: Market,
    terms: Terms,
    entry: EntryTerms,
    equity_units: int,
    row: int,
    price_units: int,
    stop_units: int,
    factor: float,
) -> int:
    """Return the whole lots of an entry, NONE where rounding could make them one more or less.

    The steps are those of ``risk_and_sizing.base_size`` and ``limits.apply`` for a flat account.
    """
    equity, price = equity_units / terms.money_scale, price_units / terms.price_scale
    at_risk = (price_units - stop_units) / terms.price_scale
    by_risk = entry.risk_per_trade * equity / (at_risk + entry.fees_fraction * price)
    cap_quote = min(entry.max_position * equity, entry.max_order_quote)
    size = min(by_risk, entry.base_share_of_cap * cap_quote / price)
    # without a layer the multiplier is 1, so what is at risk stays below its cap
    size *= entry.risk_factors[market.risk[row]] * factor
    size = min(size, entry.most_share * equity / price, entry.max_order_quote / price)
    size = min(size, entry.spendable_share * equity / price)
    bars = min(entry.volume_bars, row + 1)
    room = _volume_room(market, terms, entry, row, bars, size)
    if room <= 0.0:
        return 0
    lots = min(size, room) / entry.lot_base
    slack = (_ROUNDED + _ADDED * bars) * (1.0 + lots)
    if room < np.inf:
        slack += 2.0 * _ROOM_STEP / entry.lot_base
    return NONE if abs(lots - np.rint(lots)) <= slack else int(lots)


@kernel
def _volume_room(
    market: Market, terms: Terms, entry: EntryTerms, row: int, bars: int, size: float
) -> float:
    """Return the room that market volume leaves, infinite where it is clearly above ``size``."""
    share = entry.volume_share / bars
    enough = (size * (1.0 + 1e-9) + 10.0 * _ROOM_STEP) / share
    total = 0.0
    for at in range(row, row - bars, -1):
        total += market.volume[at]
        if total > enough:
            return np.inf
    return total * share
