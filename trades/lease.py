"""One worker advances a run at a time, and a worker that lost the lease cannot commit (I-16).

The lease is a row with a token that only grows. Whoever takes it over raises the token; every
transaction of the trading loop checks that the token is still its own, so a process that was
paused past its expiry finds its late writes refused (F-010, F-011).
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from trades import database_file
from trades.errors import LeaseLost
from trades.models import Lease, TradingRun

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fence:
    """Proof of holding one run's lease; check it inside the transaction that writes."""

    run_id: int
    token: int
    holder: str

    def assert_held(self) -> None:
        """Raise unless this token is still the newest and unexpired.

        Must run inside a transaction: the row stays locked until it ends, so nobody can take
        the lease between this check and the commit.

        Raises:
            LeaseLost: another holder took over, the lease expired, or its row is in a file that
                is the database no more.
        """
        if not connection.in_atomic_block:
            raise RuntimeError("a fence proves nothing outside a transaction")
        if database_file.was_replaced():
            raise LeaseLost(
                f"lease of run {self.run_id} was lost: the database file was moved or replaced"
            )
        changed = Lease.objects.filter(
            run_id=self.run_id, token=self.token, expires_at__gt=timezone.now()
        ).update(holder=self.holder)
        if changed != 1:
            raise LeaseLost(f"lease of run {self.run_id} was lost, token was {self.token}")

    def renew(self) -> None:
        """Push the expiry ahead by the lease's length.

        Raises:
            LeaseLost: as ``assert_held``.
        """
        now = timezone.now()
        changed = Lease.objects.filter(
            run_id=self.run_id, token=self.token, expires_at__gt=now
        ).update(expires_at=now + timedelta(seconds=settings.LEASE_SECONDS))
        if changed != 1:
            raise LeaseLost(f"lease of run {self.run_id} was lost, token was {self.token}")

    def give_back(self) -> None:
        """Let the lease run out now, for whoever is to take it next; nothing where it was lost.

        The token stays: who takes the lease raises it, also the holder that gave it back. It ran
        out one length ago, so that a host whose clock is behind ours may take it as well.
        """
        Lease.objects.filter(run_id=self.run_id, token=self.token, holder=self.holder).update(
            expires_at=timezone.now() - timedelta(seconds=settings.LEASE_SECONDS)
        )


class Renewal:
    """Renews a lease when a fifteenth of its length has passed since it last did, else nothing.

    Each renewal is a commit that waits for the disk. Fifty bars that close together would pay it
    fifty times over; nothing rests on it being that new, as every transaction that writes checks
    the fence itself.
    """

    def __init__(self, fence: Fence, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fence = fence
        self._monotonic = monotonic
        self._renewed_s = -math.inf

    def __call__(self) -> None:
        """Raise LeaseLost as ``Fence.renew``, where it is time to renew."""
        now_s = self._monotonic()
        if now_s - self._renewed_s < settings.LEASE_SECONDS / 15:
            return
        self._fence.renew()
        self._renewed_s = now_s


def lease_reserve(*, run: TradingRun, code_version: str) -> None:
    """From now on only workers of ``code_version`` may advance ``run`` (F-091).

    Said once a start, before the workers' own: a worker of an older deployment that was left
    running loses the lease at its next knock and idles, as does one that was started from newer
    code beside an installation that was not.
    """
    Lease.objects.update_or_create(
        run=run,
        defaults={"code_version": code_version},
        create_defaults={"code_version": code_version, "expires_at": timezone.now()},
    )


def lease_reserved_for(run: TradingRun) -> str:
    """Return the version whose workers may advance ``run``; empty where any may."""
    version = Lease.objects.filter(run=run).values_list("code_version", flat=True).first()
    return version or ""


def lease_acquire(*, run: TradingRun, holder: str, code_version: str) -> Fence | None:
    """Take or keep the lease of ``run``; None while another holder's is unexpired, or where it is
    reserved for another version of the code.

    Keeping it does not change the token, so a warm session knows that nobody ran in between.
    """
    now = timezone.now()
    expires_at = now + timedelta(seconds=settings.LEASE_SECONDS)
    with transaction.atomic():
        Lease.objects.get_or_create(run=run, defaults={"expires_at": now, "holder": ""})
        ours = Lease.objects.filter(run=run, code_version__in=("", code_version))
        mine = ours.filter(holder=holder, expires_at__gt=now)
        if mine.update(expires_at=expires_at) == 0:
            free = ours.filter(expires_at__lte=now)
            taken = free.update(
                holder=holder,
                token=F("token") + 1,
                expires_at=expires_at,
                code_version=code_version,
            )
            if taken == 0:
                return None
        token = Lease.objects.values_list("token", flat=True).get(run=run, holder=holder)
    return Fence(run_id=run.pk, token=token, holder=holder)


@contextmanager
def lease_kept(fence: Fence) -> Iterator[None]:
    """Renew a lease from a thread of its own while the body runs, however long that takes.

    For work that cannot renew between its steps. The thread ends with the body and with the
    process, so a worker that dies or is frozen in the body still loses its lease after one length
    of it. A lease that was lost is not taken back: the next write of the body's work refuses.
    """
    done = threading.Event()
    keeper = threading.Thread(target=_keep, args=(fence, done), name="lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()


def _keep(fence: Fence, done: threading.Event) -> None:
    try:
        # three chances in a lease's length: one that finds the database locked costs nothing
        while not done.wait(settings.LEASE_SECONDS / 3):
            try:
                fence.renew()
            except OperationalError as error:
                logger.warning("lease of run_id=%s not renewed: %s", fence.run_id, error)
                # a server that was restarted leaves this thread a connection that never works again
                connection.close_if_unusable_or_obsolete()
    except LeaseLost as error:
        logger.warning("%s while its holder=%s was busy", error, fence.holder)
    finally:
        # a connection belongs to the thread that opened it
        connection.close()
