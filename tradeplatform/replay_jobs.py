"""One replay job from claim to end, in the process that was started for it."""

from __future__ import annotations

import logging
import os
import resource
import signal
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings

from engine.failsafe import Failure, attempt
from market.errors import DataError
from market.sources.history import History
from market.sources.instruments import timeframe_to_ms
from research.candle_history import stored_history
from research.core.traced_journal import ReportJournal
from research.data_files import data_file_path
from research.errors import ReplayStopped
from research.models import ReplayJob, ReplayStatus
from research.pulse import Pulse
from research.requests import options_of
from research.selectors import data_folders
from research.services import (
    replay_beat,
    replay_done,
    replay_failed,
    replay_released,
    replay_stopped,
)
from strategies.core.errors import StrategyError
from tradeplatform.configuration import load
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.replay_request import Progress, ReplayRequest, read_request

logger = logging.getLogger(__name__)
STOPPED_BY_PLATFORM = "the platform stops"
TOLD = (DataError, ConfigurationError, StrategyError)


def claimed_job(code: UUID, attempts: int) -> ReplayJob | None:
    """Return the job this process was started for; None where it is no longer its own."""
    return ReplayJob.objects.filter(
        code=code, attempts=attempts, status=ReplayStatus.RUNNING
    ).first()


def stay_small(memory_mb: int) -> None:
    """Give way to everything that trades: lowest priority, and no more memory than allowed."""
    os.nice(19)
    most = memory_mb * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def job_run(job: ReplayJob, pulse: Pulse | None = None) -> ReplayStatus:
    """Replay what was asked for and store what came out; returns how it ended.

    A wrong file or value is a FAILED job with the line that the ``replay`` command would print;
    an error nobody foresaw is one too, and is logged with its trace.
    """
    pulse = pulse or Pulse(replay_beat(job))
    pulse.start()
    before = signal.signal(signal.SIGTERM, lambda *_: pulse.ask_to_stop(STOPPED_BY_PLATFORM))
    try:
        outcome = attempt(lambda: replayed(job.request, pulse.tell), "replay")
    finally:
        pulse.end()
        signal.signal(signal.SIGTERM, before)
    if isinstance(outcome, Failure):
        _end_badly(job, outcome, pulse.stop_reason)
    else:
        result, report, config_digest = outcome
        replay_done(
            job=job,
            result=result,
            report=report,
            code_version=settings.CODE_VERSION,
            config_digest=config_digest,
        )
        # aborted in its last second: a person's word stands
        replay_stopped(job=job)
    job.refresh_from_db()
    return ReplayStatus(job.status)


def _end_badly(job: ReplayJob, failure: Failure, stop_reason: str) -> None:
    error = failure.error
    if isinstance(error, ReplayStopped) and stop_reason == STOPPED_BY_PLATFORM:
        replay_released(job=job)
    elif isinstance(error, ReplayStopped):
        replay_stopped(job=job)
    elif isinstance(error, MemoryError):
        most = settings.RESEARCH_MEMORY_MB
        replay_failed(job=job, reason=f"memory was over {most} MB, the limit of a replay")
    elif isinstance(error, TOLD):
        replay_failed(job=job, reason=str(error))
    else:
        logger.error("replay_failed job=%s", job.code, exc_info=error)
        replay_failed(job=job, reason=failure.text)


def replayed(
    request: Mapping[str, Any], progress: Progress
) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return result, report and the configuration's digest of a checked request.

    Raises:
        DataError, ConfigurationError, StrategyError: a file, a symbol or a value is wrong.
        ReplayStopped: ``progress`` said so.
    """
    asked = request_of(request)
    wiring, result = asked.run(
        with_layer=request["layer"], journal=ReportJournal, progress=progress
    )
    return asdict(result), asked.report(wiring, result), asked.config.digest()


def request_of(request: Mapping[str, Any]) -> ReplayRequest:
    """Read what a checked request names: its files, or the candles that are kept."""
    _refuse_broken_file()
    if request["venue"]:
        history: History | None = stored_history(
            request["venue"], request["symbols"], timeframe_to_ms(request["timeframe"])
        )
        return read_request(options_of(request, []), history)
    folders = data_folders()
    paths = [data_file_path(name, folders) for name in request["data"]]
    for name, path in zip(request["data"], paths, strict=True):
        if path is None:
            raise DataError(f"{name}: no such file in the data folders any more")
    known = [path for path in paths if path is not None]
    return read_request(options_of(request, known), symbols=request["symbols"])


def _refuse_broken_file() -> None:
    """Refuse without the value that is wrong: every reader sees a job's reason, and a secret may
    stand in the wrong place. The page of settings tells administrators.

    Raises:
        ConfigurationError: the file was broken since the platform started.
    """
    try:
        load(settings.CONFIG_FILE)
    except ConfigurationError as error:
        name = Path(settings.CONFIG_FILE).name
        raise ConfigurationError(f"{name} cannot be used") from error
