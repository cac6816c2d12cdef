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
    horizon_ms = terms.horizon_bars * terms.timeframe_ms
    stride_ms = terms.learn_every_bars * terms.timeframe_ms
    while s[S.row] < last:
        row = s[S.row]
        now_ms = market.ts_ms[row] + terms.timeframe_ms
        if s[S.asked] == 0:
            if s[S.trades] >= memory.trades.shape[0]:
                return FULL
            if trading_state(s) != ACTIVE:
                observe(s, terms, now_ms)
            if (s[S.wanted] > 0 or s[S.leaving] > 0 or s[S.rests]) and not fill(
                s, market, terms, memory.trades, row, now_ms
            ):
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
                _leave(s, terms, market.low[row], market.high[row], rule.exit_long[row], now_ms)
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
        if s[S.waiting] > 0 and memory.waiting[s[S.waiting_first], 0] <= now_ms - horizon_ms:
            _settle(memory, market.close[row], now_ms, horizon_ms)
        if s[S.decided] or now_ms % stride_ms == 0:
            probability = rule.probability_up[row]
            if market.ready[row] and abs(probability - 0.5) >= terms.opinion_margin:
                _keep(memory, now_ms, market.regime[row], probability, market.close[row])
        judge(s, terms, now_ms)
        send(s, terms)
        memory.equity[row - first] = s[S.equity]
        s[S.row] = row + 1
    return DONE


@kernel
def _leave(
    s: IntColumn, terms: Terms, low: float, high: float, asks_to_leave: bool, now_ms: int
) -> None:
    """Ask to leave at the next open where stop, target, rule or holding time say so.

    Where a bar touched both stop and target, the stop counts.
    """
    reason = 0
    if low <= s[S.stop] / terms.price_scale:
        reason = STOP
    elif s[S.target] != NONE and high >= s[S.target] / terms.price_scale:
        reason = TARGET
    elif asks_to_leave:
        reason = RULE_EXIT
    elif now_ms - s[S.opened_ms] >= terms.max_holding_bars * terms.timeframe_ms:
        reason = MAX_HOLDING
    if reason == 0 or s[S.state] == HALTED:
        return
    # an order below the venue's minimum cannot leave either
    if s[S.held] * s[S.mark] * terms.value_of_unit >= terms.min_notional:
        s[S.leaving], s[S.decided] = reason, 1


@kernel
def _settle(memory: Memory, close: float, now_ms: int, horizon_ms: int) -> None:
    """Settle the opinions whose horizon has come; one whose bar never came is dropped."""
    s = memory.state
    while s[S.waiting] > 0:
        at = s[S.waiting_first]
        at_ms = memory.waiting[at, 0]
        if at_ms > now_ms - horizon_ms:
            break
        if at_ms > now_ms - 2 * horizon_ms:
            regime, probability = memory.waiting[at, 1], memory.waiting_up[at, 0]
            record(memory.scores, regime, probability, close > memory.waiting_up[at, 1])
        s[S.waiting_first] = (at + 1) % memory.waiting.shape[0]
        s[S.waiting] -= 1


@kernel
def _keep(memory: Memory, now_ms: int, regime: int, probability: float, close: float) -> None:
    """Remember an opinion until its horizon has come."""
    s = memory.state
    at = (s[S.waiting_first] + s[S.waiting]) % memory.waiting.shape[0]
    memory.waiting[at, 0], memory.waiting[at, 1] = now_ms, regime
    memory.waiting_up[at, 0], memory.waiting_up[at, 1] = probability, close
    s[S.waiting] += 1
