"""A sweep from its first unit, or the one after the last stored, to its verdict."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from django.conf import settings

from engine.column_path.grid import NotCovered
from engine.failsafe import Failure, attempt
from engine.types.bars import FloatColumn, IntColumn
from research.core.search import Range, ranges_of
from research.core.sweep import IN_SAMPLE, Outcome, Unit, summary, unit_after
from research.core.traced_journal import TracedJournal
from research.core.walk_forward import Window, period_ms_of, period_returns, windows_of
from research.errors import ReplayStopped
from research.models import Sweep, SweepStatus
from research.pulse import Pulse
from research.sweep_services import (
    outcomes_of,
    sweep_end,
    sweep_pulse,
    sweep_release,
    unit_store,
)
from strategies.core.errors import StrategyError
from strategies.core.registry import parameter_defaults, rule_sources
from tradeplatform.bootstrap import with_strategies
from tradeplatform.column_units import COLUMNS, SESSION, ColumnHistories, column_run
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.replay_jobs import STOPPED_BY_PLATFORM, TOLD, request_of
from tradeplatform.replay_request import Progress, ReplayRequest

logger = logging.getLogger(__name__)
Say = Callable[[str], None]
OUT_OF_SAMPLE = "judged out of sample"


def sweep_run(
    sweep: Sweep, *, pulse: Pulse | None = None, say: Say = lambda _: None
) -> SweepStatus:
    """Work on a claimed sweep until it is done, or no longer its own; returns how it stands."""
    pulse = pulse or Pulse(lambda *_: sweep_pulse(sweep=sweep))
    pulse.start()
    before = signal.signal(signal.SIGTERM, lambda *_: pulse.ask_to_stop(STOPPED_BY_PLATFORM))
    try:
        outcome = attempt(lambda: _work(sweep, pulse.tell, say), "sweep")
    finally:
        pulse.end()
        signal.signal(signal.SIGTERM, before)
    version = settings.CODE_VERSION
    if not isinstance(outcome, Failure):
        sweep_end(sweep=sweep, result=outcome, code=version)
    elif isinstance(outcome.error, ReplayStopped):
        if pulse.stop_reason == STOPPED_BY_PLATFORM:
            sweep_release(sweep=sweep)
    else:
        is_told = isinstance(outcome.error, TOLD)
        if not is_told:
            logger.error("sweep_failed sweep=%s", sweep.code, exc_info=outcome.error)
        text = str(outcome.error) if is_told else outcome.text
        sweep_end(sweep=sweep, result=None, error=text, code=version)
    sweep.refresh_from_db()
    return SweepStatus(sweep.status)


def _work(sweep: Sweep, tell: Progress, say: Say) -> Mapping[str, Any]:
    asked = sweep.request
    request = request_of(asked)
    ranges: Sequence[Range] = ranges_of(asked["strategy"], asked["ranges"])
    windows = _windows(request, asked)
    period_ms = period_ms_of(windows)
    defaults = parameter_defaults()[asked["strategy"]]
    done, histories = outcomes_of(sweep), ColumnHistories()
    while True:
        unit = unit_after(
            done, windows, ranges, defaults, trials=asked["trials"], seed=asked["seed"]
        )
        if unit is None:
            return summary(done, windows, period_ms)
        outcome = unit_outcome(
            request, asked["strategy"], windows[unit.window], unit, period_ms, tell, histories
        )
        unit_store(sweep=sweep, outcome=outcome)
        done.append(outcome)
        taken = f" by {outcome.path}" if outcome.path else ""
        say(f"{len(done)} of {sweep.units_total} units: window {unit.window} {unit.kind}{taken}")


def _windows(request: ReplayRequest, asked: Mapping[str, Any]) -> tuple[Window, ...]:
    bars = request.history.bars.values()
    first = max(int(columns.ts_ms[0]) for columns in bars)
    last = min(int(columns.ts_ms[-1]) for columns in bars) + request.history.timeframe_ms
    try:
        return windows_of(
            max(first, request.from_ms or first),
            min(last, request.to_ms or last),
            request.history.timeframe_ms,
            folds=asked["folds"],
            in_sample_share=asked["in_sample_share"],
            purge_bars=asked["purge_bars"],
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def unit_outcome(
    request: ReplayRequest,
    strategy: str,
    window: Window,
    unit: Unit,
    period_ms: int,
    tell: Progress,
    histories: ColumnHistories | None = None,
) -> Outcome:
    """Replay one strategy with these parameters over its stretch of a window.

    Values that the rule refuses are an outcome too. The book begins flat; bars before the stretch
    are only looked back on. Trials in sample are traced in columns where that gives the session's
    trades; what is judged out of sample is always the session's own. Without ``histories`` every
    unit is the session's.
    """
    is_in_sample = unit.kind == IN_SAMPLE
    start = window.in_from_ms if is_in_sample else window.out_from_ms
    end = window.in_to_ms if is_in_sample else window.out_to_ms
    try:
        rule_sources({strategy: unit.parameters}, (strategy,))
    except StrategyError as error:
        return Outcome(unit, None, 0, (), str(error))
    narrowed = with_strategies(request.config, (strategy,))
    chosen = msgspec.structs.replace(
        narrowed.strategy(strategy), parameters=dict(unit.parameters), enabled=True
    )
    config = msgspec.structs.replace(narrowed, strategies={**narrowed.strategies, strategy: chosen})
    asked = replace(request, config=config, from_ms=start, to_ms=end)
    if histories is None or not is_in_sample:
        traced = _by_session(asked, tell, "asked for" if histories is None else OUT_OF_SAMPLE)
    else:
        try:
            traced = _by_columns(asked, tell, histories)
        except NotCovered as reason:
            traced = _by_session(asked, tell, str(reason))
    returns = period_returns(traced.times_ms, traced.equity_quote, start, end, period_ms)
    return Outcome(
        unit, traced.return_fraction, traced.trades, tuple(returns.tolist()), "", traced.path
    )


@dataclass(frozen=True, slots=True)
class _Traced:
    """Equity marked at the close of each bar, and what it came to."""

    times_ms: IntColumn
    equity_quote: FloatColumn
    return_fraction: float | None
    trades: int
    path: str


def _by_columns(request: ReplayRequest, tell: Progress, histories: ColumnHistories) -> _Traced:
    bars = len(request.source())
    tell(0, bars)
    run = column_run(request, histories)
    tell(bars, bars)
    return _Traced(run.times_ms, run.equity_quote, run.return_fraction, run.n_trades, COLUMNS)


def _by_session(request: ReplayRequest, tell: Progress, why: str) -> _Traced:
    wiring, result = request.run(with_layer=False, journal=TracedJournal, progress=tell)
    journal = wiring.journal
    if not isinstance(journal, TracedJournal):
        raise TypeError(f"a unit needs its own journal, was {type(journal).__name__}")
    times = np.array(journal.equity_ms, dtype=np.int64)
    equity = np.array(journal.equity_quote)
    return _Traced(times, equity, result.return_fraction, result.trades, f"{SESSION}: {why}")
