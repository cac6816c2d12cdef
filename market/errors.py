"""What can go wrong between a market and us."""

from __future__ import annotations


class MarketError(Exception):
    """Base of everything this room raises on purpose."""


class DataError(MarketError):
    """A file or value somebody gave is wrong: one line with place, value and what is allowed."""


class SourceUnavailable(MarketError):
    """A venue did not give what was asked; nothing was lost and asking again is right."""


class SymbolRefused(SourceUnavailable):
    """The venue refused what was asked of one symbol; the others are answered."""
