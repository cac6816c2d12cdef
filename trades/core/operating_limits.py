"""Controls of the order path that lie outside a decision, as configured under ``risk:``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingLimits:
    """Fractions are of equity, times wall time unless said otherwise.

    ``duplicate_window_s`` is venue time between two entries of one strategy that are the same in
    symbol, side and size (CTL-8). A market that is further than ``max_slippage`` from the price of
    the decision is not entered by a market order (CTL-3). The clock may be ``clock_stop_ms`` off
    the venue's (CTL-12). A balance that differs by ``difference_alert`` is told, by
    ``difference_reduce`` ends entries (CTL-16). ``rejections_in_a_row``, or
    ``rejections_in_10_minutes``, end entries (CTL-17). ``allowed_symbols`` empty allows all that
    the run trades, ``allowed_order_types`` empty all there are (CTL-18). A live run without
    ``paper_days`` or ``paper_trades`` before it has its caps scaled by ``first_week_share`` for
    seven days (CTL-19).
    """

    max_slippage: float = 0.005
    duplicate_window_s: int = 10
    clock_alert_ms: int = 1_000
    clock_stop_ms: int = 5_000
    difference_alert: float = 0.001
    difference_reduce: float = 0.005
    rejections_in_a_row: int = 5
    rejections_in_10_minutes: int = 10
    allowed_symbols: tuple[str, ...] = ()
    allowed_sides: tuple[str, ...] = ("BUY", "SELL")
    allowed_order_types: tuple[str, ...] = ()
    paper_days: int = 14
    paper_trades: int = 100
    first_week_share: float = 0.1

    @classmethod
    def of(cls, risk: Mapping[str, Any]) -> OperatingLimits:
        """Return those of a configuration's section ``risk``; what it lacks has its default."""
        given = {f.name: risk[f.name] for f in fields(cls) if f.name in risk}
        lists = {k: tuple(v) for k, v in given.items() if isinstance(v, list | tuple)}
        return cls(**{**given, **lists})


DEFAULTS = OperatingLimits()
