"""Phase 9: were the opinions right? (ORC-15)

Pure until applied: ``due`` says what has been settled by this bar and what is now pending,
``apply`` makes it so, between events (D-18).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from engine.phases.config import PipelineConfig
from engine.phases.ensemble import ENSEMBLE
from engine.ports import SourceInput
from engine.types.bars import FloatColumn, MarketEvent, Snapshot
from engine.types.decisions import Analysis, JsonValue, Settlement
from engine.types.learned import Trial
from engine.types.opinions import Consensus, FeatureView, MarketView, Missing

Rows = Mapping[SourceInput, FloatColumn]


@dataclass(frozen=True, slots=True)
class Pending:
    """Opinions of one bar whose outcome is not known yet.

    ``rows`` is what sources read on that bar, where it was there and warm; ``asked`` what every
    learned source answered.
    """

    at_ms: int
    close: float
    regime: str
    opinions: tuple[tuple[str, float], ...]
    rows: Rows
    asked: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Lesson:
    """One example for every learned source: what it read then, the outcome now."""

    rows: Rows
    outcome_up: int


@dataclass(frozen=True, slots=True)
class Learned:
    """What one bar teaches. ``finished`` entries leave the front of the symbol's queue."""

    symbol: str
    finished: int
    settlements: tuple[Settlement, ...]
    lessons: tuple[Lesson, ...]
    pending: Pending | None
    trials: tuple[Trial, ...] = ()


