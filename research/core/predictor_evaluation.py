"""What the predictors are worth: walk-forward, out of sample, through the real phases.

The ten phases run over every bar in time order. Predictors that are trained get a new model every
``retrain_rows``, made from what was known by then; everything is asked before it learns, and the
ensemble is what phases 4 to 6 make of the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.executors import SerialExecutor
from engine.failsafe import FailSafe
from engine.phases.config import PipelineConfig
from engine.phases.ensemble import ENSEMBLE
from engine.phases.pipeline import Pipeline
from engine.phases.recorder import CountingRecorder
from engine.ports import LearnedSource, SourceInput
from engine.quality import bar_at
from engine.scoreboard import Scoreboard
from engine.types.bars import (
    ColumnStore,
    EventKind,
    FloatColumn,
    Instrument,
    MarketEvent,
    Snapshot,
)
from engine.types.decisions import JsonValue
from engine.types.opinions import Regime
from research.core.predictor_verdicts import Answers
from strategies.core.errors import StrategyError
from strategies.core.predictors.load import source_of
from strategies.core.registry import control_sources, learned_sources, rule_sources
from strategies.core.training.dataset import Dataset, dataset_of
from strategies.core.training.families import Parameters
from strategies.core.training.train import FAMILIES, MIN_TRAIN_ROWS, train
from strategies.core.training.walk_forward import Fold, walk_forward

RULES = "rule"
PREDICTOR, BASELINE = "predictor", "baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """``first_share`` of the rows is trained on before the first answer counts.

    ``max_train_rows`` keeps the newest (rolling window); None expands. ``parameters`` of training
    are by family.
    """

    horizon_bars: int = 12
    first_share: float = 0.4
    retrain_rows: int = 5_000
    max_train_rows: int | None = None
    seed: int = 1
    predictors: tuple[str, ...] | None = None
    with_rules: bool = True
    parameters: Mapping[str, Parameters] = field(default_factory=dict)


class _Chair:
    """A predictor's place in the pipeline: its model is exchanged, its last answer kept."""

    def __init__(self, source: LearnedSource) -> None:
        self.source = source
        self.answer = 0.5

    @property
    def code(self) -> str:
        return self.source.code

    @property
    def reads(self) -> SourceInput:
        return self.source.reads

    @property
    def favourable_regimes(self) -> frozenset[Regime]:
        return self.source.favourable_regimes

    def predict(self, features: FloatColumn) -> float:
        self.answer = self.source.predict(features)
        return self.answer

    def learn(self, features: FloatColumn, outcome_up: int) -> None:
        self.source.learn(features, outcome_up)

    def state(self) -> dict[str, JsonValue]:
        return dict(self.source.state())

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        self.source.restore(state)


