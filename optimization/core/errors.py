"""What the layer's pure part refuses."""

from __future__ import annotations


class OptimizationError(Exception):
    """Base of the room's errors."""


class EvidenceError(OptimizationError):
    """Trades or figures that cannot be evidence."""


class WeightingError(OptimizationError):
    """Weights, limits or policy parameters that make no sense."""


class SettingsError(OptimizationError):
    """A setting has an unknown name, a wrong type or a value that is not allowed."""


class StateError(OptimizationError):
    """A stored state is not one that this code wrote."""


class UnknownRegime(OptimizationError):
    """A regime label that is none of the known ones."""
