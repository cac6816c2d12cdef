"""Stretches of a replay that hold no question: many quiet bars of one symbol taken at once.

On most bars of a known history nobody proposes, nothing is learned, no order meets the bar, no
breaker trips and no clock is due. What ``TradingSession.on_event`` leaves behind on such bars is
known: marks, equity points, counts and the lines of their HOLDs. ``Strides`` leaves the same
(decision record 0036); a test walks the same bars both ways. The bar that ends a stretch, whatever
ends it, goes through the session.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from engine.equity import DAY_MS, Marks
from engine.paper import PaperBroker
from engine.phases.quiet import ReplayPipeline
from engine.quality import bar_at, validate_columns
from engine.simulated_operator import SimulatedOperator
from engine.trading_book import TradingBook
from engine.types.bars import ColumnStore, EventKind, Instrument, MarketEvent, Snapshot
from engine.types.decisions import Decision
from engine.window import HistoryWindow

# What is looked at for one stretch: looking further costs time where it ends soon.
_MOST_BARS = 256


@dataclass(frozen=True, slots=True)
class Stretch:
    """Quiet bars in a row: their marks, and the HOLD of the first; those of the others differ by
    their time and price alone."""

    marks: Marks
    decision: Decision


class StretchJournal(Protocol):
    """A journal that takes quiet bars at once."""

    def record_stretch(self, stretch: Stretch) -> None:
        """Record each bar's acceptance, HOLD and equity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strides:
    """Passes over quiet bars of a replay of one symbol, whose events bring bars alone, each as it
    closes; with a book of its own, a policy that does nothing as time goes by, no side books and
    nobody who asks for anything."""

    instrument: Instrument
    window: HistoryWindow
    pipeline: ReplayPipeline
    book: TradingBook
    broker: PaperBroker
    operator: SimulatedOperator
    journal: StretchJournal

    def take(self, most_bars: int) -> int:
        """Take up to ``most_bars`` of the bars to come and return how many were taken; 0 where the
        next one must be walked through."""
        if not self.book.is_still:
            return 0
        store, row, n_rows = self.window.ahead()
        symbol = self.instrument.symbol
        last = min(n_rows, row + min(most_bars, _MOST_BARS))
        if row < last:
            last = min(last, self.pipeline.calm_until(symbol, store, row))
        if row >= last or not store.get("fit to trade on", _is_fit):
            return 0
        first = self._snapshot(store, row)
        held = self.book.holdings(symbol).values()
        last = row + self.pipeline.idle_rows(first, last, held, self._until_ms())
        bars = store.bars
        last = row + self.broker.untouched(symbol, bars.low[row:last], bars.high[row:last])
        if row >= last:
            return 0
        closes_ms = (bars.ts_ms[row:last] + bars.timeframe_ms).tolist()
        marks = self.book.pass_bars(symbol, closes_ms, bars.close[row:last].tolist())
        n_bars = len(marks.at_ms)
        if n_bars:
            self.window.skip(n_bars)
            self.journal.record_stretch(Stretch(marks, self.pipeline.hold_quiet(first)))
        return n_bars

    def _snapshot(self, store: ColumnStore, row: int) -> Snapshot:
        bar = bar_at(store.bars, row)
        close_ms = bar.ts_ms + store.bars.timeframe_ms
        event = MarketEvent(EventKind.BAR, self.instrument.symbol, close_ms, close_ms, bar)
        return Snapshot(self.instrument, event, store, row)

    def _until_ms(self) -> int:
        """Return when the UTC day of the newest equity point ends, or the operator acts."""
        day_ends_ms = (self.book.marked_at_ms // DAY_MS + 1) * DAY_MS
        acts_at_ms = self.operator.acts_at_ms
        return day_ends_ms if acts_at_ms is None else min(day_ends_ms, acts_at_ms)


def _is_fit(store: ColumnStore) -> bool:
    """True where the gate of bars lets every bar of a store pass."""
    return not validate_columns(store.bars)
