"""What may go wrong with a strategy's description; the one base of this room's core."""

from __future__ import annotations


class StrategyError(ValueError):
    """A strategy, predictor or parameter that cannot be used; the message is one line."""
