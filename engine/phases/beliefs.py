"""Phases 4 to 6 of one bar: select, ask, validate, combine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engine.failsafe import FailSafe, Failure
from engine.features import feature_row
from engine.insights import trust_factors
from engine.market_columns import market_columns
from engine.phases.asking import Answers, Asker, Inputs, Notebook
from engine.phases.belief_records import record_consensus, record_selection, record_validation
from engine.phases.config import PipelineConfig
from engine.phases.cross_validation import cross_validate, verdict_on
from engine.phases.ensemble import combine, consensus_of
from engine.phases.foresight import Outlook, outlook
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
from engine.ports import RuleSource, SourceInput
from engine.scoreboard import ALL_REGIMES, Scoreboard
from engine.seats import SourcePanel
from engine.types.bars import ColumnStore, FloatColumn, Snapshot
from engine.types.learned import NO_PANEL, Insight, PanelView
from engine.types.opinions import (
    REGIMES,
    Consensus,
    MarketView,
    Missing,
    Opinion,
    RuleColumns,
    SourceScore,
    Validation,
)

_RULES, _LEARNED = 0, 1


@dataclass(slots=True)
class Stage:
    """The number of the phase that is running: names the culprit when one fails."""

    number: int


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What phases 4-6 found; opinions are those of every voting source that has one."""

    sources: tuple[SourceScore, ...]
    opinions: tuple[Opinion, ...]
    validation: Validation | None
    consensus: Consensus | None
    panel: PanelView = NO_PANEL


NO_BELIEFS = Beliefs((), (), None, None)


