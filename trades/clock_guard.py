"""Our clock against the venue's: measured at the start and every ten minutes (CTL-12, F-058)."""

from __future__ import annotations

import time
from collections.abc import Callable

from engine.types.orders import Rejection
from market.errors import SourceUnavailable
from trades.alerts import Alarm, Alert
from trades.core.operating_limits import OperatingLimits

EVERY_S = 600.0
RETRY_S = 10.0


class ClockGuard:
    """Denies entries while the clocks are too far apart, or were never compared.

    Durations are monotonic: a jump of the wall clock shows as an offset, never as a long wait
    (F-072). ``subject`` keeps the alerts of one run together.
    """

    def __init__(
        self,
        venue_ms: Callable[[], int],
        limits: OperatingLimits,
        alarm: Alarm,
        *,
        subject: str,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._venue_ms = venue_ms
        self._limits = limits
        self._alarm = alarm
        self._subject = subject
        self._wall_ms = wall_ms
        self._monotonic = monotonic
        self._due_at_s = monotonic()
        self._offset_ms: int | None = None

    def __call__(self) -> Rejection | None:
        """Return why no entry may leave, None where the clocks agree well enough."""
        if self._monotonic() >= self._due_at_s:
            self._measure()
        if self._offset_ms is None:
            text = "our clock was never compared with the venue's"
            return Rejection("CLOCK_UNKNOWN", text, by_venue=False)
        offset_ms, most_ms = abs(self._offset_ms), self._limits.clock_stop_ms
        if offset_ms <= most_ms:
            return None
        text = f"our clock is {self._offset_ms:+d} ms off the venue's, limit {most_ms} ms"
        return Rejection("CLOCK_OFFSET", text, False, float(offset_ms), float(most_ms))

    def _measure(self) -> None:
        """Compare with the middle of question and answer; half of the way is the error."""
        before_ms, before_s = self._wall_ms(), self._monotonic()
        try:
            venue_ms = self._venue_ms()
        except SourceUnavailable:
            # what was measured last holds on; a venue that does not answer takes no order anyway
            self._due_at_s = self._monotonic() + RETRY_S
            return
        took_s = self._monotonic() - before_s
        self._offset_ms = round(before_ms + took_s * 500.0 - venue_ms)
        self._due_at_s = self._monotonic() + EVERY_S
        if abs(self._offset_ms) > self._limits.clock_alert_ms:
            text = (
                f"our clock is {self._offset_ms:+d} ms off the venue's, alert above "
                f"{self._limits.clock_alert_ms} ms, no entries above {self._limits.clock_stop_ms}"
            )
            self._alarm(Alert("CLOCK_OFFSET", self._subject, text))
