"""Phase 9: were the opinions right? (ORC-15)

Pure until applied: ``due`` says what has been settled by this bar and what is now pending,
``apply`` makes it so, between events (D-18).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.phases.config import PipelineConfig
from engine.phases.ensemble import ENSEMBLE
from engine.types.bars import FloatColumn, MarketEvent, Snapshot
from engine.types.decisions import Analysis, JsonValue, Settlement
from engine.types.opinions import Consensus, FeatureView, MarketView, Missing


@dataclass(frozen=True, slots=True)
class Pending:
    """Opinions of one bar whose outcome is not known yet; ``features`` where they were warm."""

    at_ms: int
    close: float
    regime: str
    opinions: tuple[tuple[str, float], ...]
    features: FloatColumn | None


@dataclass(frozen=True, slots=True)
class Lesson:
    """One example for every learned source: features then, outcome now."""

    features: FloatColumn
    outcome_up: int


@dataclass(frozen=True, slots=True)
class Learned:
    """What one bar teaches. ``finished`` entries leave the front of the symbol's queue."""

    symbol: str
    finished: int
    settlements: tuple[Settlement, ...]
    lessons: tuple[Lesson, ...]
    pending: Pending | None


class PendingOpinions:
    """Pending opinions by symbol, bounded: an opinion is settled or dropped after its horizon."""

    def __init__(self, config: PipelineConfig, *, keep_features: bool = True) -> None:
        """``keep_features`` is False where no learned source will want the lesson."""
        self._config = config
        self._keep_features = keep_features
        self._queues: dict[str, deque[Pending]] = {}

    def __len__(self) -> int:
        return sum(len(waiting) for waiting in self._queues.values())

    def due(self, snapshot: Snapshot, analysis: Analysis, has_order: bool) -> Learned | None:
        """Return what this bar settles and adds; None where it does neither.

        outcome_up = 1 where this close is above the opinion's close. An opinion whose bar at the
        horizon never came (a gap of another horizon) is dropped unsettled: its outcome would be
        that of another horizon.
        """
        event, timeframe_ms = snapshot.event, snapshot.store.bars.timeframe_ms
        due_at_ms = event.ts_ms - self._config.horizon_bars * timeframe_ms
        waiting = self._queues.get(event.symbol)
        finished: tuple[Pending, ...] = ()
        if waiting and waiting[0].at_ms <= due_at_ms:
            finished = tuple(p for p in waiting if p.at_ms <= due_at_ms)
        on_stride = (event.ts_ms // timeframe_ms) % self._config.learn_every_bars == 0
        wanted = on_stride or has_order
        pending = _pending(snapshot, analysis, self._keep_features) if wanted else None
        if not finished and pending is None:
            return None
        close = snapshot.close
        kept = [p for p in finished if p.at_ms > 2 * due_at_ms - event.ts_ms]
        return Learned(
            event.symbol,
            len(finished),
            tuple(s for p in kept for s in settle(p, event.symbol, close, event.ts_ms)),
            tuple(
                Lesson(p.features, 1 if close > p.close else 0)
                for p in kept
                if p.features is not None
            ),
            pending,
        )

    def is_due(self, event: MarketEvent, timeframe_ms: int) -> bool:
        """True where ``due`` would settle or add something even without an order."""
        waiting = self._queues.get(event.symbol)
        if waiting and waiting[0].at_ms <= event.ts_ms - self._config.horizon_bars * timeframe_ms:
            return True
        return (event.ts_ms // timeframe_ms) % self._config.learn_every_bars == 0

    def apply(self, learned: Learned) -> None:
        """Drop what was settled and remember what is pending."""
        waiting = self._queues.get(learned.symbol)
        if waiting is None:
            waiting = deque(maxlen=2 * self._config.horizon_bars + 2)
            self._queues[learned.symbol] = waiting
        for _ in range(learned.finished):
            waiting.popleft()
        if learned.pending is not None:
            waiting.append(learned.pending)

    def state(self) -> dict[str, JsonValue]:
        """Return everything as JSON values."""
        return {
            symbol: [_to_json(pending) for pending in waiting]
            for symbol, waiting in sorted(self._queues.items())
        }

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Replace everything by a stored state.

        Raises:
            ValueError: the state is not one that ``state`` wrote; nothing is changed then.
        """
        queues: dict[str, deque[Pending]] = {}
        for symbol, rows in state.items():
            if not isinstance(rows, list):
                raise ValueError(f"pending opinions of {symbol} must be a list, was {rows!r}")
            queues[symbol] = deque(
                (_from_json(row) for row in rows), maxlen=2 * self._config.horizon_bars + 2
            )
        self._queues = queues


def settle(pending: Pending, symbol: str, close: float, at_ms: int) -> list[Settlement]:
    """Return one settlement an opinion; its Brier score is (probability - outcome) squared."""
    outcome = 1 if close > pending.close else 0
    return [
        Settlement(
            source,
            symbol,
            pending.regime,
            probability,
            outcome,
            (probability - outcome) ** 2,
            pending.at_ms,
            at_ms,
        )
        for source, probability in pending.opinions
    ]


def _pending(snapshot: Snapshot, analysis: Analysis, keep_features: bool) -> Pending | None:
    market, features = analysis.market, analysis.features
    if not isinstance(market, MarketView):
        # without a regime the outcome could not be booked to a condition
        return None
    opinions = [(o.source, o.probability_up) for o in analysis.opinions]
    if isinstance(analysis.consensus, Consensus):
        opinions.append((ENSEMBLE, analysis.consensus.probability_up))
    warm = keep_features and isinstance(features, FeatureView) and features.ready
    values = features.values.copy() if warm and not isinstance(features, Missing) else None
    if not opinions and values is None:
        return None
    return Pending(
        snapshot.event.ts_ms, snapshot.close, market.regime.value, tuple(opinions), values
    )


def _to_json(pending: Pending) -> dict[str, JsonValue]:
    opinions: list[JsonValue] = [[source, p] for source, p in pending.opinions]
    features: JsonValue = None if pending.features is None else pending.features.tolist()
    return {
        "at_ms": pending.at_ms,
        "close": pending.close,
        "regime": pending.regime,
        "opinions": opinions,
        "features": features,
    }


def _from_json(row: JsonValue) -> Pending:
    if not isinstance(row, dict):
        raise ValueError(f"pending opinion must be a mapping, was {row!r}")
    at_ms, close, regime = row.get("at_ms"), row.get("close"), row.get("regime")
    opinions, features = row.get("opinions"), row.get("features")
    if (
        not isinstance(at_ms, int)
        or not isinstance(close, float | int)
        or not isinstance(regime, str)
        or not isinstance(opinions, list)
        or not isinstance(features, list | None)
    ):
        raise ValueError(f"pending opinion must have at_ms, close, regime, opinions, was {row!r}")
    values = None if features is None else np.array(features, dtype=np.float64)
    return Pending(at_ms, float(close), regime, tuple(_opinion(o) for o in opinions), values)


def _opinion(value: JsonValue) -> tuple[str, float]:
    if isinstance(value, list) and len(value) == 2:
        source, probability = value
        if isinstance(source, str) and isinstance(probability, float | int):
            return source, float(probability)
    raise ValueError(f"opinion must be [source, probability], was {value!r}")
