"""What changed about a market since the bar before (ORC-84): events with a type and a size.

Labels and levels keep their own hysteresis (``engine.market_columns``), and a feeling counts only
once it is clear, so noise at an edge makes no flood of changes.
"""

from __future__ import annotations

from engine.types.decisions import JsonValue
from engine.types.opinions import (
    LEVELS,
    REGIMES,
    ConditionChange,
    ConditionKind,
    Level,
    MarketView,
    Missing,
)

# Takers lean to a side from here on; between the two edges the last clear side still holds.
CLEAR_SENTIMENT = 0.2
_GAP_BARS = 60.0


def condition_changes(
    previous: MarketView | Missing,
    current: MarketView | Missing,
    *,
    felt: float | None,
    at_ms: int,
    missing_bars: int,
) -> tuple[ConditionChange, ...]:
    """Return what changed between two bars in a row, in the order of ConditionKind.

    ``felt`` is the last clear sentiment before this bar (see ``clear_sentiment``), None where
    there was none; ``missing_bars`` lie between the two bars. A market that was not known before
    has not changed by becoming known.
    """
    changes: list[ConditionChange] = []
    if isinstance(previous, MarketView) and isinstance(current, MarketView):
        changes += _regime(previous, current, at_ms)
        changes += _level(
            ConditionKind.VOLATILITY_SHIFT, previous.volatility, current.volatility, at_ms
        )
        changes += _level(
            ConditionKind.LIQUIDITY_SHIFT, previous.liquidity, current.liquidity, at_ms
        )
        changes += _level(ConditionKind.RISK_SHIFT, previous.risk, current.risk, at_ms)
    feeling = clear_sentiment(current)
    if felt is not None and feeling is not None and (felt > 0.0) != (feeling > 0.0):
        flip = (abs(feeling - felt) / 2.0, f"{felt:+.2f}", f"{feeling:+.2f}")
        changes.append(ConditionChange(ConditionKind.SENTIMENT_FLIP, *flip, at_ms))
    if missing_bars > 0:
        size = min(1.0, missing_bars / _GAP_BARS)
        text = f"{missing_bars} bars missing"
        changes.append(ConditionChange(ConditionKind.GAP, size, "in a row", text, at_ms))
    return tuple(changes)


def clear_sentiment(view: MarketView | Missing) -> float | None:
    """Return the view's sentiment where it is clearly on a side, else None."""
    if isinstance(view, Missing) or isinstance(view.sentiment, Missing):
        return None
    return view.sentiment if abs(view.sentiment) >= CLEAR_SENTIMENT else None


class Feelings:
    """By symbol, the last sentiment that was clear: what a flip is a flip from."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def last(self, symbol: str) -> float | None:
        return self._last.get(symbol)

    def note(self, symbol: str, view: MarketView | Missing) -> None:
        feeling = clear_sentiment(view)
        if feeling is not None:
            self._last[symbol] = feeling

    def state(self) -> dict[str, JsonValue]:
        """Return everything as JSON values."""
        return dict(self._last)

    def restore(self, state: JsonValue) -> None:
        """Replace everything by a stored state; one from before feelings were kept has none."""
        known = state.items() if isinstance(state, dict) else ()
        self._last = {s: float(v) for s, v in known if isinstance(v, float | int)}


def describe(change: ConditionChange) -> dict[str, JsonValue]:
    """Return the change as JSON."""
    return {
        "type": change.kind.value,
        "magnitude": change.magnitude,
        "from": change.was,
        "to": change.now,
        "at_ms": change.at_ms,
    }


def _regime(previous: MarketView, current: MarketView, at_ms: int) -> list[ConditionChange]:
    if previous.regime is current.regime:
        return []
    probabilities = dict(zip(REGIMES, current.regime_probabilities, strict=True))
    size = max(0.0, probabilities[current.regime] - probabilities[previous.regime])
    was, now = previous.regime.value, current.regime.value
    return [ConditionChange(ConditionKind.REGIME_CHANGE, size, was, now, at_ms)]


def _level(kind: ConditionKind, was: Level, now: Level, at_ms: int) -> list[ConditionChange]:
    steps = abs(LEVELS.index(now) - LEVELS.index(was))
    if steps == 0:
        return []
    return [ConditionChange(kind, steps / (len(LEVELS) - 1), was.value, now.value, at_ms)]
