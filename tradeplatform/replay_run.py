"""A replay as it is wired: what it is made of, and how it is fed to the end."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from engine.phases.pipeline import Pipeline
from engine.ports import OptimizationPolicy
from engine.session import TradingSession
from engine.simulated_operator import SimulatedOperator
from engine.stretch import Strides
from engine.types.bars import EventKind, MarketEvent
from engine.types.decisions import JsonValue
from engine.types.ledger import Trade
from market.sources.history import HistorySource
from research.core.journal import MemoryJournal
from strategies.core.desk import EvolutionDesk

_GC_OBJECTS = 100_000


class ReplayedLayer(OptimizationPolicy, Protocol):
    """An optimization layer that updates itself on event time."""

    def record_shadow(self, trade: Trade) -> None:
        """Hear of a virtual trade as it closes."""

    def summary(self) -> dict[str, JsonValue]:
        """Return what it did, for the replay's result."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A session over history with everything it is made of; ``run`` feeds it to the end.

    ``layer`` is None where the optimization layer is off. ``strides`` pass over quiet bars; None
    where each bar is walked on its own.
    """

    source: HistorySource
    session: TradingSession
    journal: MemoryJournal
    operator: SimulatedOperator
    pipeline: Pipeline
    desk: EvolutionDesk | None = None
    layer: ReplayedLayer | None = None
    strides: Strides | None = None

    def run(self, every: int = 0, progress: Callable[[int], None] | None = None) -> float:
        """Process every event; returns the seconds it took. ``progress`` hears each ``every``."""
        started_s = time.monotonic()
        usual = gc.get_threshold()
        # what a bar makes is freed by its last reference; looking for cycles every few hundred
        # objects costs a tenth of the time
        gc.set_threshold(_GC_OBJECTS, *usual[1:])
        try:
            told = every if progress is not None and every else len(self.source)
            for number in self._numbers(told):
                if progress is not None and every and number % every == 0:
                    progress(number)
        finally:
            gc.set_threshold(*usual)
        return time.monotonic() - started_s

    def _numbers(self, every: int) -> Iterator[int]:
        """Process every event; yield how many were after each, or after each stretch of them that
        ends at a multiple of ``every`` at the latest."""
        strides = self.strides
        if strides is None:
            for number, event in enumerate(self.source.events(), start=1):
                self.step(event)
                yield number
            return
        events, number = self.source.symbol_events(strides.instrument.symbol), 0
        for event in events:
            self.step(event)
            number += 1
            yield number
            while taken := strides.take(every - number % every):
                events.skip(taken)
                number += taken
                yield number

    def step(self, event: MarketEvent) -> None:
        """Process one event; what it taught decides, before the next, who sits from then on."""
        outcome = self.session.on_event(event)
        if self.session.has_news():
            # what filled as it was sent is booked, and protected, before the next bar
            now = event.now_ms
            self.session.on_event(MarketEvent(EventKind.CLOCK, "", event.ts_ms, now))
        if self.desk is not None and (outcome.triggers or outcome.trials):
            seats = self.desk.after(outcome.triggers, outcome.trials, event.ts_ms)
            if seats is not None:
                self.pipeline.reseat(seats, event.ts_ms)

    def events(self) -> Iterator[MarketEvent]:
        """Yield the events without processing them."""
        return iter(self.source.events())
