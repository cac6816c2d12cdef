"""The lives of models in a replay: trained, tried and promoted between events, in memory.

The same rules that the database follows live (``strategies.core.evolution``), on the bars seen so
far and no others. The same bars and seed give the same models and the same moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from zlib import crc32

import numpy as np

from engine.seats import Seated, shadow_name
from engine.types.bars import BarColumns, ColumnStore
from engine.types.decisions import EvolutionTrigger
from engine.types.learned import Seat, Trial
from strategies.core.candidates import (
    Trained,
    base_rate,
    held_out,
    row_overlap,
    thinned,
    train_candidate,
)
from strategies.core.errors import StrategyError
from strategies.core.evolution import (
    EvolutionRules,
    ModelStage,
    Move,
    Pairs,
    Table,
    judge_candidate,
    judge_probation,
    judge_trial,
    overlap_of,
)
from strategies.core.predictors.load import READERS
from strategies.core.registry import PREDICTORS, Params, control_sources, learned_sources
from strategies.core.training.dataset import Dataset, dataset_of

VERSION_DIGITS = 12
MAX_BARS = 12_000
_SEATS = {
    ModelStage.CHAMPION: Seat.CHAMPION,
    ModelStage.CHALLENGER: Seat.CHALLENGER,
    ModelStage.GUARD: Seat.GUARD,
}


@dataclass(frozen=True, slots=True)
class Made:
    """A move, and the moment it was made."""

    code: str
    move: Move
    at_ms: int


@dataclass(slots=True)
class _Life:
    """One code's table, its models by version, and the evidence of the trial that goes on."""

    table: Table = field(default_factory=Table)
    models: dict[str, Trained] = field(default_factory=dict)
    evidence: list[tuple[int, float, float, int]] = field(default_factory=list)
    bars_then: int | None = None

    def pairs(self) -> Pairs:
        rows = np.array(self.evidence, dtype=np.float64).reshape(-1, 4)
        return Pairs(
            rows[:, 0].astype(np.int64), rows[:, 1], rows[:, 2], rows[:, 3].astype(np.int64)
        )


class EvolutionDesk:
    """Hears what each event taught; says who sits from the next one on."""

    def __init__(
        self,
        codes: Iterable[str],
        history: Mapping[str, BarColumns],
        *,
        horizon_bars: int,
        seed: int,
        rules: EvolutionRules | None = None,
        params: Mapping[str, Params] | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``history`` holds whole histories by symbol; only what closed is ever read."""
        wanted = set(codes)
        self._lives = {code: _Life() for code in PREDICTORS if code in wanted}
        self._history = dict(history)
        self._horizon_bars = horizon_bars
        self._seed = seed
        self._rules = rules or EvolutionRules()
        self._params = {} if params is None else params
        self._progress = progress
        self.made: list[Made] = []

    def after(
        self, triggers: Sequence[EvolutionTrigger], trials: Sequence[Trial], at_ms: int
    ) -> tuple[Seated, ...] | None:
        """Return the seating from now on; None where it stays as it is."""
        before = len(self.made)
        for trial in trials:
            self._hear(trial)
        for code, life in self._lives.items():
            if trials and life.table.trial:
                self._judge(code, life, at_ms)
        # the same rows for whoever is trained now
        rows = cache(lambda: self._dataset(self._seen(at_ms)))
        for trigger in triggers:
            wanted = self._lives.get(trigger.source)
            if wanted is not None and trigger.source in READERS and not wanted.table.trial:
                self._train(trigger.source, wanted, at_ms, rows)
        moved = any(m.move.to_stage is not ModelStage.DISCARDED for m in self.made[before:])
        left = any(m.move.from_stage in _SEATS for m in self.made[before:])
        return self.seated() if moved or left else None

    def seated(self) -> tuple[Seated, ...]:
        """Return who sits now: votes in declared order, then who is tried, then the controls."""
        seated: list[Seated] = []
        for code, life in self._lives.items():
            table = life.table
            held = (
                (Seat.CHAMPION, table.champion),
                (Seat.CHALLENGER, table.challenger),
                (Seat.GUARD, table.guard),
            )
            for seat, version in held:
                if version is not None:
                    trained = life.models.get(version)
                    (untrained,) = learned_sources([code], params=self._params)
                    source = untrained if trained is None else trained.source
                    seated.append(Seated(source, seat, version))
        controls = [Seated(source, Seat.CONTROL) for source in control_sources()]
        return (*seated, *(controls if seated else ()))

    def _hear(self, trial: Trial) -> None:
        answers = dict(trial.answers)
        for code, life in self._lives.items():
            other = life.table.challenger if life.table.guard is None else life.table.guard
            if other is None:
                continue
            name = shadow_name(code, other)
            if code in answers and name in answers:
                row = (trial.opinion_at_ms, answers[code], answers[name], trial.outcome_up)
                life.evidence.append(row)

    def _judge(self, code: str, life: _Life, at_ms: int) -> None:
        pairs = life.pairs()
        timeframe_ms = next(iter(self._history.values())).timeframe_ms
        overlap = overlap_of(pairs.at_ms, self._horizon_bars * timeframe_ms)
        judge = judge_trial if life.table.guard is None else judge_probation
        moves = judge(life.table, pairs, overlap, self._rules)
        if moves:
            self._make(code, life, moves, at_ms)

    def _make(self, code: str, life: _Life, moves: Sequence[Move], at_ms: int) -> None:
        life.table = life.table.after(moves)
        life.evidence = []
        self.made += [Made(code, move, at_ms) for move in moves]
        for move in moves:
            self._progress(f"{code} {move.version or 'untrained'}: {move.to_stage}, {move.reason}")

    def _train(self, code: str, life: _Life, at_ms: int, rows: Callable[[], Dataset]) -> None:
        n_bars = max(self._seen(at_ms).values())
        if not self._rules.is_worth_training(n_bars, life.bars_then):
            return
        champion = life.models.get(life.table.champion)
        try:
            dataset = rows()
            trained = train_candidate(
                code,
                dataset,
                seed=crc32(f"{self._seed} {code} {at_ms}".encode()),
                parameters=self._params.get(code),
            )
        except StrategyError:
            # too few rows yet: a later trigger tries again
            return
        life.bars_then = n_bars
        version = trained.model.digest()[:VERSION_DIGITS]
        pairs = held_out(dataset, trained, champion)
        move = judge_candidate(
            life.table, version, pairs, row_overlap(dataset), self._rules, base_rate(dataset)
        )
        if move.to_stage is ModelStage.CHALLENGER:
            life.models[version] = trained
        self._make(code, life, (move,), at_ms)

    def _seen(self, at_ms: int) -> dict[str, int]:
        return {symbol: seen(columns, at_ms) for symbol, columns in self._history.items()}

    def _dataset(self, bars: Mapping[str, int]) -> Dataset:
        each = MAX_BARS // len(bars)
        stores = {
            symbol: ColumnStore(_cut(self._history[symbol], max(0, end - each), end))
            for symbol, end in bars.items()
        }
        return thinned(dataset_of(stores, self._horizon_bars))


def seen(bars: BarColumns, at_ms: int) -> int:
    """Return how many bars had closed by a moment."""
    return int(np.searchsorted(bars.ts_ms, at_ms - bars.timeframe_ms, side="right"))


def _cut(bars: BarColumns, first: int, end: int) -> BarColumns:
    return BarColumns(
        bars.ts_ms[first:end],
        bars.open[first:end],
        bars.high[first:end],
        bars.low[first:end],
        bars.close[first:end],
        bars.volume[first:end],
        bars.timeframe_ms,
    )
