"""Errors of this room."""


class TradesError(Exception):
    """Base of everything this room raises on purpose."""


class LeaseLost(TradesError):
    """Somebody else holds the run's lease, or it expired: nothing may be written."""


class ControlRefused(TradesError):
    """A change of the control state that is not allowed; the message says why."""


class RunRefused(TradesError):
    """A run that may not be started as configured; the message names the setting."""
