"""Errors of this room."""

from accounts.errors import Refused


class TradesError(Exception):
    """Base of everything this room raises on purpose."""


class LeaseLost(TradesError):
    """Somebody else holds the run's lease, or it expired: nothing may be written."""


class ControlRefused(TradesError):
    """A change of the control state that is not allowed; the message says why."""


class LooseningRefused(ControlRefused):
    """A caller who may only tighten asked for a milder state."""


class RunRefused(TradesError):
    """A run that may not be started as configured; the message names the setting."""


class IllegalTransition(TradesError):
    """An edge the order state machine does not have: a fault of ours, never a state."""


class VenueRefused(TradesError):
    """The venue explicitly refused a read (keys, permissions, symbol); asking again is useless."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class RulesChanged(TradesError):
    """The venue's steps or minimums are no longer those the session trades by: build it anew."""


class EvolutionRefused(Refused):
    """A training that cannot be asked for now; the message says why."""

    reason_code = "training_refused"


class RequestRefused(Refused):
    """Something asked of a run that cannot be taken; the message says why."""

    reason_code = "request_refused"


class WideningRefused(RequestRefused):
    """A stop that would give a position more room to lose, asked for by who may only tighten."""

    reason_code = "stop_widened"


class PreviewStale(RequestRefused):
    """A flatten whose preview is too old, another's, or of other positions than there are now."""

    reason_code = "preview_stale"


class CeilingRefused(Refused):
    """A hard ceiling that cannot be changed as asked; the message says why."""

    status = 400
    reason_code = "ceiling_refused"


class CeilingRaised(CeilingRefused):
    """A ceiling that would let more be risked, asked for by who may only lower it."""

    reason_code = "ceiling_raised"


class LockRefused(Refused):
    """A lock on entries that cannot be set or lifted as asked; the message says why."""

    status = 400
    reason_code = "lock_refused"


class RequestSettled(TradesError):
    """A request that ended between two looks at it: the event's transaction must not commit."""
