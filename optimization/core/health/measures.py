"""What a strategy's health is judged on: a few figures of its last trades, in R."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from engine.types.decisions import JsonValue
from optimization.core.config import HealthSettings


@dataclass(frozen=True, slots=True)
class Measures:
    """Figures of a window of trades in R, oldest first.

    ``expectancy_r`` is their mean, None without a trade, and ``error_r`` its standard error, None
    below two trades; ``profit_factor`` is the sum of wins
    over the sum of losses, None without a loss; ``drawdown_r`` is the largest fall of the
    cumulated R from its running peak (peak >= 0), >= 0; ``losing_streak`` is the trailing run of
    trades below 0.
    """

    trades: int
    expectancy_r: float | None
    error_r: float | None
    profit_factor: float | None
    win_rate_fraction: float | None
    drawdown_r: float
    losing_streak: int

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "trades": self.trades,
            "expectancy_r": self.expectancy_r,
            "error_r": self.error_r,
            "profit_factor": self.profit_factor,
            "win_rate_fraction": self.win_rate_fraction,
            "drawdown_r": self.drawdown_r,
            "losing_streak": self.losing_streak,
        }


def measure(r_multiples: Sequence[float]) -> Measures:
    """Return the figures of trades given oldest first."""
    total = squares = peak = drawdown = gain = loss = 0.0
    wins = streak = 0
    for r in r_multiples:
        total += r
        squares += r * r
        peak = max(peak, total)
        drawdown = max(drawdown, peak - total)
        if r > 0.0:
            wins, gain, streak = wins + 1, gain + r, 0
        elif r < 0.0:
            loss, streak = loss - r, streak + 1
        else:
            streak = 0
    count = len(r_multiples)
    return Measures(
        trades=count,
        expectancy_r=total / count if count else None,
        error_r=_error(count, total, squares),
        profit_factor=gain / loss if loss else None,
        win_rate_fraction=wins / count if count else None,
        drawdown_r=drawdown,
        losing_streak=streak,
    )


def _error(count: int, total: float, squares: float) -> float | None:
    if count < 2:
        return None
    return sqrt(max(squares - total * total / count, 0.0) / (count - 1) / count)


def is_evident(measures: Measures, settings: HealthSettings) -> bool:
    """True where the expectancy is below the reference by more than chance explains.

    A few unlucky trades have a bad expectancy and a bad profit factor: without this a healthy
    strategy would break one of the two every hundred trades (docs/health-detectors.md).
    """
    expectancy, error = measures.expectancy_r, measures.error_r
    if expectancy is None or error is None:
        return False
    return expectancy + settings.evidence_errors * error < settings.reference_r


def violations(measures: Measures, settings: HealthSettings) -> tuple[str, ...]:
    """Return what is broken, one sentence with both numbers each; a None breaks nothing."""
    found: list[str] = []
    expectancy, factor = measures.expectancy_r, measures.profit_factor
    if not is_evident(measures, settings):
        expectancy = factor = None
    if expectancy is not None and expectancy < settings.expectancy_r_min:
        limit = settings.expectancy_r_min
        found.append(f"expectancy was {expectancy:.3f} R, lowest allowed was {limit:g} R")
    if factor is not None and factor < settings.profit_factor_min:
        limit = settings.profit_factor_min
        found.append(f"profit factor was {factor:.3f}, lowest allowed was {limit:g}")
    if measures.drawdown_r > settings.drawdown_r_max:
        limit = settings.drawdown_r_max
        found.append(f"drawdown was {measures.drawdown_r:.2f} R, largest allowed was {limit:g} R")
    if measures.losing_streak > settings.losing_streak_max:
        limit = settings.losing_streak_max
        found.append(f"losing streak was {measures.losing_streak}, longest allowed was {limit}")
    return tuple(found)


def recovered(measures: Measures, settings: HealthSettings) -> bool:
    """True where the window is good enough to step up: stricter than not violating."""
    expectancy, factor = measures.expectancy_r, measures.profit_factor
    return (
        expectancy is not None
        and expectancy >= settings.recovery_expectancy_r
        and (factor is None or factor >= settings.recovery_profit_factor)
        and not violations(measures, settings)
    )
