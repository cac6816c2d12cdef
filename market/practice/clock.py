"""The venue's virtual clock: it steps bar by bar and never shows a close before it happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class VirtualClock:
    """Time between the last close and the next one.

    At ``speed`` bars a second it runs evenly through the current bar and waits one millisecond
    before the next close until the step is taken; at speed 0 it stands still between steps.
    ``floor_ms`` keeps it from running backwards when a restart begins the bar anew.
    """

    monotonic: Callable[[], float]
    close_ms: int
    next_close_ms: int | None
    speed: float
    floor_ms: int = 0
    _since: float = 0.0

    def __post_init__(self) -> None:
        self._since = self.monotonic()
        self.floor_ms = max(self.floor_ms, self.close_ms)

    def now_ms(self) -> int:
        """Return the venue's time in UTC milliseconds."""
        now = self.close_ms
        if self.next_close_ms is not None:
            length = self.next_close_ms - self.close_ms
            now += min(length - 1, int(length * self._fraction()))
        self.floor_ms = max(self.floor_ms, now)
        return self.floor_ms

    def due_in_s(self) -> float | None:
        """Return seconds to the next step, None where only a person steps or the data ended."""
        if self.speed <= 0 or self.next_close_ms is None:
            return None
        return max(0.0, 1.0 / self.speed - (self.monotonic() - self._since))

    def stepped(self, close_ms: int, next_close_ms: int | None) -> None:
        """A bar has closed."""
        self.close_ms, self.next_close_ms = close_ms, next_close_ms
        self._since = self.monotonic()

    def set_speed(self, speed: float) -> None:
        """Go on at another speed from the next close on; the current bar starts anew."""
        self.speed = speed
        self._since = self.monotonic()

    def _fraction(self) -> float:
        return max(0.0, (self.monotonic() - self._since) * self.speed)