class PendingOpinions:
    """Pending opinions by symbol, bounded: an opinion is settled or dropped after its horizon."""

    def __init__(
        self,
        config: PipelineConfig,
        *,
        inputs: Callable[[], Collection[SourceInput]] = lambda: (SourceInput.FEATURES,),
    ) -> None:
        """``inputs`` says what learned sources will want the lesson of."""
        self._config = config
        self._inputs = inputs
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
        wanted = self.is_remembered(snapshot, has_order)
        pending = _pending(snapshot, analysis, self._inputs()) if wanted else None
        if not finished and pending is None:
            return None
        close = snapshot.close
        kept = [p for p in finished if p.at_ms > 2 * due_at_ms - event.ts_ms]
        return Learned(
            event.symbol,
            len(finished),
            tuple(s for p in kept for s in settle(p, event.symbol, close, event.ts_ms)),
            tuple(Lesson(p.rows, 1 if close > p.close else 0) for p in kept if p.rows),
            pending,
            tuple(_trial(p, event.symbol, close, event.ts_ms) for p in kept if p.asked),
        )

    def is_remembered(self, snapshot: Snapshot, has_order: bool) -> bool:
        """True where this bar's opinions are kept: every few bars, and behind every order."""
        number = snapshot.event.ts_ms // snapshot.store.bars.timeframe_ms
        return has_order or number % self._config.learn_every_bars == 0

    def is_due(self, event: MarketEvent, timeframe_ms: int) -> bool:
        """True where ``due`` would settle or add something even without an order."""
        waiting = self._queues.get(event.symbol)
        if waiting and waiting[0].at_ms <= event.ts_ms - self._config.horizon_bars * timeframe_ms:
            return True
        return (event.ts_ms // timeframe_ms) % self._config.learn_every_bars == 0

    def settles_at_ms(self, symbol: str, timeframe_ms: int) -> int | None:
        """Return from when on the oldest pending opinion is due; None where nothing is pending."""
        waiting = self._queues.get(symbol)
        if not waiting:
            return None
        return waiting[0].at_ms + self._config.horizon_bars * timeframe_ms

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

    def forget_rows(self, reads: SourceInput) -> None:
        """Drop what was read of one input: it is no longer made as it was."""
        for symbol, waiting in self._queues.items():
            kept = [
                replace(p, rows={key: row for key, row in p.rows.items() if key is not reads})
                for p in waiting
            ]
            self._queues[symbol] = deque(kept, maxlen=waiting.maxlen)

    def rename(self, names: Mapping[str, str]) -> None:
        """File pending opinions under other names; a name taken over loses what was its own."""
        gone = set(names.values()) - set(names)
        for symbol, waiting in self._queues.items():
            kept = [
                replace(
                    p,
                    opinions=_renamed(p.opinions, names, gone),
                    asked=_renamed(p.asked, names, gone),
                )
                for p in waiting
            ]
            self._queues[symbol] = deque(kept, maxlen=waiting.maxlen)

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


def _renamed(
    opinions: tuple[tuple[str, float], ...], names: Mapping[str, str], gone: Collection[str]
) -> tuple[tuple[str, float], ...]:
    return tuple((names.get(source, source), p) for source, p in opinions if source not in gone)


def _trial(pending: Pending, symbol: str, close: float, at_ms: int) -> Trial:
    outcome = 1 if close > pending.close else 0
    return Trial(symbol, pending.regime, pending.asked, outcome, pending.at_ms, at_ms)


def input_view(analysis: Analysis, reads: SourceInput) -> FeatureView | Missing:
    """Return what sources of one kind read on this bar."""
    if reads is SourceInput.FEATURES:
        return analysis.features
    flow = analysis.order_flow
    return flow if isinstance(flow, Missing) else flow.inputs


def _pending(
    snapshot: Snapshot, analysis: Analysis, inputs: Collection[SourceInput]
) -> Pending | None:
    market = analysis.market
    if not isinstance(market, MarketView):
        # without a regime the outcome could not be booked to a condition
        return None
    heard = (*analysis.opinions, *analysis.panel.shadow)
    opinions = [(o.source, o.probability_up) for o in heard]
    if isinstance(analysis.consensus, Consensus):
        opinions.append((ENSEMBLE, analysis.consensus.probability_up))
    views = {reads: input_view(analysis, reads) for reads in SourceInput if reads in inputs}
    rows = {
        reads: view.values.copy()
        for reads, view in views.items()
        if isinstance(view, FeatureView) and view.ready
    }
    if not opinions and not rows:
        return None
    return Pending(
        snapshot.event.ts_ms,
        snapshot.close,
        market.regime.value,
        tuple(opinions),
        rows,
        analysis.panel.asked,
    )


def _to_json(pending: Pending) -> dict[str, JsonValue]:
    opinions: list[JsonValue] = [[source, p] for source, p in pending.opinions]
    return {
        "at_ms": pending.at_ms,
        "close": pending.close,
        "regime": pending.regime,
        "opinions": opinions,
        "asked": [[source, p] for source, p in pending.asked],
        **{
            reads.value: pending.rows[reads].tolist() if reads in pending.rows else None
            for reads in SourceInput
        },
    }


def _from_json(row: JsonValue) -> Pending:
    if not isinstance(row, dict):
        raise ValueError(f"pending opinion must be a mapping, was {row!r}")
    at_ms, close, regime = row.get("at_ms"), row.get("close"), row.get("regime")
    opinions, asked = row.get("opinions"), row.get("asked", [])
    read = {reads: row.get(reads.value) for reads in SourceInput}
    if (
        not isinstance(at_ms, int)
        or not isinstance(close, float | int)
        or not isinstance(regime, str)
        or not isinstance(opinions, list)
        or not isinstance(asked, list)
        or not all(isinstance(values, list | None) for values in read.values())
    ):
        raise ValueError(f"pending opinion must have at_ms, close, regime, opinions, was {row!r}")
    rows = {
        reads: np.array(values, dtype=np.float64)
        for reads, values in read.items()
        if values is not None
    }
    return Pending(
        at_ms,
        float(close),
        regime,
        tuple(_opinion(o) for o in opinions),
        rows,
        tuple(_opinion(o) for o in asked),
    )


def _opinion(value: JsonValue) -> tuple[str, float]:
    if isinstance(value, list) and len(value) == 2:
        source, probability = value
        if isinstance(source, str) and isinstance(probability, float | int):
            return source, float(probability)
    raise ValueError(f"opinion must be [source, probability], was {value!r}")