def evaluate(
    instrument: Instrument,
    store: ColumnStore,
    settings: EvaluationSettings,
    progress: Callable[[str], None] = lambda line: None,
) -> Answers:
    """Return every source's answers on the rows after the first training.

    Raises:
        StrategyError: too few rows to train on, or an unknown predictor.
    """
    dataset = dataset_of({instrument.symbol: store}, settings.horizon_bars)
    first = max(MIN_TRAIN_ROWS + settings.horizon_bars, int(len(dataset) * settings.first_share))
    if len(dataset) < 2 * first:
        first = max(MIN_TRAIN_ROWS + settings.horizon_bars, len(dataset) // 2)
    if len(dataset) < first + MIN_TRAIN_ROWS:
        raise StrategyError(
            f"{instrument.symbol}: labelled rows were {len(dataset)}, needed are at least "
            f"{first + MIN_TRAIN_ROWS}"
        )
    walk = _Walk(instrument, store, dataset, settings, progress)
    for fold in walk_forward(
        dataset,
        first_test_row=first,
        test_rows=settings.retrain_rows,
        max_train_rows=settings.max_train_rows,
        embargo_ms=dataset.timeframe_ms,
    ):
        walk.run(fold)
    return walk.answers(first)


class _Walk:
    """One instrument's bars through the phases, stopped at each fold to train."""

    def __init__(
        self,
        instrument: Instrument,
        store: ColumnStore,
        dataset: Dataset,
        settings: EvaluationSettings,
        progress: Callable[[str], None],
    ) -> None:
        self._instrument, self._store, self._dataset = instrument, store, dataset
        self._settings, self._progress = settings, progress
        # candles bring no order book: who reads one has nothing to say here
        self._chairs = [
            _Chair(source)
            for source in learned_sources(settings.predictors)
            if source.reads is SourceInput.FEATURES
        ]
        self._controls = control_sources()
        self._rules = [rule.code for rule in rule_sources()] if settings.with_rules else []
        self._pipeline = _pipeline(self._chairs, settings)
        self._trainings = 0
        self._next_bar = 0
        # labels in the order in which they became known, for the baselines
        self._taught = 0
        names = [*self._rules, *(c.code for c in self._chairs), ENSEMBLE]
        names += [control.code for control in self._controls]
        self._found = {name: np.full(len(dataset), 0.5) for name in names}

    def run(self, fold: Fold) -> None:
        """Train on what was known before the fold, then walk to its end."""
        self._walk_to(int(fold.test[0]))
        self._train(fold)
        self._walk_to(int(fold.test[-1]) + 1)

    def answers(self, first: int) -> Answers:
        """Return what was answered from row ``first`` on."""
        kinds = {
            **dict.fromkeys(self._rules, RULES),
            **{chair.code: PREDICTOR for chair in self._chairs},
            ENSEMBLE: ENSEMBLE,
            **{control.code: BASELINE for control in self._controls},
        }
        data = self._dataset
        return Answers(
            kinds,
            {name: found[first:] for name, found in self._found.items()},
            data.outcome_up[first:],
            data.return_log[first:],
            data.ts_ms[first:],
            self._trainings,
        )

    def _train(self, fold: Fold) -> None:
        known = self._dataset.rows(fold.train)
        for chair in self._chairs:
            if chair.code in FAMILIES:
                parameters = self._settings.parameters.get(chair.code, {})
                model = train(chair.code, known, seed=self._settings.seed, parameters=parameters)
                chair.source = source_of(model)
                self._trainings += 1
        self._progress(f"trained on {len(known)} rows known before row {int(fold.test[0])}")

    def _walk_to(self, end: int) -> None:
        """Walk the bars up to the dataset row before ``end``, and note the answers of each."""
        bars, data = self._store.bars, self._dataset
        close_ms = bars.ts_ms + bars.timeframe_ms
        last = int(np.searchsorted(close_ms, data.ts_ms[end - 1], side="right")) if end else 0
        for bar in range(self._next_bar, last):
            at_ms = int(close_ms[bar])
            row = int(np.searchsorted(data.ts_ms, at_ms))
            noted = row < len(data) and int(data.ts_ms[row]) == at_ms
            self._bar(bar, at_ms, row if noted else None)
        self._next_bar = max(self._next_bar, last)

    def _bar(self, bar: int, at_ms: int, row: int | None) -> None:
        event = MarketEvent(
            EventKind.BAR,
            self._instrument.symbol,
            at_ms,
            at_ms,
            bar_at(self._store.bars, bar),
        )
        snapshot = Snapshot(self._instrument, event, self._store, bar)
        analysis = self._pipeline.analyse(snapshot)
        if row is not None:
            for name, probability in zip(
                self._rules, self._pipeline.board(self._store).probability_up[bar], strict=True
            ):
                self._found[name][row] = probability
            for chair in self._chairs:
                self._found[chair.code][row] = chair.answer
            if analysis.consensus is not None:
                self._found[ENSEMBLE][row] = analysis.consensus.probability_up
            self._note_controls(row, at_ms)
        self._pipeline.apply_learning(self._pipeline.after(snapshot, analysis, ()))

    def _note_controls(self, row: int, at_ms: int) -> None:
        data = self._dataset
        while data.label_ms[self._taught] <= at_ms:
            for control in self._controls:
                control.learn(data.matrix[self._taught], int(data.outcome_up[self._taught]))
            self._taught += 1
        for control in self._controls:
            self._found[control.code][row] = control.predict(data.matrix[row])


class _Strict:
    """A failure that trading would survive is the end of an evaluation: its figures would lie."""

    def incident(self, where: str, error: BaseException) -> None:
        raise StrategyError(f"{where} failed: {error}") from error


def _pipeline(chairs: Sequence[_Chair], settings: EvaluationSettings) -> Pipeline:
    def standing_still() -> float:
        return 0.0

    fail_safe = FailSafe(_Strict().incident, standing_still)
    rules = rule_sources() if settings.with_rules else ()
    return Pipeline(
        config=PipelineConfig(horizon_bars=settings.horizon_bars),
        rules=rules,
        learned=chairs,
        scoreboard=Scoreboard(),
        executor=SerialExecutor(fail_safe),
        recorder=CountingRecorder(),
        fail_safe=fail_safe,
        monotonic=standing_still,
    )


def pooled(parts: Sequence[Answers]) -> Answers:
    """Return the answers of several evaluations end to end."""
    first = parts[0]
    return Answers(
        first.kinds,
        {
            name: np.concatenate([part.probability_up[name] for part in parts])
            for name in first.probability_up
        },
        np.concatenate([part.outcome_up for part in parts]),
        np.concatenate([part.return_log for part in parts]),
        np.concatenate([part.ts_ms for part in parts]),
        sum(part.n_trainings for part in parts),
    )
