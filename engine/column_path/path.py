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
    NONE,
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
    return Walk.over(history, rule, setting).run()


@dataclass(slots=True, repr=False)
class Walk:
    """One rule's walk: what it is given, what it remembers, and whom it asks."""

    history: History
    said: Rule
    terms: Terms
    entry: EntryTerms
    grid: Grid
    desk: Desk
    kept: Memory

    @classmethod
    def over(cls, history: History, rule: RuleSource, setting: Setting) -> Walk:
        """Return a walk before its first bar; see ``column_trades``."""
        if setting.instrument.shortable:
            raise NotCovered(f"{setting.instrument.symbol} may be sold short")
        grid, bars = Grid.of(setting.instrument, setting.cash_quote), history.bars
        terms = terms_of(setting, grid, bars)
        # a store of its own: the rule's columns are given back with it
        board = rule_board((rule,), ColumnStore(bars), _answered)
        columns = board.columns[rule.code]
        said = Rule(
            plain(columns.side > 0),
            plain(board.probability_up[:, 0]),
            plain(columns.exit_long),
            plain(columns.stop_price),
            plain(columns.target_price),
        )
        kept = memory(
            grid.in_money(setting.cash_quote),
            len(bars) - history.first_row,
            no_scores(Scoreboard().window),
            _TRADES_AT_ONCE,
            bars.timeframe_ms,
        )
        kept.state[S.row] = history.first_row
        entry = entry_terms_of(setting, grid, bars.timeframe_ms, is_sure=history.is_sound)
        desk = Desk(
            strategy=rule.code,
            instrument=setting.instrument,
            history=history,
            board=board,
            config=setting.config,
            limits=setting.limits,
        )
        return cls(history, said, terms, entry, grid, desk, kept)

    def run(self) -> ColumnRun:
        """Walk to the last bar; see ``column_trades``."""
        history, bars = self.history, self.history.bars
        first, last = history.first_row, len(bars)
        market, said, terms, entry = history.market, self.said, self.terms, self.entry
        while (why := walk(market, said, terms, entry, self.kept, first, last)) != DONE:
            row = int(self.kept.state[S.row])
            if why == FULL:
                room = np.zeros_like(self.kept.trades)
                self.kept = self.kept._replace(trades=np.concatenate((self.kept.trades, room)))
            elif why == ASK:
                try:
                    self.ask(row)
                except NotCovered as error:
                    raise NotCovered(error.reason, history.close_ms(row)) from error
            else:
                is_off = why == OFF_GRID
                what = "a price is off the grid of ticks" if is_off else "equity grew too large"
                raise NotCovered(what, history.close_ms(row))
        kept, state = self.kept, self.kept.state
        return ColumnRun(
            kept.trades[: state[S.trades]].copy(),
            bars.ts_ms[first:last] + bars.timeframe_ms,
            kept.equity / terms.money_scale,
            float(kept.growth[0] - 1.0) if last - first > 1 else None,
            int(state[S.considered]),
            self.desk.asked,
            kept.scores,
            self.grid,
        )

    def ask(self, row: int) -> None:
        """Write phase 7's answer to the entry of ``row`` into the walk's memory.

        Raises:
            NotCovered: a figure lies so near its limit that its last digit decides.
        """
        kept, s, grid = self.kept, self.kept.state, self.grid
        at_ms = self.history.close_ms(row)
        regime = int(self.history.market.regime[row])
        found = selected(kept.scores, regime, self.desk.minimum_performance)
        if found == UNSURE:
            raise NotCovered("the rule's score lay on its limit")
        books = Books(
            of_units(s[S.equity], grid.money),
            of_units(s[S.peak], grid.money),
            of_units(s[S.day_pnl], grid.money),
            of_units(s[S.week_base] + s[S.day_pnl], grid.money),
            int(s[S.streak]),
            counts(kept, at_ms),
            found == SELECTED,
            voice(kept.scores),
        )
        answer, is_switched_off = self.desk.ask(row, books)
        if is_switched_off:
            switch_off(s, self.terms, at_ms)
        if answer.sizing.denied is not None or answer.sizing.quantity_base <= 0:
            return
        if answer.stop_price is None:
            raise NotCovered("an entry had no stop")
        s[S.wanted] = grid.in_quantity(answer.sizing.quantity_base)
        s[S.wanted_stop] = grid.in_price(answer.stop_price)
        target = answer.target_price
        s[S.wanted_target] = NONE if target is None else grid.in_price(target)


def _answered(rule: RuleSource, call: Callable[[], RuleColumns]) -> RuleColumns | None:
    answer = attempt(call, f"rule {rule.code}")
    if isinstance(answer, Failure):
        raise NotCovered(f"the rule failed: {answer.text}")
    return answer