class Believer:
    """Asks the sources and makes one consensus of them.

    Holds nothing that a restart could lose: standings are a cache of the scoreboard's answers,
    latencies are measured anew. ``believe`` may run on a thread that is given up: it writes into
    its notebook and into caches that are replaced, never emptied.
    """

    def __init__(
        self,
        config: PipelineConfig,
        rules: Sequence[RuleSource],
        panel: SourcePanel,
        scoreboard: Scoreboard,
        fail_safe: FailSafe,
        monotonic: Callable[[], float],
    ) -> None:
        self._config = config
        self._rules = tuple(rules)
        self._panel = panel
        self._scoreboard = scoreboard
        self._fail_safe = fail_safe
        self._asker = Asker(config, panel, fail_safe, monotonic)
        self._names = (*(s.code for s in self._rules), *(s.name for s in panel.voters))
        names = (*self._names, *(s.name for s in panel.shadows))
        if len(set(names)) != len(names):
            raise ValueError(f"source codes must be unique, were {', '.join(names)}")
        counts = (len(self._rules), len(panel.voters))
        self._groups = np.repeat(np.array([_RULES, _LEARNED], dtype=np.int64), counts)
        self._unknown_fits = np.full(len(self._names), UNKNOWN_FIT)
        self._versions = self._versions_now()
        self._standings: dict[str, Standings] = {}
        # keys of columns kept in a store; this object's own, for another one asks other rules
        self._board_key, self._fit_key = object(), object()

    def forget_standings(self) -> None:
        """Read the scoreboard again; needed whenever something was settled."""
        # a new one: a late computation may still write into the old
        self._standings = {}

    def set_thrift(self, level: int) -> None:
        self._asker.set_thrift(level)

    def reseated(self, rows: Mapping[SourceInput, FloatColumn]) -> None:
        """Look at the panel again: somebody else may speak for a code."""
        self._asker.warm_up(rows)
        self._fit_key = object()
        self._versions = self._versions_now()
        self.forget_standings()

    def warm_up(self, rows: Mapping[SourceInput, FloatColumn]) -> None:
        """Run every compiled kernel once, so that compiling costs no event its deadline.

        ``rows`` are any rows of the right length, by input.
        """
        self._asker.warm_up(rows)
        n = len(self._names)
        standing = self._standing(self._standings, ALL_REGIMES)
        selection = select_sources(standing, self._unknown_fits, np.zeros(n), self._config)
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
        inputs: Inputs,
        insights: Sequence[Insight],
        chain: Chain,
        notebook: Notebook,
    ) -> Beliefs:
        """Run phases 4-6 and note each in the notebook."""
        config, names = self._config, self._names
        standing = self._standing(self._standings, regime_key(market))
        scores, selection, answers, probabilities = chain.timed(
            4, lambda: self._select_and_ask(snapshot, market, inputs, standing, chain, notebook)
        )()
        opinions = self._opinions(probabilities)
        given = tuple([opinion for opinion in opinions if opinion is not None])
        record_selection(notebook, scores, selection, given, answers)
        trust = trust_factors(insights, names, probabilities)
        validated = chain.timed(
            5,
            lambda: cross_validate(
                opinions, probabilities, selection.place, standing.performance * trust, config
            ),
        )()
        validation = validated.validation
        doubted = tuple([(n, t) for n, t in zip(names, trust.tolist(), strict=True) if t < 1.0])
        record_validation(notebook, chain, validation, insights, doubted)
        consensus = chain.timed(
            6,
            lambda: combine(
                names,
                probabilities,
                validated.kept,
                self._groups,
                standing.skill * trust,
                standing.settled,
                validation.verdict,
                standing.voice,
            ),
        )()
        record_consensus(notebook, consensus)
        panel = PanelView(answers.shadow, answers.shed, tuple(insights), doubted, answers.asked)
        return Beliefs(scores, given, validation, consensus, panel)

    def foresee(
        self,
        snapshot: Snapshot,
        last: int,
        market: MarketView,
        insights: Sequence[Insight],
    ) -> Outlook | None:
        """Return what phases 4-6 will say of the rows from the snapshot's to ``last`` (excluded).

        They must share the market's regime and have no book; ``insights`` are those in force at
        the first, each until it expires. None where somebody cannot be asked ahead; then every
        bar runs through its phases.

        Raises:
            Whatever a source raises.
        """
        store, first = snapshot.store, snapshot.row
        learned = np.zeros((last - first, 0))
        if self._panel.voters:
            known = [feature_row(store, row) for row in range(first, last)]
            answers = self._asker.foresee([values for values, _ in known], [r for _, r in known])
            if answers is None:
                return None
            learned = answers
        probabilities = np.concatenate(
            (self.board(store).probability_up[first:last], learned), axis=1
        )
        trust = np.ones(probabilities.shape)
        if insights:
            closes_ms = (store.bars.ts_ms[first:last] + store.bars.timeframe_ms).tolist()
            for at, close_ms in enumerate(closes_ms):
                held = [insight for insight in insights if insight.expires_ms > close_ms]
                if held:
                    trust[at] = trust_factors(held, self._names, probabilities[at])
        return outlook(
            first,
            probabilities,
            store.get(self._fit_key, self._fit_columns)[first:last],
            trust,
            self._latencies_us(),
            self._standing(self._standings, regime_key(market)),
            self._groups,
            self._config,
        )

    def foreseen(self, outlook: Outlook, row: int) -> Beliefs:
        """Return what ``believe`` will say of a row, challengers, guards and controls unheard.

        The same opinions, verdict and consensus; why each source was selected is left out.
        """
        at, found, rules = row - outlook.first, outlook.found, len(self._rules)
        said, kept, out = found.said[at], found.kept[at], found.out[at]
        agreement, reliability, up, uncertainty = found.numbers[at].tolist()
        n, above, below = found.counts[at].tolist()
        opinions = self._opinions(said)
        validation = verdict_on(opinions, kept, out, n, agreement, reliability, self._config)
        consensus = None
        if n:
            flags, weights, verdict = kept.tolist(), found.weights[at], validation.verdict
            consensus = consensus_of(
                self._names, flags, weights, up, uncertainty, above, below, verdict
            )
        asked = tuple(zip(self._names[rules:], said[rules:].tolist(), strict=True))
        given = tuple([opinion for opinion in opinions if opinion is not None])
        return Beliefs((), given, validation, consensus, PanelView(asked=asked))

    def with_shadows(self, panel: PanelView, inputs: Inputs, notebook: Notebook) -> PanelView:
        """Return the panel of a bar that was foreseen, with those asked who do not vote."""
        shadow, asked = self._asker.ask_shadows(inputs, notebook)
        return replace(panel, shadow=shadow, asked=(*panel.asked, *asked))

    def _select_and_ask(
        self,
        snapshot: Snapshot,
        market: MarketView | Missing,
        inputs: Inputs,
        standing: Standings,
        chain: Chain,
        notebook: Notebook,
    ) -> tuple[tuple[SourceScore, ...], Selection, Answers, FloatColumn]:
        config = self._config
        fits, latencies_us = self._fits(snapshot, market), self._latencies_us()
        selection = select_sources(standing, fits, latencies_us, config)
        scores = chain.detail(lambda: explain(standing, fits, selection, config))
        # Sources that were not selected are asked too: unheard, they could never prove better.
        by_rules: FloatColumn = self.board(snapshot.store).probability_up[snapshot.row]
        bar_number = snapshot.event.ts_ms // snapshot.store.bars.timeframe_ms
        answers = self._asker.ask(bar_number, inputs, notebook)
        return scores, selection, answers, np.concatenate((by_rules, answers.voters))

    def _latencies_us(self) -> FloatColumn:
        latencies = np.zeros(len(self._names))
        for index in range(len(self._rules), len(self._names)):
            latencies[index] = self._asker.latency_us(self._names[index])
        return latencies

    def _standing(self, cache: dict[str, Standings], regime: str) -> Standings:
        known = cache.get(regime)
        if known is None:
            known = cache[regime] = standings(self._scoreboard, self._names, regime, self._groups)
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
        liked.extend(s.source.favourable_regimes for s in self._panel.voters)
        for index, regimes in enumerate(liked):
            for column, regime in enumerate(REGIMES):
                if regime in regimes:
                    fits[:, index] += probabilities[:, column]
        return fits

    def _opinions(self, probabilities: FloatColumn) -> list[Opinion | None]:
        """Return each source's opinion, None where it is too close to 0.5 to be one."""
        margin = self._config.opinion_margin
        return [
            Opinion(name, probability, self._asker.latency_us(name), version)
            if abs(probability - 0.5) >= margin
            else None
            for name, probability, version in zip(
                self._names, probabilities.tolist(), self._versions, strict=True
            )
        ]

    def _versions_now(self) -> tuple[str, ...]:
        return ("",) * len(self._rules) + tuple(s.version for s in self._panel.voters)

    def _ask_rule(self, rule: RuleSource, call: Callable[[], RuleColumns]) -> RuleColumns | None:
        answer = self._fail_safe.attempt(call, where=f"rule {rule.code}")
        return None if isinstance(answer, Failure) else answer
