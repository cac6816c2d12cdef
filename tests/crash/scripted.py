"""The platform's own session with scripted signals: many orders, at bars that are known ahead.

Only the rules are replaced; the pipeline, the journal, the order path and the loop are the real
ones. Every strategy enters and leaves by the number of the bar, so a restart repeats itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from django.conf import settings

from engine.announce import EventOutcome
from engine.phases.config import PipelineConfig, Readiness
from engine.ports import RuleSource
from engine.session import TradingSession
from engine.types.bars import ColumnStore, MarketEvent
from engine.types.opinions import REGIMES, Regime, RuleColumns
from tests.crash import arming, moments, mutants
from tradeplatform import bootstrap, running
from trades import failpoints
from trades.lease import Fence
from trades.models import TradingRun
from trades.runner import AdvanceSummary, RunningSession

# Of the 2,500 a session keeps: enough for every rule here, and a tenth of the time of a start.
WINDOW_BARS = 250
CYCLE_BARS = 2
ENTRY_BARS = 1


class ScriptedRule:
    """Enters in the first bars of each cycle and leaves in all others; every second code a bar
    later, so that at each bar somebody enters and somebody leaves."""

    def __init__(self, code: str, phase: int) -> None:
        self._code = code
        self._phase = phase

    @property
    def code(self) -> str:
        return self._code

    @property
    def favourable_regimes(self) -> frozenset[Regime]:
        return frozenset(REGIMES)

    @property
    def warm_up_bars(self) -> int:
        return 60

    def columns(self, store: ColumnStore) -> RuleColumns:
        bars = store.bars
        at = (bars.ts_ms // bars.timeframe_ms + self._phase) % CYCLE_BARS
        enters, leaves = at < ENTRY_BARS, at >= ENTRY_BARS
        n = len(bars)
        return RuleColumns(
            side=np.where(enters, 1, 0).astype(np.int64),
            probability_up=np.where(enters, 0.7, 0.6),
            confidence=np.where(enters, 0.9, 0.0),
            stop_price=np.where(enters, bars.close * 0.95, np.nan),
            target_price=np.where(enters, bars.close * 1.10, np.nan),
            exit_long=leaves,
            exit_short=np.zeros(n, dtype=np.bool_),
        )


def scripted_rules(
    params: Mapping[str, Mapping[str, Any]], codes: Sequence[str]
) -> tuple[RuleSource, ...]:
    """Stand in for ``strategies.core.registry.rule_sources``."""
    return tuple(ScriptedRule(code, number) for number, code in enumerate(codes))


def never_waiting(**values: Any) -> PipelineConfig:
    """The shipped pipeline, but ready at once: after each kill some bars are too old to trade on,
    and the wait for 30 bars without a gap would leave the harness nothing to kill."""
    return PipelineConfig(required_readiness=Readiness.NOT_READY, **values)


class NotedSession(TradingSession):
    """A session whose process notes where an event begins and ends."""

    def on_event(self, event: MarketEvent) -> EventOutcome:
        note = moments.noting(settings.VAR_DIR)
        note(moments.DECIDING)
        try:
            return super().on_event(event)
        finally:
            note(moments.BETWEEN)


# a worker of the harness trades by script from its first session on
mutants.plant(os.environ.get(mutants.VARIABLE, ""))
bootstrap.rule_sources = scripted_rules  # type: ignore[assignment]
bootstrap.PipelineConfig = never_waiting  # type: ignore[assignment,misc]
running.TradingSession = NotedSession  # type: ignore[misc]
running.WINDOW_BARS = WINDOW_BARS


class ArmedSession:
    """A running session that notes where it is, and looks for a wish of the harness before each
    advance."""

    def __init__(self, run: TradingRun, fence: Fence) -> None:
        self.fence = fence
        self._note = moments.noting(settings.VAR_DIR)
        self._note(moments.BEGINNING)
        moments.arm_notes(settings.VAR_DIR, {})
        arm_what_is_wished()
        self._session = running.running_session(run, fence)

    def advance(self) -> AdvanceSummary:
        arm_what_is_wished()
        try:
            return self._session.advance()
        finally:
            self._note(moments.WAITING)

    def close(self) -> None:
        self._session.close()


def arm_what_is_wished() -> None:
    places = arming.take(settings.VAR_DIR)
    if places:
        moments.arm_notes(settings.VAR_DIR, failpoints.parse(places))


def running_session(run: TradingRun, fence: Fence) -> RunningSession:
    """Build the platform's session; the settings of the harness name this function."""
    return ArmedSession(run, fence)
