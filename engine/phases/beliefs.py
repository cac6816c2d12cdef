"""Phases 4 to 6 of one bar: select, ask, validate, combine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.failsafe import FailSafe, Failure
from engine.market_columns import market_columns
from engine.phases.config import PipelineConfig
from engine.phases.cross_validation import UNRELIABLE, cross_validate, sentence
from engine.phases.ensemble import combine
from engine.phases.recorder import Chain
from engine.phases.rule_board import RuleBoard, rule_board
from engine.phases.source_selection import (
    UNKNOWN_FIT,
    Selection,
    Standings,
    explain,
    regime_key,
    select_sources,
    standings,
)
from engine.ports import LearnedSource, RuleSource
from engine.scoreboard import ALL_REGIMES, Scoreboard
from engine.types.bars import ColumnStore, FloatColumn, Snapshot
from engine.types.decisions import JsonValue, PhaseStatus, Reason
from engine.types.opinions import (
    REGIMES,
    Consensus,
    FeatureView,
    MarketView,
    Missing,
    Opinion,
    RuleColumns,
    SourceScore,
    Validation,
)

# How much one new measurement moves the remembered latency of a source.
_LATENCY_STEP = 0.1
_RULES, _LEARNED = 0, 1


@dataclass(slots=True)
class Stage:
    """The number of the phase that is running: names the culprit when one fails."""

    number: int


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What phases 4-6 found; opinions are those of every source that has one."""

    sources: tuple[SourceScore, ...]
    opinions: tuple[Opinion, ...]
    validation: Validation | None
    consensus: Consensus | None


_NONE: tuple[Reason, ...] = ()
NO_BELIEFS = Beliefs((), (), None, None)


class Believer:
    """Asks the sources and makes one consensus of them.

    Holds nothing that a restart could lose: standings are a cache of the scoreboard's answers,
    latencies are measured anew.
    """

    def __init__(
        self,
        config: PipelineConfig,
        rules: Sequence[RuleSource],
        learned: Sequence[LearnedSource],
        scoreboard: Scoreboard,
        fail_safe: FailSafe,
        monotonic: Callable[[], float],
    ) -> None:
        self._config = config
        self._rules = tuple(rules)
        self._learned = tuple(learned)
        self._scoreboard = scoreboard
        self._fail_safe = fail_safe
        self._monotonic = monotonic
        self._names = (*(s.code for s in self._rules), *(s.code for s in self._learned))
        if len(set(self._names)) != len(self._names):
            raise ValueError(f"source codes must be unique, were {', '.join(self._names)}")
        counts = (len(self._rules), len(self._learned))
        self._groups = np.repeat(np.array([_RULES, _LEARNED], dtype=np.int64), counts)
        self._latencies_us = np.zeros(len(self._names))
        self._unknown_fits = np.full(len(self._names), UNKNOWN_FIT)
        self._standings: dict[str, Standings] = {}
        # keys of columns kept in a store; this object's own, for another one asks other rules
        self._board_key, self._fit_key = object(), object()

    def forget_standings(self) -> None:
        """Read the scoreboard again; needed whenever something was settled."""
        self._standings.clear()

    def warm_up(self) -> None:
        """Run every compiled kernel once, so that compiling costs no event its deadline."""
        standing, n = self._standing(ALL_REGIMES), len(self._names)
        selection = select_sources(standing, self._unknown_fits, self._latencies_us, self._config)
        probabilities = np.full(n, 0.6)
        opinions = self._opinions(probabilities)
        validated = cross_validate(
            opinions, probabilities, selection.place, standing.performance, self._config
        )
        combine(
            self._names,
            probabilities,
            validated.kept,
            self._groups,
            standing.skill,
            standing.settled,
            validated.validation.verdict,
            standing.voice,
        )

    def board(self, store: ColumnStore) -> RuleBoard:
        """Return all rules' columns over a store, asked once; a rule that fails is left out."""
        return store.get(self._board_key, lambda s: rule_board(self._rules, s, self._ask_rule))

    def believe(
        self,
        snapshot: Snapshot,
        market: MarketView | Missing,
        features: FeatureView | Missing,
        chain: Chain,
        stage: Stage,
    ) -> Beliefs:
        """Run phases 4-6 and record each; ``stage`` follows along."""
        config = self._config
        chain.mark()
        standing = self._standing(regime_key(market))
        fits = self._fits(snapshot, market)
        selection = select_sources(standing, fits, self._latencies_us, config)
        scores = chain.detail(lambda: explain(standing, fits, selection, config))
        probabilities = self._ask(snapshot, features)
        opinions = self._opinions(probabilities)
        given = tuple([opinion for opinion in opinions if opinion is not None])
        _record_selection(chain, scores, selection, given)
        stage.number = 5
        validated = cross_validate(
            opinions, probabilities, selection.place, standing.performance, config
        )
        validation = validated.validation
        _record_validation(chain, validation)
        stage.number = 6
        consensus = combine(
            self._names,
            probabilities,
            validated.kept,
            self._groups,
            standing.skill,
            standing.settled,
            validation.verdict,
            standing.voice,
        )
        _record_consensus(chain, consensus)
        return Beliefs(scores, given, validation, consensus)

    def _standing(self, regime: str) -> Standings:
        known = self._standings.get(regime)
        if known is None:
            known = self._standings[regime] = standings(
                self._scoreboard, self._names, regime, self._groups
            )
        return known

    def _fits(self, snapshot: Snapshot, market: MarketView | Missing) -> FloatColumn:
        if isinstance(market, Missing):
            return self._unknown_fits
        fits: FloatColumn = snapshot.store.get(self._fit_key, self._fit_columns)[snapshot.row]
        return fits

    def _fit_columns(self, store: ColumnStore) -> npt.NDArray[np.float64]:
        """Return the probability that the market is in a regime the source likes, a column each."""
        probabilities = market_columns(store).regime_probabilities
        fits = np.zeros((len(store.bars), len(self._names)))
        liked = [s.favourable_regimes for s in self._rules]
        liked.extend(s.favourable_regimes for s in self._learned)
        for index, regimes in enumerate(liked):
            for column, regime in enumerate(REGIMES):
                if regime in regimes:
                    fits[:, index] += probabilities[:, column]
        return fits

    def _ask(self, snapshot: Snapshot, features: FeatureView | Missing) -> FloatColumn:
        """Return every source's probability (n_sources,), 0.5 = none.

        Sources that were not selected are asked too: unheard, they could never prove better.
        """
        by_rules: FloatColumn = self.board(snapshot.store).probability_up[snapshot.row]
        if not self._learned:
            return by_rules
        by_learned = [
            self._ask_learned(index, source, snapshot, features)
            for index, source in enumerate(self._learned, start=len(self._rules))
        ]
        return np.concatenate((by_rules, by_learned))

    def _opinions(self, probabilities: FloatColumn) -> list[Opinion | None]:
        """Return each source's opinion, None where it is too close to 0.5 to be one."""
        margin = self._config.opinion_margin
        latencies = self._latencies_us.tolist()
        return [
            Opinion(name, probability, latency) if abs(probability - 0.5) >= margin else None
            for name, probability, latency in zip(
                self._names, probabilities.tolist(), latencies, strict=True
            )
        ]

    def _ask_learned(
        self, index: int, source: LearnedSource, snapshot: Snapshot, features: FeatureView | Missing
    ) -> float:
        """Return one predictor's probability; 0.5 where it is not warm, failing or too slow now."""
        if isinstance(features, Missing) or not features.ready:
            return 0.5
        latency_us = float(self._latencies_us[index])
        bar_number = snapshot.event.ts_ms // snapshot.store.bars.timeframe_ms
        if latency_us > self._config.latency_budget_us and (
            bar_number % self._config.learn_every_bars
        ):
            # too slow: asked now and then only, to see whether it has recovered
            return 0.5
        started_s = self._monotonic()
        values = features.values
        answer = self._fail_safe.attempt(
            lambda: _probability(source, source.predict(values)), where=f"predictor {source.code}"
        )
        took_us = (self._monotonic() - started_s) * 1e6
        self._latencies_us[index] = latency_us + _LATENCY_STEP * (took_us - latency_us)
        return 0.5 if isinstance(answer, Failure) else answer

    def _ask_rule(self, rule: RuleSource, call: Callable[[], RuleColumns]) -> RuleColumns | None:
        answer = self._fail_safe.attempt(call, where=f"rule {rule.code}")
        return None if isinstance(answer, Failure) else answer


