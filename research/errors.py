"""What the research room refuses."""

from __future__ import annotations

from accounts.errors import Refused


class ResearchError(Exception):
    """Base of the room's errors."""


class AllocationError(ResearchError):
    """A table of price relatives, or a policy's parameter, that cannot be run."""


class ReplayRefused(Refused):
    """A replay that is not started or changed as asked."""

    reason_code = "replay_refused"


class ReplayInvalid(Refused):
    """A request with wrong values; ``lines`` holds one line an error."""

    status = 400
    reason_code = "replay_invalid"

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


class ReplayStopped(ResearchError):
    """A running replay that may not go on: aborted, taken over, or told to end."""


class UnitRefused(ResearchError):
    """A unit this process may not work on: its files, settings or code are not the sweep's."""


class SweepRefused(Refused):
    """A sweep that is not started or changed as asked."""

    reason_code = "sweep_refused"


class SweepInvalid(ReplayInvalid):
    """A sweep with wrong values; ``lines`` holds one line an error."""

    reason_code = "sweep_invalid"
