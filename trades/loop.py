"""One run at work: what is due goes to the session, under the lease, and somebody hears of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from engine.announce import EventOutcome
from engine.session import TradingSession
from engine.types.bars import EventKind, MarketEvent
from market.errors import SourceUnavailable
from trades.lease import Fence
from trades.models import TradingRun
from trades.runner import AdvanceSummary

# One advance ends after this many events, so that a task stays short while it catches up.
MAX_EVENTS_PER_ADVANCE = 100
# Beat knocks once a second; on a practice exchange that closes a bar a second or more, an advance
# goes on looking for this long, so that no bar grows old between two knocks.
KNOCK_S = 1.5
KEEP_UP_S = 0.8
POLL_S = 0.1
CLOCK_EVERY_S = 2.0


class LiveSource(Protocol):
    """A market source that also tells the venue's time."""

    def events(self) -> Sequence[MarketEvent]: ...

    def now_ms(self) -> int: ...

    def close(self) -> None: ...


class Reconciler(Protocol):
    """Compares our in-flight orders with the venue when it is time to."""

    def run_if_due(self) -> None: ...


class Watch(Protocol):
    """Hears how the loop fares; the alerts and heartbeats of a room above."""

    def advanced(self, summary: AdvanceSummary) -> None: ...

    def took(self, outcome: EventOutcome | None, seconds: float) -> None:
        """Hear how long one event took, from reading the rows to the last order sent; None where
        it raised."""

    def source_failed(self, error: SourceUnavailable) -> None: ...

    def source_answered(self) -> None: ...


class TradingLoop:
    """Implements ``trades.runner.RunningSession``. ``renew`` is asked before each event whether
    the lease is to be renewed.

    An unreachable venue ends an advance early and is told to the watch; a failed write or a lost
    lease raises, and the caller throws this object away.
    """

    def __init__(
        self,
        *,
        run: TradingRun,
        fence: Fence,
        session: TradingSession,
        source: LiveSource,
        reconciler: Reconciler,
        renew: Callable[[], None],
        has_news: Callable[[], bool],
        watch: Watch,
        between_events: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._clock = (monotonic(), 0)
        self._is_fast = False
        self._behind_bars = 0
        self.fence = fence
        self._run = run
        self._session = session
        self._source = source
        self._reconciler = reconciler
        self._renew = renew
        self._has_news = has_news
        self._watch = watch
        self._between_events = between_events

    def advance(self) -> AdvanceSummary:
        outcomes: list[EventOutcome] = []
        self._behind_bars = 0
        until_s = self._monotonic() + KEEP_UP_S
        try:
            self._reconciler.run_if_due()
            # whoever takes another seat does so here, before the advance's first event
            self._between_events()
            while self._take_due(outcomes) and self._monotonic() < until_s:
                # a venue whose clock outruns the knocks has closed another bar meanwhile, or soon
                # will: it is taken while it is fresh
                if not self._outruns_knocks():
                    break
                self._sleep(POLL_S)
            if self._has_news():
                self._renew()
                outcomes.append(self._timed(self._clock_event()))
        except SourceUnavailable as error:
            self._watch.source_failed(error)
            return self._summary("venue unavailable", outcomes)
        self._watch.source_answered()
        summary = self._summary("advanced", outcomes)
        self._watch.advanced(summary)
        return summary

    def close(self) -> None:
        self._source.close()

    def _take_due(self, outcomes: list[EventOutcome]) -> bool:
        """Process what is due now; False where this advance has done enough."""
        for i, event in enumerate(self._source.events()):
            if i == 0:
                # events come in time order: the first is the oldest that was left waiting
                waited = (event.now_ms - event.ts_ms) // self._run.timeframe_ms
                self._behind_bars = max(self._behind_bars, waited)
            self._renew()
            outcomes.append(self._timed(event))
            if len(outcomes) >= MAX_EVENTS_PER_ADVANCE:
                return False
        return True

    def _timed(self, event: MarketEvent) -> EventOutcome:
        outcome, began_s = None, self._monotonic()
        try:
            outcome = self._session.on_event(event)
            return outcome
        finally:
            self._watch.took(outcome, self._monotonic() - began_s)

    def _outruns_knocks(self) -> bool:
        """True where venue time passes so fast that a bar closes within about one knock."""
        wall_s, venue_ms = self._monotonic(), self._source.now_ms()
        was_s, was_ms = self._clock
        if wall_s - was_s >= CLOCK_EVERY_S:
            self._clock = (wall_s, venue_ms)
            pace = (venue_ms - was_ms) / 1000 / (wall_s - was_s) if was_ms else 1.0
            self._is_fast = pace * KNOCK_S * 1000 >= self._run.timeframe_ms
        return self._is_fast

    def _clock_event(self) -> MarketEvent:
        """Fills and requests need not wait for the next bar: a clock event takes them in."""
        now_ms = self._source.now_ms()
        return MarketEvent(EventKind.CLOCK, "", now_ms, now_ms)

    def _summary(self, outcome: str, outcomes: Sequence[EventOutcome]) -> AdvanceSummary:
        return AdvanceSummary(
            self._run.pk,
            outcome,
            events=len(outcomes),
            decisions=sum(len(o.decisions) for o in outcomes),
            orders=sum(len(o.submitted) for o in outcomes),
            fills=sum(len(o.fills) for o in outcomes),
            behind_bars=self._behind_bars,
        )
