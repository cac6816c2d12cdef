"""Errors of this room."""

from accounts.errors import Refused


class OptimizationRefused(Refused):
    """Something asked of the layer that is not done as asked; the message says why."""

    status = 400
    reason_code = "optimization_refused"
