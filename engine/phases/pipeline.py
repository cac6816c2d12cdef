"""The ten phases in order: a table of contents, and what happens when one of them fails.

1 market_analysis   2 feature_engineering   3 microstructure      side by side, on the event
4 source_selection  5 cross_validation      6 ensemble            once a bar
7 risk_and_sizing   8 final_decision                              once a proposal
9 learning         10 evolution                                   applied between events
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from engine.conditions import Feelings
from engine.failsafe import FailSafe, Failure
from engine.features import feature_row
from engine.market_columns import market_columns
from engine.order_flow import OrderFlowTape
from engine.phases import (
    feature_engineering,
    market_analysis,
    microstructure,
    proposals,
    tracing,
)
from engine.phases.asking import Inputs, Notebook, note_answers
from engine.phases.beliefs import NO_BELIEFS, Beliefs, Believer
from engine.phases.config import PipelineConfig
from engine.phases.context import DecisionContext, Positions
from engine.phases.judge import Judge
from engine.phases.learner import Learner, LearningResult
from engine.phases.recorder import Chain, Recorder
from engine.phases.rule_board import RuleBoard
from engine.phases.way_out import exits_alone
from engine.ports import (
    Executor,
    InsightSource,
    LearnedSource,
    RuleSource,
    SourceInput,
)
from engine.scoreboard import Scoreboard
from engine.seats import Seated, SourcePanel, champions
from engine.types.bars import ColumnStore, FloatColumn, Snapshot
from engine.types.decisions import (
    PHASES,
    Analysis,
    Decision,
    JsonValue,
)
from engine.types.learned import TradeCredit
from engine.types.ledger import Trade
from engine.types.opinions import (
    ConditionChange,
    FeatureView,
    MarketView,
    Missing,
    OrderFlowView,
    Proposal,
)

__all__ = ["DecisionContext", "LearningResult", "Pipeline", "QuietBar"]

_BELIEFS = "phases 4-6"


@dataclass(frozen=True, slots=True)
class QuietBar:
    """The HOLD of a bar that was not walked through, and what was learned on it nevertheless."""

    decision: Decision
    learned: LearningResult


class Pipeline:
    """Runs the ten phases for one session.

    The policy comes with each decision's context: give it a ``FailSafePolicy``, never a bare layer.
    ``executor`` runs what is independent; ``monotonic`` is wall time in live wirings and stands
    still in replay, where no duration may change a decision. ``seats`` replaces ``learned``,
    whose sources all vote.
    """

    def __init__(
        self,
        *,
        config: PipelineConfig,
        rules: Sequence[RuleSource],
        learned: Sequence[LearnedSource],
        seats: Sequence[Seated] | None = None,
        observers: Sequence[InsightSource] = (),
        scoreboard: Scoreboard,
        executor: Executor,
        recorder: Recorder,
        fail_safe: FailSafe,
        monotonic: Callable[[], float],
    ) -> None:
        self._config = config
        self._executor = executor
        self._recorder = recorder
        self._fail_safe = fail_safe
        self._judge = Judge(config, rules, recorder, fail_safe, monotonic)
        self._panel = SourcePanel(champions(learned) if seats is None else seats)
        self._believer = Believer(config, rules, self._panel, scoreboard, fail_safe, monotonic)
        self._learner = Learner(config, self._panel, scoreboard, observers, fail_safe)
        self._feelings = Feelings()
        self._tape = OrderFlowTape()
        # the last row of each input: what new sources are warmed up with
        self._rows: dict[SourceInput, FloatColumn] = {}
        # why the last bar's proposals could not be made, empty where they could
        self._unproposed = ""

    def warm_up(self, store: ColumnStore) -> None:
        """Evaluate every column once, so that compiling them costs no event its deadline."""
        market_columns(store)
        if len(store.bars):
            self._rows[SourceInput.FEATURES], _ = feature_row(store, len(store.bars) - 1)
        self._believer.board(store)
        self._believer.warm_up(self._rows)

    def quiet(self, snapshot: Snapshot, held: Sequence[Positions]) -> QuietBar | None:
        """Return a bar's HOLD where the phases need not run, None where they must: always here.

        ``held`` are this symbol's positions in each book of the run. What is stored and shown has
        all ten records; only a replay, which keeps none, may answer.
        """
        return None

    # -- phases 1-6, once a bar --------------------------------------------------------------

    def analyse(self, snapshot: Snapshot) -> Analysis:
        """Run phases 1-6; what a failed phase would have given is missing and on record."""
        self._judge.start()
        chain = self._recorder.begin(lambda: tracing.event(snapshot))
        views = self._executor.run(self._views(snapshot, chain))
        market = cast("MarketView | Missing", views[PHASES[0]])
        features = cast("FeatureView | Missing", views[PHASES[1]])
        order_flow = cast("OrderFlowView | Missing", views[PHASES[2]])
        changes = self._changes(snapshot, market)
        tracing.add_view(chain, 1, market, lambda view: market_analysis.describe(view, changes))
        tracing.add_view(chain, 2, features, feature_engineering.describe)
        tracing.add_view(chain, 3, order_flow, microstructure.describe)
        beliefs = self._believe(snapshot, market, features, order_flow, chain)
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
            beliefs.panel,
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

    def _believe(
        self,
        snapshot: Snapshot,
        market: MarketView | Missing,
        features: FeatureView | Missing,
        order_flow: OrderFlowView | Missing,
        chain: Chain,
    ) -> Beliefs:
        inputs: Inputs = {
            SourceInput.FEATURES: features,
            SourceInput.ORDER_FLOW: (
                order_flow if isinstance(order_flow, Missing) else order_flow.inputs
            ),
        }
        self._learner.note_inputs(inputs)
        for reads, view in inputs.items():
            if isinstance(view, FeatureView):
                self._rows[reads] = view.values
        event, notebook = snapshot.event, Notebook()
        insights = self._learner.insights(event.symbol, market, event.ts_ms)
        believer = self._believer
        call = {
            _BELIEFS: lambda: believer.believe(snapshot, market, inputs, insights, chain, notebook)
        }
        beliefs: Beliefs | Missing = self._executor.run(call)[_BELIEFS]
        # read once: what comes later comes too late (ORC-18)
        lines = tuple(notebook.lines)
        note_answers(self._fail_safe, notebook)
        for line in lines:
            chain.add(*line)
        if isinstance(beliefs, Missing):
            tracing.add_failure(chain, 4 + len(lines), 6, beliefs.reason)
            return NO_BELIEFS
        return beliefs

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
        self._unproposed = ""
        propose = partial(self._propose, snapshot, analysis, positions)
        found = self._fail_safe.attempt(propose, where="proposals", always=True)
        if not isinstance(found, Failure):
            return found
        self._unproposed = found.text
        return exits_alone(snapshot, analysis, positions, self.board, self._config, self._fail_safe)

    def _propose(
        self, snapshot: Snapshot, analysis: Analysis, positions: Positions
    ) -> tuple[Proposal, ...]:
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
        return self._judge.decide(proposal, snapshot, analysis, context)

    def hold(
        self, snapshot: Snapshot, analysis: Analysis, positions: Positions | None = None
    ) -> Decision:
        """Return the HOLD of a bar on which nobody proposed, with the reason and who was close."""
        return self._judge.hold(snapshot, analysis, positions or {}, self._unproposed)

    # -- phases 9-10, applied between events ---------------------------------------------------

    def after(
        self, snapshot: Snapshot, analysis: Analysis, decisions: Sequence[Decision]
    ) -> LearningResult:
        """Run phases 9 and 10: what is settled now, and what should be trained anew.

        Nothing changes before ``apply_learning``; a failure here leaves the decisions as they are.
        """
        chain = self._recorder.begin(lambda: tracing.decisions(analysis, decisions))
        return self._learner.after(snapshot, analysis, decisions, chain)

    def apply_learning(self, result: LearningResult) -> LearningResult:
        """Make phases 9 and 10 true (D-18); the records then also say what could not be."""
        applied = self._learner.apply(result)
        if result.settlements:
            self._believer.forget_standings()
        if result.analysis is not None:
            self._feelings.note(result.analysis.symbol, result.analysis.market)
        return applied

    def closed(self, trade: Trade) -> TradeCredit | None:
        """Return who leaned which way when a trade was opened; its PnL is booked to them."""
        return self._learner.closed(trade)

    def set_thrift(self, level: int) -> None:
        """Ask fewer models from the next bar on: 0 all, 1 those that vote, 2 half of those."""
        self._believer.set_thrift(level)

    def reseat(self, seated: Sequence[Seated], at_ms: int) -> None:
        """Let other models speak or be tried, between events; see ``Learner.reseat``."""
        self._learner.reseat(seated, at_ms)
        self._believer.reseated(self._rows)

    @property
    def seated(self) -> tuple[Seated, ...]:
        """Who sits at the table now."""
        return self._panel.everyone

    # -- what survives a restart ---------------------------------------------------------------

    def state(self) -> dict[str, JsonValue]:
        """Return everything learned as JSON values; ``restore`` of it gives equal decisions."""
        return {
            **self._learner.state(),
            "feelings": self._feelings.state(),
            "order_flow": self._tape.state(),
        }

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Replace everything learned by a stored state; a source it does not name starts anew,
        and so does one that cannot take what is stored.

        Raises:
            ValueError: the state is not one that ``state`` wrote.
        """
        self._learner.restore(state)
        # a state stored before books were remembered has none: one bar without order flow
        tape = state.get("order_flow", {})
        if not isinstance(tape, dict):
            raise ValueError(f"pipeline state must have a mapping order_flow, was {tape!r}")
        self._tape.restore(tape)
        self._feelings.restore(state.get("feelings"))
        self._believer.forget_standings()