def _probability(source: LearnedSource, value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"probability of {source.code} must be in [0, 1], was {value}")
    return value


def _record_selection(
    chain: Chain,
    scores: Sequence[SourceScore],
    selection: Selection,
    opinions: Sequence[Opinion],
) -> None:
    status, reasons = PhaseStatus.PASSED, _NONE
    if selection.count == 0:
        text = f"no source is fit to be asked, candidates were {len(selection.scores)}"
        status, reasons = PhaseStatus.BLOCKED, (Reason("NO_SOURCE", text, 0.0, 1.0),)

    def output() -> dict[str, JsonValue]:
        return {
            "scores": {s.source: s.score for s in scores},
            "selected": [s.source for s in scores if s.selected],
            "reasons": {s.source: s.reason for s in scores},
            "opinions": {o.source: o.probability_up for o in opinions},
        }

    chain.add(4, status, output, reasons)


def _record_validation(chain: Chain, validation: Validation) -> None:
    def output() -> dict[str, JsonValue]:
        return {
            "verdict": validation.verdict,
            "agreement": validation.agreement,
            "reliability": validation.reliability,
            "kept": [o.source for o in validation.kept],
            "outliers": list(validation.outliers),
        }

    unreliable = validation.verdict == UNRELIABLE
    status = PhaseStatus.REDUCED if unreliable else PhaseStatus.PASSED
    chain.add(5, status, output, chain.detail(lambda: _doubts(validation)) if unreliable else ())


def _doubts(validation: Validation) -> tuple[Reason, ...]:
    return (Reason("UNRELIABLE", sentence(validation), validation.reliability),)


def _record_consensus(chain: Chain, consensus: Consensus | None) -> None:
    def output() -> dict[str, JsonValue]:
        if consensus is None:
            return {}
        return {
            "probability_up": consensus.probability_up,
            "uncertainty": consensus.uncertainty,
            "weights": dict(zip(consensus.contributors, consensus.weights, strict=True)),
            "confluence_up": consensus.confluence_up,
            "confluence_down": consensus.confluence_down,
            "reliable": consensus.reliable,
        }

    if consensus is None:
        chain.add(6, PhaseStatus.SKIPPED, output, (NO_OPINION_REASON,))
    else:
        chain.add(6, PhaseStatus.PASSED, output)


NO_OPINION_REASON = Reason("NO_OPINION", "nothing to combine, opinions were 0", 0.0, 1.0)
