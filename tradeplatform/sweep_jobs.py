"""A sweep from its first unit, or the one after the last stored, to its verdict."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, replace
from hashlib import file_digest
from typing import Any

import msgspec
import numpy as np
from django.conf import settings

from engine.column_path.grid import NotCovered
from engine.failsafe import Failure, attempt
from engine.types.bars import FloatColumn, IntColumn
from market.errors import DataError
from research.core.search import ranges_of
from research.core.sweep import IN_SAMPLE, Outcome, Search, Unit, summary, units_ready
from research.core.traced_journal import TracedJournal
from research.core.walk_forward import Window, period_ms_of, period_returns, windows_of
from research.data_files import data_file_path
from research.errors import ReplayStopped, UnitRefused
from research.models import Sweep, SweepStatus, SweepUnit
from research.pulse import Pulse
from research.selectors import data_folders
from research.sweep_services import sweep_end, sweep_pulse, sweep_release
from research.sweep_units import (
    basis_agree,
    outcomes_of,
    unit_claim,
    unit_free,
    unit_store,
    units_plan,
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
# How long to wait where every unit that may run is in another process's hands.
WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """What any unit of a sweep is run with: the bars are read, the windows cut."""

    asked: Mapping[str, Any]
    request: ReplayRequest
    search: Search
    period_ms: int
    histories: ColumnHistories


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def prepared(sweep: Sweep) -> Prepared:
    """Read what a sweep rests on and agree with everyone else who works on it.

    Raises:
        UnitRefused: files, settings or code here are not those that the sweep began on.
        DataError, ConfigurationError, StrategyError: a file or a value is wrong.
    """
    asked = sweep.request
    request = request_of(asked)
    windows = _windows(request, asked)
    search = Search(
        windows=windows,
        ranges=ranges_of(asked["strategy"], asked["ranges"]),
        defaults=parameter_defaults()[asked["strategy"]],
        trials=asked["trials"],
        seed=asked["seed"],
        # a sweep of before batches goes on one by one
        batch=asked.get("batch", 1),
    )
    basis = {
        "candle files": {name: _digest(name) for name in asked["data"]},
        "code": settings.CODE_VERSION,
        "configuration": request.config.digest(),
        "windows": [list(astuple(window)) for window in windows],
    }
    basis_agree(sweep=sweep, basis=basis)
    return Prepared(asked, request, search, period_ms_of(windows), ColumnHistories())


def _digest(name: str) -> str:
    path = data_file_path(name, data_folders())
    if path is None:
        raise DataError(f"{name}: no such file in the data folders any more")
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def sweep_run(
    sweep: Sweep, *, pulse: Pulse | None = None, say: Say = lambda _: None
) -> SweepStatus:
    """Work on a claimed sweep until it is done, or no longer its own; returns how it stands."""
    pulse = pulse or Pulse(lambda *_: sweep_pulse(sweep=sweep, worker=worker_name()))
    pulse.start()
    before = signal.signal(signal.SIGTERM, lambda *_: pulse.ask_to_stop(STOPPED_BY_PLATFORM))
    try:
        outcome = attempt(lambda: _work(sweep, pulse.tell, say), "sweep")
    finally:
        pulse.end()
        signal.signal(signal.SIGTERM, before)
    if not isinstance(outcome, Failure):
        sweep_end(sweep=sweep, result=outcome, code=settings.CODE_VERSION)
    elif isinstance(outcome.error, ReplayStopped):
        if pulse.stop_reason == STOPPED_BY_PLATFORM:
            sweep_release(sweep=sweep)
    else:
        sweep_fail(sweep, outcome)
    sweep.refresh_from_db()
    return SweepStatus(sweep.status)


def sweep_fail(sweep: Sweep, failure: Failure) -> None:
    """End a sweep with the one line that explains it; what nobody foresaw is logged too."""
    is_told = isinstance(failure.error, (*TOLD, UnitRefused))
    if not is_told:
        logger.error("sweep_failed sweep=%s", sweep.code, exc_info=failure.error)
    text = str(failure.error) if is_told else failure.text
    sweep_end(sweep=sweep, result=None, error=text, code=settings.CODE_VERSION)


def _work(sweep: Sweep, tell: Progress, say: Say) -> Mapping[str, Any]:
    """Run unit after unit; units that another process holds are waited for."""
    ready = prepared(sweep)
    window: int | None = None
    while True:
        result = sweep_planned(sweep, ready, window)
        if isinstance(result, dict):
            return result
        while (unit := unit_claim(sweep=sweep, worker=worker_name())) is not None:
            outcome, is_last = unit_work(unit, ready, tell)
            told = f"window {unit.window} {unit.kind}"
            told += f" by {outcome.path}" if outcome.path else ""
            say(f"{_n_done(sweep)} of {sweep.units_total} units: {told}")
            if is_last:
                window = unit.window
                break
        else:
            window = None
            if reason := sweep_pulse(sweep=sweep):
                raise ReplayStopped(reason)
            tell(0, 0)
            time.sleep(WAIT_S)


def sweep_planned(
    sweep: Sweep, ready: Prepared, window: int | None = None
) -> list[SweepUnit] | dict[str, Any]:
    """Write down the units that may run now and return those that wait; the result where every
    unit is done. ``window`` is looked at first: where it goes on, no other needs to be read."""
    if window is not None:
        mine = replace(ready.search, windows=(ready.search.windows[window],))
        if units := units_ready(outcomes_of(sweep, window), mine):
            return units_plan(sweep=sweep, units=units)
    done = outcomes_of(sweep)
    if units := units_ready(done, ready.search):
        return units_plan(sweep=sweep, units=units)
    return summary(done, ready.search.windows, ready.period_ms)


def unit_work(unit: SweepUnit, ready: Prepared, tell: Progress) -> tuple[Outcome, bool]:
    """Run a claimed unit and store what it found; returns it, and whether its window has none left
    open.

    Raises:
        ReplayStopped: it may not go on; the unit is given back.
    """
    asked = Unit(unit.window, unit.kind, unit.number, unit.parameters)
    window = ready.search.windows[unit.window]
    try:
        outcome = unit_outcome(
            ready.request,
            ready.asked["strategy"],
            window,
            asked,
            ready.period_ms,
            tell,
            ready.histories,
        )
        return outcome, unit_store(unit=unit, outcome=outcome)
    except ReplayStopped as error:
        unit_free(unit=unit, by_platform=str(error) == STOPPED_BY_PLATFORM)
        raise


def _n_done(sweep: Sweep) -> int:
    return Sweep.objects.values_list("units_done", flat=True).get(pk=sweep.pk)


def sweep_fits(asked: Mapping[str, Any]) -> None:
    """Refuse a checked request whose candles are too few; reads them.

    Raises:
        ConfigurationError: with how many there are and how many it takes.
        DataError: a file is damaged.
    """
    _windows(request_of(asked), asked)


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
