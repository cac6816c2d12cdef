"""Phases 7 and 8: may it be done, how large, and the final word; silence has its reason too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from engine.failsafe import FailSafe, Failure
from engine.phases import (
    entry_gates,
    final_decision,
    gate_table,
    inputs,
    near_misses,
    risk_and_sizing,
    tracing,
)
from engine.phases import given as given_inputs
from engine.phases.belief_records import fewer_models
from engine.phases.beliefs import Stage
from engine.phases.config import PipelineConfig
from engine.phases.context import DecisionContext, Positions
from engine.phases.recorder import Chain, Recorder
from engine.ports import RuleSource
from engine.types.bars import Snapshot
from engine.types.decisions import Analysis, Decision, JsonValue, Reason
from engine.types.opinions import Proposal, ProposalKind


class Judge:
    """Decides on proposals within one bar's deadline; a failure is a HOLD (ORC-17)."""

    def __init__(
        self,
        config: PipelineConfig,
        rules: Sequence[RuleSource],
        recorder: Recorder,
        fail_safe: FailSafe,
        monotonic: Callable[[], float],
    ) -> None:
        self._config = config
        self._rules = tuple(rules)
        self._recorder = recorder
        self._fail_safe = fail_safe
        self._monotonic = monotonic
        self._started_s = 0.0

    def start(self) -> None:
        """Start the clock of one bar."""
        self._started_s = self._monotonic()

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
            partial(inputs.of_proposal, snapshot, proposal, context),
        )
        stage = Stage(7)
        # never skipped in a cool-off: an exit must be tried every time
        decision = self._fail_safe.attempt(
            partial(self._decide, proposal, snapshot, analysis, context, chain, stage),
            where="phases 7-8",
            always=True,
        )
        if isinstance(decision, Failure):
            tracing.add_failure(chain, stage.number, 8, decision.text)
            reason = tracing.failure_reason(stage.number, decision.text)
            decision = self._blocked(proposal, snapshot, reason, stage.number)
        return final_decision.with_records(_tagged(decision, analysis), chain.records(), given)

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
            return self._blocked(proposal, snapshot, failed.reasons[0], failed.number)
        question = entry_gates.Question(
            proposal, snapshot, analysis, context, self._config, self._fail_safe.failed
        )
        answer = chain.timed(
            7, partial(risk_and_sizing.assess_risk_and_size, question, context.policy)
        )()
        gates = chain.detail(lambda: gate_table.recorded(question, answer, self._fail_safe))
        tracing.add_sizing(chain, answer, gates)
        stage.number = 8
        late = self._too_late() if is_entry else None
        if late is not None:
            decision = self._blocked(proposal, snapshot, late, 8)
        else:
            decision = chain.timed(
                8,
                partial(
                    final_decision.finalise,
                    proposal,
                    snapshot,
                    analysis,
                    answer,
                    context,
                    self._config,
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

    def _blocked(
        self, proposal: Proposal, snapshot: Snapshot, reason: Reason, phase: int
    ) -> Decision:
        return final_decision.hold(
            proposal.strategy,
            snapshot,
            reason,
            self._config,
            proposal=proposal,
            blocking_phase=phase,
        )

    def hold(
        self, snapshot: Snapshot, analysis: Analysis, positions: Positions, unproposed: str
    ) -> Decision:
        """Return the HOLD of a bar without a proposal, with the reason and who was close.

        ``unproposed`` says why proposals could not be made, empty where they could.
        """
        made = self._fail_safe.attempt(
            lambda: self._silent(snapshot, analysis, positions, unproposed),
            where="hold",
            always=True,
        )
        if not isinstance(made, Failure):
            return _tagged(made, analysis)
        chain = self._recorder.begin(dict)
        reason = tracing.failure_reason(8, made.text)
        tracing.add_skipped(chain, 7, 7, (reason,))
        tracing.add_failure(chain, 8, 8, made.text)
        decision = final_decision.hold(
            final_decision.PLATFORM, snapshot, reason, self._config, blocking_phase=8
        )
        return final_decision.with_records(decision, chain.records(), {})

    def _silent(
        self, snapshot: Snapshot, analysis: Analysis, positions: Positions, unproposed: str
    ) -> Decision:
        given: dict[str, JsonValue] = {}
        chain = given_inputs.begin(
            self._recorder,
            self._fail_safe,
            analysis,
            None,
            given,
            lambda: inputs.of_bar(snapshot, positions),
        )
        failed = tracing.failed_phase(analysis)
        if failed is not None:
            reason, phase = failed.reasons[0], failed.number
        elif unproposed:
            reason, phase = tracing.failure_reason(7, unproposed), 7
        else:
            reason, phase = tracing.silence(analysis), None
        decision = final_decision.hold(
            final_decision.PLATFORM, snapshot, reason, self._config, blocking_phase=phase
        )
        if phase == 7:
            tracing.add_failure(chain, 7, 7, unproposed)
        else:
            lacked = chain.detail(
                lambda: near_misses.near_misses(
                    self._rules, snapshot, analysis.validation, analysis.consensus, self._config
                )
            )
            tracing.add_silence(chain, reason, lacked)
        tracing.add_decision(chain, decision, analysis)
        return final_decision.with_records(decision, chain.records(), given)


def _tagged(decision: Decision, analysis: Analysis) -> Decision:
    """Return the decision with a word on the models that were not asked (ORC-74)."""
    if not analysis.panel.shed:
        return decision
    return replace(decision, reasons=(*decision.reasons, fewer_models(analysis.panel.shed)))
