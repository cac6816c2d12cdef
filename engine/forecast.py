"""How good will a source be next? Predicted Brier score against the mean we would else use.

Exponential smoothing over blocks of settled opinions, scored in time order: each block's mean is
predicted before it is seen. The prediction counts only where it has beaten the running mean
(ORC-83); on a source that does not change it loses, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.types.decisions import JsonValue

BLOCK_SETTLED = 20
MIN_BLOCKS = 8
SMOOTHING = 0.3


@dataclass(slots=True)
class BrierForecast:
    """One key's forecast. ``squared_error`` and ``baseline_squared_error`` are sums over
    ``scored`` blocks; both were predicted before the block began."""

    level: float | None = None
    scored: int = 0
    squared_error: float = 0.0
    baseline_squared_error: float = 0.0
    _sum: float = 0.0
    _filled: int = 0
    _baseline: float | None = None

    def push(self, brier: float, running_mean: float | None) -> None:
        """Take one score; ``running_mean`` is the mean known before it."""
        if self._filled == 0:
            self._baseline = running_mean
        self._sum += brier
        self._filled += 1
        if self._filled == BLOCK_SETTLED:
            self._close_block(self._sum / BLOCK_SETTLED)
            self._sum, self._filled = 0.0, 0

    def _close_block(self, mean: float) -> None:
        if self.level is None:
            self.level = mean
            return
        if self._baseline is not None:
            self.scored += 1
            self.squared_error += (self.level - mean) ** 2
            self.baseline_squared_error += (self._baseline - mean) ** 2
        self.level += SMOOTHING * (mean - self.level)

    @property
    def is_judged(self) -> bool:
        """True where enough blocks were predicted to say whether it beats the running mean."""
        return self.scored >= MIN_BLOCKS

    @property
    def wins(self) -> bool:
        """True where enough blocks were predicted better than by the running mean."""
        return self.is_judged and self.squared_error < self.baseline_squared_error

    def verdict(self) -> str:
        """Say in words whether the forecast is used, with its numbers."""
        if not self.is_judged:
            return f"not used: {self.scored} blocks predicted, needed are {MIN_BLOCKS}"
        ours = (self.squared_error / self.scored) ** 0.5
        theirs = (self.baseline_squared_error / self.scored) ** 0.5
        word = "beats" if self.wins else "loses to"
        return (
            f"{word} the running mean: error {ours:.4f} against {theirs:.4f} over "
            f"{self.scored} blocks of {BLOCK_SETTLED}"
        )

    def state(self) -> list[JsonValue]:
        """Return everything as JSON values."""
        return [
            self.level,
            self.scored,
            self.squared_error,
            self.baseline_squared_error,
            self._sum,
            self._filled,
            self._baseline,
        ]


def restored_forecast(state: JsonValue) -> BrierForecast:
    """Return the forecast of a stored state; None (written before there were any) starts anew.

    Raises:
        ValueError: the state is not one that ``state`` wrote.
    """
    if state is None:
        return BrierForecast()
    if isinstance(state, list) and len(state) == 7:
        level, scored, error, baseline_error, total, filled, baseline = state
        if (
            isinstance(level, float | None)
            and type(scored) is int
            and isinstance(error, float)
            and isinstance(baseline_error, float)
            and isinstance(total, float)
            and type(filled) is int
            and 0 <= filled < BLOCK_SETTLED
            and isinstance(baseline, float | None)
        ):
            return BrierForecast(level, scored, error, baseline_error, total, filled, baseline)
    raise ValueError(f"forecast state must be that of a forecast, was {state!r}")
