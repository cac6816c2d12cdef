"""One rule over one symbol's history as columns: the session's trades, at the speed of a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from engine.column_path.asking import Books, Desk
from engine.column_path.entries import counts, switch_off
from engine.column_path.grid import Grid, NotCovered, of_units
from engine.column_path.history import History, plain
from engine.column_path.scores import SELECTED, UNSURE, Scores, no_scores, selected, voice
from engine.column_path.state import (
    ASK,
    DONE,
    EXITS,
    FULL,
    OFF_GRID,
    EntryTerms,
    Memory,
    Rule,
    S,
    Terms,
    memory,
)
from engine.column_path.terms import Setting, entry_terms_of, terms_of
from engine.column_path.walk import walk
from engine.failsafe import Failure, attempt
from engine.phases.rule_board import rule_board
from engine.ports import RuleSource
from engine.scoreboard import Scoreboard
from engine.types.bars import ColumnStore, IntColumn
from engine.types.opinions import RuleColumns

_TRADES_AT_ONCE = 4_096


@dataclass(frozen=True, slots=True)
class ColumnTrade:
    """One closed trade as the session books it; ``in_bar`` where its resting stop was reached."""

    entry_row: int
    exit_row: int
    entry_price: Decimal
    exit_price: Decimal
    quantity_base: Decimal
    fees_quote: Decimal
    pnl_quote: Decimal
    reason: str
    in_bar: bool


@dataclass(frozen=True, slots=True)
class ColumnRun:
    """What a walk found. ``equity_quote`` (n_events,) is marked at each bar's close, ``times_ms``;
    ``return_fraction`` is None below two bars; ``considered`` counts entries that might be made,
    ``asked`` those of them that phase 7 was asked; ``scores`` is the rule's scoreboard in the
    end."""

    rows: npt.NDArray[np.int64]
    times_ms: IntColumn
    equity_quote: npt.NDArray[np.float64]
    return_fraction: float | None
    considered: int
    asked: int
    scores: Scores
    grid: Grid

    @property
    def n_trades(self) -> int:
        return len(self.rows)

    def trades(self) -> Iterator[ColumnTrade]:
        """Yield the closed trades, oldest first."""
        grid = self.grid
        for entry, leaving, paid, got, held, fees, pnl, reason, in_bar in self.rows.tolist():
            yield ColumnTrade(
                entry,
                leaving,
                of_units(paid, grid.price),
                of_units(got, grid.price),
                of_units(held, grid.quantity),
                of_units(fees, grid.money),
                of_units(pnl, grid.money),
                EXITS[reason],
                bool(in_bar),
            )


def column_trades(history: History, rule: RuleSource, setting: Setting) -> ColumnRun:
    """Walk one rule over a history.

    Raises:
        NotCovered: settings, prices or a figure on its limit that only the session can judge.
    """
    if setting.instrument.shortable:
        raise NotCovered(f"{setting.instrument.symbol} may be sold short")
    grid = Grid.of(setting.instrument, setting.cash_quote)
    terms = terms_of(setting, grid, history.bars)
    # a store of its own: the rule's columns are given back with it
    board = rule_board((rule,), ColumnStore(history.bars), _answered)
    columns = board.columns[rule.code]
    said = Rule(
        plain(columns.side > 0),
        plain(np.ascontiguousarray(board.probability_up[:, 0])),
        plain(columns.exit_long),
        plain(columns.stop_price),
        plain(columns.target_price),
    )
    desk = Desk(
        strategy=rule.code,
        instrument=setting.instrument,
        history=history,
        board=board,
        config=setting.config,
        limits=setting.limits,
    )
    first, last = history.first_row, len(history.bars)
    kept = memory(
        grid.in_money(setting.cash_quote),
        last - first,
        no_scores(Scoreboard().window),
        _TRADES_AT_ONCE,
        history.bars.timeframe_ms,
    )
    kept.state[S.row] = first
    entry = entry_terms_of(setting, grid, history.bars.timeframe_ms, is_sure=history.is_sound)
    kept = _walked(history, said, terms, entry, kept, desk, grid)
    found = kept.trades[: kept.state[S.trades]].copy()
    return ColumnRun(
        found,
        history.bars.ts_ms[first:last] + history.bars.timeframe_ms,
        kept.equity / terms.money_scale,
        float(kept.growth[0] - 1.0) if last - first > 1 else None,
        int(kept.state[S.considered]),
        desk.asked,
        kept.scores,
        grid,
    )


def _walked(
    history: History,
    said: Rule,
    terms: Terms,
    entry: EntryTerms,
    kept: Memory,
    desk: Desk,
    grid: Grid,
) -> Memory:
    first, last = history.first_row, len(history.bars)
    while True:
        why = walk(history.market, said, terms, entry, kept, first, last)
        row = int(kept.state[S.row])
        if why == DONE:
            return kept
        if why == FULL:
            kept = kept._replace(trades=np.concatenate((kept.trades, np.zeros_like(kept.trades))))
        elif why == ASK:
            try:
                decide(kept, terms, desk, row, history, grid)
            except NotCovered as error:
                raise NotCovered(error.reason, history.close_ms(row)) from error
        else:
            what = (
                "a price is off the grid of ticks" if why == OFF_GRID else "equity grew too large"
            )
            raise NotCovered(what, history.close_ms(row))


def decide(kept: Memory, terms: Terms, desk: Desk, row: int, history: History, grid: Grid) -> None:
    """Write phase 7's answer into the walk's memory."""
    s = kept.state
    found = selected(kept.scores, int(history.market.regime[row]), desk.minimum_performance)
    if found == UNSURE:
        raise NotCovered("the rule's score lay on its limit")
    books = Books(
        of_units(s[S.equity], grid.money),
        of_units(s[S.peak], grid.money),
        of_units(s[S.day_pnl], grid.money),
        of_units(s[S.week_base] + s[S.day_pnl], grid.money),
        int(s[S.streak]),
        counts(kept, history.close_ms(row)),
        found == SELECTED,
        voice(kept.scores),
    )
    answer, is_switched_off = desk.ask(row, books)
    if is_switched_off:
        switch_off(s, terms, history.close_ms(row))
    if answer.sizing.denied is not None or answer.sizing.quantity_base <= 0:
        return
    if answer.stop_price is None:
        raise NotCovered("an entry had no stop")
    s[S.wanted] = grid.in_quantity(answer.sizing.quantity_base)
    s[S.wanted_stop] = grid.in_price(answer.stop_price)
    target = answer.target_price
    s[S.wanted_target] = -1 if target is None else grid.in_price(target)


def _answered(rule: RuleSource, call: Callable[[], RuleColumns]) -> RuleColumns | None:
    answer = attempt(call, f"rule {rule.code}")
    if isinstance(answer, Failure):
        raise NotCovered(f"the rule failed: {answer.text}")
    return answer
