"""Peak, drawdown and the UTC day of an equity curve, with deposits kept out of all three."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from engine.types.ledger import ZERO, EquityPoint

DAY_MS = 86_400_000
_PEAK_STEP = Decimal("0.000000000001")


@dataclass(frozen=True, slots=True)
class EquityCurveState:
    """``day`` is the UTC day number of the last point (None before the first one).

    ``new_deposits_quote`` came in after the last point, ``day_deposits_quote`` up to it.
    """

    peak_equity_quote: Decimal
    last_equity_quote: Decimal
    day: int | None
    day_start_equity_quote: Decimal
    day_deposits_quote: Decimal = ZERO
    new_deposits_quote: Decimal = ZERO


@dataclass(slots=True)
class Marks:
    """Equity points one after the other; columns of time, equity and exposure, and the last."""

    at_ms: list[int]
    equity_quote: list[float]
    exposure_quote: list[float]
    last: EquityPoint | None = None

    def add(self, point: EquityPoint) -> None:
        self.at_ms.append(point.ts_ms)
        self.equity_quote.append(float(point.equity_quote))
        self.exposure_quote.append(float(point.exposure_quote))
        self.last = point

    def repeat(self, at_ms: Sequence[int], last: EquityPoint) -> None:
        """Add points that differ by their time alone."""
        self.at_ms += at_ms
        self.equity_quote += [float(last.equity_quote)] * len(at_ms)
        self.exposure_quote += [float(last.exposure_quote)] * len(at_ms)
        self.last = last


class EquityCurve:
    """Mutable peak and day of one account.

    A deposit moves the peak by the same factor as equity, so that the drawdown fraction is the
    same before and after it (as if the account had issued units). A UTC day's PnL runs from the
    last point of the day before to now, less what was deposited in between.
    """

    __slots__ = ("_day", "_day_deposits", "_day_start", "_last", "_new_deposits", "_peak")

    def __init__(self, equity_quote: Decimal) -> None:
        self._peak = equity_quote
        self._last = equity_quote
        self._day: int | None = None
        self._day_start = equity_quote
        self._day_deposits = ZERO
        self._new_deposits = ZERO

    def contribute(self, equity_before: Decimal, amount_quote: Decimal) -> None:
        """Note a deposit (> 0) or withdrawal (< 0) made while equity was ``equity_before``."""
        after = equity_before + amount_quote
        if equity_before > 0 and after > 0:
            scaled = (self._peak * after / equity_before).quantize(_PEAK_STEP, ROUND_HALF_EVEN)
            self._peak = max(after, scaled)
        else:  # no factor exists from or to nothing: the curve starts again
            self._peak = after
        self._new_deposits += amount_quote

    def rebase(self, equity_quote: Decimal) -> None:
        """Let the peak be the equity of now, whatever it was before."""
        self._peak = equity_quote

    def point(
        self, ts_ms: int, equity_quote: Decimal, cash_quote: Decimal, exposure_quote: Decimal
    ) -> EquityPoint:
        """Take equity at ``ts_ms`` (UTC) into the curve.

        ``drawdown_fraction`` is (peak - equity) / peak in [0, 1]; 1 where the peak is not positive
        and equity is below it, or where equity is negative.
        """
        day = ts_ms // DAY_MS
        if day != self._day:
            self._day_start = self._last
            self._day_deposits = ZERO
            self._day = day
        if self._new_deposits:
            self._day_deposits += self._new_deposits
            self._new_deposits = ZERO
        self._peak = max(self._peak, equity_quote)
        self._last = equity_quote
        return EquityPoint(
            ts_ms=ts_ms,
            equity_quote=equity_quote,
            cash_quote=cash_quote,
            exposure_quote=exposure_quote,
            peak_equity_quote=self._peak,
            drawdown_fraction=_drawdown(self._peak, equity_quote),
            day_pnl_quote=equity_quote - self._day_start - self._day_deposits,
        )

    def state(self) -> EquityCurveState:
        return EquityCurveState(
            peak_equity_quote=self._peak,
            last_equity_quote=self._last,
            day=self._day,
            day_start_equity_quote=self._day_start,
            day_deposits_quote=self._day_deposits,
            new_deposits_quote=self._new_deposits,
        )

    @classmethod
    def restore(cls, state: EquityCurveState | None, equity_quote: Decimal) -> EquityCurve:
        """Rebuild a curve; without a state it starts at ``equity_quote``."""
        curve = cls(equity_quote)
        if state is not None:
            curve._peak = state.peak_equity_quote
            curve._last = state.last_equity_quote
            curve._day = state.day
            curve._day_start = state.day_start_equity_quote
            curve._day_deposits = state.day_deposits_quote
            curve._new_deposits = state.new_deposits_quote
        return curve


def _drawdown(peak: Decimal, equity: Decimal) -> float:
    if equity >= peak:
        return 0.0
    if peak <= 0 or equity <= 0:
        return 1.0
    return 1.0 - float(equity) / float(peak)
