"""The ten phases in order: a table of contents, and what happens when one of them fails.

1 market_analysis   2 feature_engineering   3 microstructure      side by side, on the event
4 source_selection  5 cross_validation      6 ensemble            once a bar
7 risk_and_sizing   8 final_decision                              once a proposal
9 learning         10 evolution                                   applied between events
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from engine.conditions import Feelings
from engine.failsafe import FailSafe, Failure
from engine.features import feature_row
from engine.market_columns import market_columns
from engine.order_flow import OrderFlowTape
from engine.phases import (
    entry_gates,
    evolution,
    feature_engineering,
    final_decision,
    gate_table,
    inputs,
    learning,
    market_analysis,
    microstructure,
    near_misses,
    proposals,
    risk_and_sizing,
    tracing,
)
from engine.phases import given as given_inputs
from engine.phases.beliefs import NO_BELIEFS, Beliefs, Believer, Stage
from engine.phases.config import PipelineConfig
from engine.phases.context import DecisionContext, Positions
from engine.phases.recorder import Chain, Recorder
from engine.phases.results import LearningResult, part_of
from engine.phases.rule_board import RuleBoard
from engine.ports import Executor, LearnedSource, RuleSource
from engine.scoreboard import Scoreboard
from engine.types.bars import ColumnStore, Snapshot
from engine.types.decisions import (
    PHASES,
    Analysis,
    Decision,
    JsonValue,
    Reason,
)
from engine.types.opinions import (
    ConditionChange,
    FeatureView,
    MarketView,
    Missing,
    OrderFlowView,
    Proposal,
    ProposalKind,
)

__all__ = ["DecisionContext", "LearningResult", "Pipeline"]

_BELIEFS = "phases 4-6"


class Pipeline:
    """Runs the ten phases for one session.

    The policy comes with each decision's context: give it a ``FailSafePolicy``, never a bare layer.
    ``executor`` runs what is independent; ``monotonic`` is wall time in live wirings and stands
    still in replay, where no duration may change a decision.
    """

    def __init__(
        self,
        *,
        config: PipelineConfig,
        rules: Sequence[RuleSource],
        learned: Sequence[LearnedSource],
        scoreboard: Scoreboard,
        executor: Executor,
        recorder: Recorder,
        fail_safe: FailSafe,
        monotonic: Callable[[], float],
    ) -> None:
        self._config = config
        self._rules = tuple(rules)
        self._learned = tuple(learned)
        self._scoreboard = scoreboard
        self._executor = executor
        self._recorder = recorder
        self._fail_safe = fail_safe
        self._monotonic = monotonic
        self._believer = Believer(config, rules, learned, scoreboard, fail_safe, monotonic)
        self._pending = learning.PendingOpinions(config, keep_features=bool(learned))
        self._evolution = evolution.EvolutionWatch([s.code for s in learned], config)
        self._feelings = Feelings()
        self._tape = OrderFlowTape()
        self._started_s = 0.0

    def warm_up(self, store: ColumnStore) -> None:
        """Evaluate every column once, so that compiling them costs no event its deadline."""
        market_columns(store)
        feature_row(store, len(store.bars) - 1)
        self._believer.board(store)
        self._believer.warm_up()

    def quiet(self, snapshot: Snapshot, held: Sequence[Positions]) -> Decision | None:
        """Return a bar's HOLD where the phases need not run, None where they must: always here.

        ``held`` are this symbol's positions in each book of the run. What is stored and shown has
        all ten records; only a replay, which keeps none, may answer.
        """
        return None

    # -- phases 1-6, once a bar --------------------------------------------------------------

    def analyse(self, snapshot: Snapshot) -> Analysis:
        """Run phases 1-6; what a failed phase would have given is missing and on record."""
        self._started_s = self._monotonic()
        chain = self._recorder.begin(lambda: tracing.event(snapshot))
        views = self._executor.run(self._views(snapshot, chain))
        market = cast("MarketView | Missing", views[PHASES[0]])
        features = cast("FeatureView | Missing", views[PHASES[1]])
        order_flow = cast("OrderFlowView | Missing", views[PHASES[2]])
        changes = self._changes(snapshot, market)
        tracing.add_view(chain, 1, market, lambda view: market_analysis.describe(view, changes))
        tracing.add_view(chain, 2, features, feature_engineering.describe)
        tracing.add_view(chain, 3, order_flow, microstructure.describe)
        stage = Stage(4)
        call = {_BELIEFS: lambda: self._believer.believe(snapshot, market, features, chain, stage)}
        beliefs: Beliefs | Missing = self._executor.run(call)[_BELIEFS]
        if isinstance(beliefs, Missing):
            tracing.add_failure(chain, stage.number, 6, beliefs.reason)
            beliefs = NO_BELIEFS
        event = snapshot.event
        return Analysis(
            event.symbol,
            event.ts_ms,
            snapshot.close,
            market,
            features,
            order_flow,
            beliefs.sources,
            beliefs.opinions,
            beliefs.validation,
            beliefs.consensus,
            chain.records(),
            changes,
        )

    def _changes(
        self, snapshot: Snapshot, market: MarketView | Missing
    ) -> tuple[ConditionChange, ...]:
        felt = self._feelings.last(snapshot.event.symbol)
        nothing: tuple[ConditionChange, ...] = ()
        return self._fail_safe.fall_back(
            lambda: market_analysis.changes_since(snapshot, market, felt),
            nothing,
            where="condition changes",
        )

    def _views(self, snapshot: Snapshot, chain: Chain) -> dict[str, Callable[[], object]]:
        config = self._config
        flow = self._tape.observe(snapshot.event, snapshot.store.bars.timeframe_ms)
        return {
            PHASES[0]: chain.timed(1, lambda: market_analysis.analyse_market(snapshot)),
            PHASES[1]: chain.timed(2, lambda: feature_engineering.build_features(snapshot)),
            PHASES[2]: chain.timed(
                3, lambda: microstructure.read_order_flow(snapshot, config, flow)
            ),
        }

    def board(self, store: ColumnStore) -> RuleBoard:
        """Return every rule's columns over a store."""
        return self._believer.board(store)

    def proposals(
        self, snapshot: Snapshot, analysis: Analysis, positions: Positions
    ) -> tuple[Proposal, ...]:
        """Return what this bar's decisions are about: exits, rule entries, the ensemble's own.

        ``positions`` are this symbol's, by strategy code.
        """
        board = self.board(snapshot.store)
        return proposals.propose(snapshot, analysis, board, positions, self._config)

    # -- phases 7-8, once a proposal ---------------------------------------------------------

    def decide(
        self,
        proposal: Proposal,
        snapshot: Snapshot,
        analysis: Analysis,
        context: DecisionContext,
    ) -> Decision:
        """Run phases 7 and 8 on one proposal; a failure or a missed deadline is a HOLD (ORC-17).

        Exits of what is held are decided even where an earlier phase failed or time ran out.
        """
        given: dict[str, JsonValue] = {}
        chain = given_inputs.begin(
            self._recorder,
            self._fail_safe,
            analysis,
            proposal,
            given,
            lambda: inputs.of_proposal(snapshot, proposal, context),
        )
        stage = Stage(7)
        # never skipped in a cool-off: an exit must be tried every time
        decision = self._fail_safe.attempt(
            lambda: self._decide(proposal, snapshot, analysis, context, chain, stage),
            where="phases 7-8",
            always=True,
        )
        if isinstance(decision, Failure):
            tracing.add_failure(chain, stage.number, 8, decision.text)
            reason = tracing.failure_reason(stage.number, decision.text)
            decision = self._hold(proposal, snapshot, reason, stage.number)
        return final_decision.with_records(decision, chain.records(), given)

    def _decide(
        self,
        proposal: Proposal,
        snapshot: Snapshot,
        analysis: Analysis,
        context: DecisionContext,
        chain: Chain,
        stage: Stage,
    ) -> Decision:
        is_entry = proposal.kind is ProposalKind.ENTRY
        failed = tracing.failed_phase(analysis) if is_entry else None
        if failed is not None:
            tracing.add_skipped(chain, 7, 8, failed.reasons)
            return self._hold(proposal, snapshot, failed.reasons[0], failed.number)
        question = entry_gates.Question(
            proposal, snapshot, analysis, context, self._config, self._fail_safe.failed
        )
        answer = chain.timed(
            7, lambda: risk_and_sizing.assess_risk_and_size(question, context.policy)
        )()
        gates = chain.detail(lambda: gate_table.recorded(question, answer, self._fail_safe))
        tracing.add_sizing(chain, answer, gates)
        stage.number = 8
        late = self._too_late() if is_entry else None
        if late is not None:
            decision = self._hold(proposal, snapshot, late, 8)
        else:
            decision = chain.timed(
                8,
                lambda: final_decision.finalise(
                    proposal, snapshot, analysis, answer, context, self._config
                ),
            )()
        tracing.add_decision(chain, decision, analysis)
        return decision

    def _too_late(self) -> Reason | None:
        took_s = self._monotonic() - self._started_s
        limit_s = self._config.total_deadline_s
        if took_s <= limit_s:
            return None
        text = f"deciding took {took_s:.3f} s, deadline was {limit_s:g} s"
        return Reason("DEADLINE", text, took_s, limit_s)

    def _hold(self, proposal: Proposal, snapshot: Snapshot, reason: Reason, phase: int) -> Decision:
        return final_decision.hold(
            proposal.strategy,
            snapshot,
            reason,
            self._config,
            proposal=proposal,
            blocking_phase=phase,
        )

    def hold(
        self, snapshot: Snapshot, analysis: Analysis, positions: Positions | None = None
    ) -> Decision:
        """Return the HOLD of a bar on which nobody proposed, with the reason and who was close."""
        given: dict[str, JsonValue] = {}
        chain = given_inputs.begin(
            self._recorder,
            self._fail_safe,
            analysis,
            None,
            given,
            lambda: inputs.of_bar(snapshot, positions or {}),
        )
        failed = tracing.failed_phase(analysis)
        if failed is None:
            reason, phase = tracing.silence(analysis), None
        else:
            reason, phase = failed.reasons[0], failed.number
        decision = final_decision.hold(
            final_decision.PLATFORM, snapshot, reason, self._config, blocking_phase=phase
        )
        lacked = chain.detail(
            lambda: near_misses.near_misses(
                self._rules, snapshot, analysis.validation, analysis.consensus, self._config
            )
        )
        tracing.add_silence(chain, reason, lacked)
        tracing.add_decision(chain, decision, analysis)
        return final_decision.with_records(decision, chain.records(), given)

    # -- phases 9-10, applied between events ---------------------------------------------------

    def after(
        self, snapshot: Snapshot, analysis: Analysis, decisions: Sequence[Decision]
    ) -> LearningResult:
        """Run phases 9 and 10: what is settled now, and what should be trained anew.

        Nothing changes before ``apply_learning``; a failure here leaves the decisions as they are.
        """
        chain = self._recorder.begin(lambda: tracing.decisions(analysis, decisions))
        has_order = any(decision.intent is not None for decision in decisions)
        learned = self._fail_safe.attempt(
            chain.timed(9, lambda: self._pending.due(snapshot, analysis, has_order)),
            where=PHASES[8],
        )
        tracing.add_learning(chain, learned)
        step = self._fail_safe.attempt(
            chain.timed(
                10,
                lambda: self._evolution.due(
                    snapshot.event.ts_ms, analysis.market, self._scoreboard
                ),
            ),
            where=PHASES[9],
        )
        tracing.add_evolution(chain, step)
        settled = None if isinstance(learned, Failure) else learned
        evolved = None if isinstance(step, Failure) else step
        return LearningResult(
            () if settled is None else settled.settlements,
            () if evolved is None else evolved.triggers,
            chain.records(),
            settled,
            evolved,
            (analysis.symbol, analysis.market),
        )

    def apply_learning(self, result: LearningResult) -> None:
        """Make phases 9 and 10 true: scores, lessons, pending opinions, watches (D-18)."""
        learned = result.learned
        if learned is not None:
            for settlement in learned.settlements:
                self._scoreboard.record(settlement)
            if learned.settlements:
                self._believer.forget_standings()
            for lesson in learned.lessons:
                for source in self._learned:
                    self._teach(source, lesson)
            self._pending.apply(learned)
        if result.evolution is not None:
            self._evolution.apply(result.evolution)
        if result.felt is not None:
            self._feelings.note(*result.felt)

    def _teach(self, source: LearnedSource, lesson: learning.Lesson) -> None:
        self._fail_safe.fall_back(
            lambda: source.learn(lesson.features, lesson.outcome_up),
            None,
            where=f"learning {source.code}",
        )

    # -- what survives a restart ---------------------------------------------------------------

    def state(self) -> dict[str, JsonValue]:
        """Return everything learned as JSON values; ``restore`` of it gives equal decisions."""
        return {
            "scoreboard": self._scoreboard.state(),
            "learned": {source.code: source.state() for source in self._learned},
            "pending": self._pending.state(),
            "evolution": self._evolution.state(),
            "feelings": self._feelings.state(),
            "order_flow": self._tape.state(),
        }

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Replace everything learned by a stored state; a source it does not name starts anew.

        Raises:
            ValueError: the state is not one that ``state`` wrote.
        """
        learned = part_of(state, "learned")
        self._scoreboard.restore(part_of(state, "scoreboard"))
        self._pending.restore(part_of(state, "pending"))
        self._evolution.restore(part_of(state, "evolution"))
        # a state stored before books were remembered has none: one bar without order flow
        self._tape.restore(part_of(state, "order_flow") if "order_flow" in state else {})
        for source in self._learned:
            if source.code in learned:
                source.restore(part_of(learned, source.code))
        self._feelings.restore(state.get("feelings"))
        self._believer.forget_standings()
