"""Advancing a run: take the lease, keep the session warm, feed it what is due.

Crash recovery and start-up are one path: a process without a warm session, or one that finds
that somebody else held the lease in between, rebuilds the session from the database.
"""

from __future__ import annotations

import logging
import os
import socket
import uuid
from dataclasses import asdict, dataclass
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from market.errors import SourceUnavailable
from trades import database_file, halt_file
from trades.errors import LeaseLost, RulesChanged
from trades.failpoints import failpoint
from trades.lease import Fence, lease_acquire, lease_kept, lease_reserved_for
from trades.models import TradingRun

logger = logging.getLogger(__name__)

# the outcome of an advance that found no warm session and was not to build one
COLD = "cold"


@dataclass(frozen=True, slots=True)
class AdvanceSummary:
    """What one advance did; small enough for a log line. ``behind_bars`` is how many bars older
    than the newest closed one were waiting when it looked: 0 where each is taken as it closes."""

    run_id: int
    outcome: str
    events: int = 0
    decisions: int = 0
    orders: int = 0
    fills: int = 0
    behind_bars: int = 0

    def as_dict(self) -> dict[str, int | str]:
        return asdict(self)


class RunningSession(Protocol):
    """A session with its sources and broker, bound to one fence."""

    fence: Fence

    def advance(self) -> AdvanceSummary:
        """Process everything due; survives an unreachable venue, raises on a failed write."""

    def close(self) -> None: ...


class SessionFactory(Protocol):
    def __call__(self, run: TradingRun, fence: Fence) -> RunningSession: ...


class Runner:
    """The warm sessions of one worker process.

    ``holder`` names the process, not the machine: a restarted worker is somebody else, so its
    predecessor's lease must expire first and its session is rebuilt. It begins with ``address``,
    where knocks reach this process (see ``trades.queues.worker_of``).
    """

    def __init__(self, factory: SessionFactory, code_version: str, address: str = "") -> None:
        self._factory = factory
        self._code_version = code_version
        where = address or socket.gethostname()
        self._holder = f"{where}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._warm: dict[int, RunningSession] = {}
        self._file = database_file.identity()
        # whoever idles says why once, not at every knock
        self._told: set[int] = set()

    def advance(self, run_id: int, *, may_build: bool = True) -> AdvanceSummary:
        """Advance one run if this process holds or can take its lease; without ``may_build`` only
        where its session is warm, else the outcome is ``COLD`` and the lease is given back."""
        halt_file.latch()
        self._start_anew_where_replaced()
        run = TradingRun.objects.filter(pk=run_id, ended_at__isnull=True).first()
        if run is None:
            self._drop(run_id)
            return AdvanceSummary(run_id, "ended")
        fence = lease_acquire(run=run, holder=self._holder, code_version=self._code_version)
        if fence is None:
            self._drop(run_id)
            return self._idle(run)
        failpoint("lease.after_take")
        if not may_build and not self._is_warm(fence):
            # whoever is asked to build takes it anew: that may be a worker of the same name on
            # another host, and where the asking is lost nobody has to wait
            fence.give_back()
            return AdvanceSummary(run_id, COLD)
        try:
            return self._session(run, fence).advance()
        except LeaseLost:
            self._drop(run_id)
            return AdvanceSummary(run_id, "lease lost")
        except RulesChanged as error:
            # the next knock builds a session that reads the new rules
            logger.warning("run=%s is built anew: %s", run_id, error)
            self._drop(run_id)
            return AdvanceSummary(run_id, "rules changed")
        except SourceUnavailable as error:
            # at the start, which has no session yet; the next knock tries again
            logger.warning("run=%s could not start, the venue did not answer: %s", run_id, error)
            self._drop(run_id)
            return AdvanceSummary(run_id, "venue unavailable")
        except BaseException:
            # what the session holds in memory may be ahead of what was committed
            self._drop(run_id)
            raise

    def _start_anew_where_replaced(self) -> None:
        """What sessions hold in memory is of the file they were built from (F-036)."""
        is_now = database_file.identity()
        if is_now != self._file:
            self._file = is_now
            for run_id in [*self._warm]:
                logger.warning("run=%s is built anew: the database file was replaced", run_id)
                self._drop(run_id)

    def _idle(self, run: TradingRun) -> AdvanceSummary:
        reserved_for = lease_reserved_for(run)
        if reserved_for in ("", self._code_version):
            return AdvanceSummary(run.pk, "held by another worker")
        if run.pk not in self._told:
            self._told.add(run.pk)
            logger.error(
                "run_id=%s idles here: this worker's code is %s, the installation was started"
                " with %s; start it again as a whole, or run manage.py ensure_run",
                run.pk, self._code_version, reserved_for,
            )  # fmt: skip
        return AdvanceSummary(run.pk, "other code version")

    def _session(self, run: TradingRun, fence: Fence) -> RunningSession:
        if self._is_warm(fence):
            return self._warm[run.pk]
        self._drop(run.pk)
        # reading thousands of bars and models on a busy machine outlasts a lease
        with lease_kept(fence):
            session = self._factory(run, fence)
        self._warm[run.pk] = session
        return session

    def _is_warm(self, fence: Fence) -> bool:
        warm = self._warm.get(fence.run_id)
        return warm is not None and warm.fence.token == fence.token

    def _drop(self, run_id: int) -> None:
        session = self._warm.pop(run_id, None)
        if session is not None:
            session.close()


def build_runner(address: str = "") -> Runner:
    """Return a runner with the factory that the top floor plugs in by its dotted name."""
    factory = import_string(settings.TRADING_SESSION_FACTORY)
    return Runner(factory, settings.CODE_VERSION, address)
