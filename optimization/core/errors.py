"""What the layer's pure part refuses."""

from __future__ import annotations


class OptimizationError(Exception):
    """Base of the room's errors."""


class EvidenceError(OptimizationError):
    """Trades or figures that cannot be evidence."""


class WeightingError(OptimizationError):
    """Weights, limits or policy parameters that make no sense."""
