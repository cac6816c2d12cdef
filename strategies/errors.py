"""Errors of this room."""

from accounts.errors import Refused


class StrategyRefused(Refused):
    """A change of a strategy that is not allowed; the message says what it was."""


class StrategyUnknown(StrategyRefused):
    status = 404
    reason_code = "strategy_unknown"


class PredictorUnknown(StrategyRefused):
    status = 404
    reason_code = "predictor_unknown"


class TrainingStopped(Exception):
    """A training that was aborted by a person or ran past its time."""
