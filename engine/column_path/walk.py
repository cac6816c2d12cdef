"""The walk of one rule over bars in a compiled loop.

The order within a bar is the session's: what fills, then the operator's word, the books, the
decision, what is learned, the breakers, what rests and leaves. Where an entry may be made its terms
decide; the loop stops (``ASK``) where only phase 7 can tell, and goes on with its answer.
"""

from __future__ import annotations

from engine.column_path.books import (
    compound,
    fill,
    judge,
    observe,
    on_grid,
    point,
    send,
    trading_state,
)
from engine.column_path.entries import UNSURE, judge_entry, note
from engine.column_path.scores import record
from engine.column_path.state import (
    ACTIVE,
    ASK,
    DONE,
    FULL,
    HALTED,
    MAX_HOLDING,
    NONE,
    OFF_GRID,
    RULE_EXIT,
    STOP,
    TARGET,
    TOO_LARGE,
    EntryTerms,
    Market,
    Memory,
    Rule,
    S,
    Terms,
)
from engine.compiled import kernel
from engine.types.bars import IntColumn


@kernel
def walk(
    market: Market,
    rule: Rule,
    terms: Terms,
    entry: EntryTerms,
    memory: Memory,
    first: int,
    last: int,
) -> int:
    """Walk rows from ``state.row`` to ``last`` (excluded); return why it stopped.

    ``first`` is the row of the first event. After ``ASK`` the caller writes ``wanted`` with its
    stop and target, or leaves them, and calls again.
    """
    s = memory.state
    while s[S.row] < last:
        row = s[S.row]
        now_ms = market.ts_ms[row] + terms.timeframe_ms
        if s[S.asked] == 0:
            if s[S.trades] >= memory.trades.shape[0]:
                return FULL
            observe(s, terms, now_ms)
            if not fill(s, market, terms, memory.trades, row, now_ms):
                return OFF_GRID
            if s[S.held] > 0:
                s[S.mark] = on_grid(market.close[row], terms.price_scale)
                if s[S.mark] == NONE:
                    return OFF_GRID
            before = s[S.equity]
            point(s, terms, now_ms)
            if s[S.equity] > terms.most_equity:
                return TOO_LARGE
            if s[S.equity] != before and row > first and before > 0:
                compound(memory.growth, before, s[S.equity], terms)
            s[S.decided] = 0
            if s[S.held] > 0:
                _leave(s, market, rule, terms, row, now_ms)
            elif (
                rule.enters[row]
                and trading_state(s) == ACTIVE
                and market.ready[row]
                and judge_entry(market, rule, terms, entry, memory, row, now_ms) == UNSURE
            ):
                s[S.asked] = 1
                return ASK
        s[S.asked] = 0
        if s[S.wanted] > 0:
            s[S.decided] = 1
            note(memory, now_ms)
        _learn(memory, market, rule, terms, row, now_ms)
        judge(s, terms, now_ms)
        send(s, terms)
        memory.equity[row - first] = s[S.equity]
        s[S.row] = row + 1
    return DONE


@kernel
def _leave(s: IntColumn, market: Market, rule: Rule, terms: Terms, row: int, now_ms: int) -> None:
    """Ask to leave at the next open where stop, target, rule or holding time say so.

    Where a bar touched both stop and target, the stop counts.
    """
    reason = 0
    if market.low[row] <= s[S.stop] / terms.price_scale:
        reason = STOP
    elif s[S.target] != NONE and market.high[row] >= s[S.target] / terms.price_scale:
        reason = TARGET
    elif rule.exit_long[row]:
        reason = RULE_EXIT
    elif now_ms - s[S.opened_ms] >= terms.max_holding_bars * terms.timeframe_ms:
        reason = MAX_HOLDING
    if reason == 0 or s[S.state] == HALTED:
        return
    # an order below the venue's minimum cannot leave either
    if s[S.held] * s[S.mark] * terms.value_of_unit >= terms.min_notional:
        s[S.leaving], s[S.decided] = reason, 1


@kernel
def _learn(memory: Memory, market: Market, rule: Rule, terms: Terms, row: int, now_ms: int) -> None:
    """Settle opinions whose horizon has come, and remember this bar's where one is wanted.

    One whose bar at the horizon never came is dropped.
    """
    s = memory.state
    horizon_ms = terms.horizon_bars * terms.timeframe_ms
    while s[S.waiting] > 0:
        at = s[S.waiting_first]
        at_ms = memory.waiting[at, 0]
        if at_ms > now_ms - horizon_ms:
            break
        if at_ms > now_ms - 2 * horizon_ms:
            regime, probability = memory.waiting[at, 1], memory.waiting_up[at, 0]
            is_up = market.close[row] > memory.waiting_up[at, 1]
            record(memory.scores, regime, probability, is_up)
        s[S.waiting_first] = (at + 1) % memory.waiting.shape[0]
        s[S.waiting] -= 1
    on_stride = (now_ms // terms.timeframe_ms) % terms.learn_every_bars == 0
    probability = rule.probability_up[row]
    has_opinion = market.ready[row] and abs(probability - 0.5) >= terms.opinion_margin
    if not has_opinion or not (on_stride or s[S.decided]):
        return
    at = (s[S.waiting_first] + s[S.waiting]) % memory.waiting.shape[0]
    memory.waiting[at, 0], memory.waiting[at, 1] = now_ms, market.regime[row]
    memory.waiting_up[at, 0], memory.waiting_up[at, 1] = probability, market.close[row]
    s[S.waiting] += 1
