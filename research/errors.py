"""What the research room refuses."""

from __future__ import annotations


class ResearchError(Exception):
    """Base of the room's errors."""


class AllocationError(ResearchError):
    """A table of price relatives, or a policy's parameter, that cannot be run."""
