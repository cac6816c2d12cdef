"""The sign of life of a process of research: one row update a second, and the word to stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.db import OperationalError, connection

from research.errors import ReplayStopped

logger = logging.getLogger(__name__)
EVERY_S = 1.0
# (bars done, bars in all, bars a second) -> why to stop, empty to go on
Beat = Callable[[int, int, float], str]


class Pulse(threading.Thread):
    """Beats in a thread of its own, so that a long training between two bars is no silence.

    ``tell`` is called from the replay with how far it is; it raises where the work must stop.
    """

    def __init__(
        self,
        beat: Beat,
        monotonic: Callable[[], float] = time.monotonic,
        every_s: float = EVERY_S,
    ) -> None:
        super().__init__(daemon=True, name="pulse")
        self._beat = beat
        self._monotonic = monotonic
        self._every_s = every_s
        self._began_s = monotonic()
        self._done = self._total = 0
        self._ended = threading.Event()
        self.stop_reason = ""

    def tell(self, done: int, total: int) -> None:
        """Take in the progress.

        Raises:
            ReplayStopped: the job was aborted or taken over, or the process is to end.
        """
        self._done, self._total = done, total
        if self.stop_reason:
            raise ReplayStopped(self.stop_reason)

    def ask_to_stop(self, reason: str) -> None:
        self.stop_reason = self.stop_reason or reason

    def beat(self) -> None:
        """Write one sign of life and read whether to go on."""
        took_s = self._monotonic() - self._began_s
        rate = self._done / took_s if took_s > 0 else 0.0
        reason = self._beat(self._done, self._total, rate)
        if reason:
            self.ask_to_stop(reason)

    def run(self) -> None:
        while not self._ended.wait(self._every_s) and not self.stop_reason:
            try:
                self.beat()
            except OperationalError as error:
                # a locked database is told by the next beat; the claim outlives many of them
                logger.warning("pulse_missed error=%s", error)
        connection.close()

    def end(self) -> None:
        """Stop beating and wait until the last beat is written."""
        self._ended.set()
        self.join()
