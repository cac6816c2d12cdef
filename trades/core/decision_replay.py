"""Make a stored decision again and say what, if anything, came out differently (ORC-14, ORC-59).

What is recomputed, and from what:

phases 1, 2   from the stored candles of the same window
phase 3       taken from the record: it remembers the books of earlier bars, which are not kept
phases 4-6    from the stored standings and opinions; the opinions of rules are compared with the
              candles' own, those of learned sources are taken from the record, for what they had
              learned by then is not kept for every bar
proposal      from the candles and the stored positions
phases 7, 8   from the stored analysis, proposal, account, limits and answers of the layer, by the
              same pipeline that decides
phases 9, 10  not recomputed: they follow the decision

Differences carry the label of what explains them: ``price`` (the candles are not those of then),
``state`` (the stored record or inputs were changed, or are missing), ``config`` (the settings of
the run changed) and ``code`` (everything given is the same, the code is not).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from math import isclose
from typing import Any

import numpy as np

from engine.executors import SerialExecutor
from engine.failsafe import FailSafe, Failure, attempt
from engine.phases import inputs as stored_inputs
from engine.phases import tracing
from engine.phases.cross_validation import cross_validate
from engine.phases.ensemble import combine
from engine.phases.pipeline import Pipeline
from engine.phases.proposals import propose
from engine.phases.recorder import FullRecorder, digest
from engine.phases.rule_board import RuleBoard
from engine.phases.source_selection import LEFT_OUT, select_sources, standings_of
from engine.quality import bar_at
from engine.scoreboard import Scoreboard
from engine.types.bars import ColumnStore, EventKind, MarketEvent, Snapshot
from engine.types.decisions import PHASES, Analysis, Decision, PhaseRecord
from engine.types.opinions import Proposal
from trades.core.decision_documents import (
    Json,
    RecordedPolicy,
    analysis_of,
    proposal_of,
    record_of,
)
from trades.core.replay_integrity import record_differences, setting_differences, window_difference
from trades.core.replay_report import (
    CODE,
    CONFIG,
    FOLLOWS,
    PRICE,
    RECOMPUTED,
    RECORDED,
    STATE,
    DecisionReplay,
    Difference,
    PhaseComparison,
    StoredDecision,
)
from trades.core.replay_values import (
    brief,
    combined,
    json,
    judged,
    near,
    probability,
    standstill,
    unheard,
    verdict,
    verdict_then,
)

_CLOSE = 1e-9


def replay_decision(stored: StoredDecision) -> DecisionReplay:
    """Make the decision again; what is damaged or missing is a difference, never an exception."""
    replay = DecisionReplay(verdict_then(stored), stored.code_then, stored.code_now)
    _Comparison(stored, replay).run()
    replay.phases.sort(key=lambda phase: phase.number)
    return replay


class _Comparison:
    """One walk through a stored decision; notes into ``replay``."""

    def __init__(self, stored: StoredDecision, replay: DecisionReplay) -> None:
        self._stored = stored
        self._replay = replay
        self._given: dict[str, Any] = dict(stored.document.get("inputs") or {})
        self._records = {
            record["number"]: record
            for record in (*stored.analysis["records"], *stored.document["records"])
        }
        self._is_window_same = False
        self._is_tampered = False

    def run(self) -> None:
        if not self._given:
            self._differs(STATE, None, "inputs", "", "none are stored with this decision")
            return
        replay, stored = self._replay, self._stored
        replay.differences += setting_differences(self._given, stored)
        tampered = record_differences(self._records, self._given, stored.document)
        self._is_tampered = bool(tampered)
        replay.differences += tampered
        moved = window_difference(self._given, stored.bars)
        self._is_window_same = moved is None
        replay.differences += [] if moved is None else [moved]
        steps = (self._first_phases, self._beliefs, self._decide)
        for step in steps:
            failed = attempt(step, step.__name__)
            if isinstance(failed, Failure):
                label = STATE if self._is_tampered else self._label()
                self._differs(label, None, step.__name__.strip("_"), "worked", failed.text)
        for number in sorted(self._records):
            if number not in {phase.number for phase in self._replay.phases}:
                self._note(number, FOLLOWS if number > 8 else RECORDED, None, "", "")

    # -- phases ------------------------------------------------------------------------------------

    def _snapshot(self) -> Snapshot | None:
        stored = self._stored
        bars = stored.bars
        row = len(bars) - 1
        if row < 0 or int(bars.ts_ms[row]) + bars.timeframe_ms != stored.bar_close_ms:
            return None
        is_asked = "instrument" in self._given
        instrument = (
            stored_inputs.instrument_of(self._given, stored.symbol)
            if is_asked
            else stored.instrument
        )
        event = MarketEvent(
            EventKind.BAR,
            stored.symbol,
            stored.bar_close_ms,
            int(self._given.get("now_ms", stored.bar_close_ms)),
            bar_at(bars, row),
            stored_inputs.book_of(self._given),
            stored_inputs.flow_of(self._given),
        )
        return Snapshot(instrument, event, ColumnStore(bars), row)

    def _analysis(self) -> Analysis:
        stored = self._stored
        return analysis_of(
            stored.analysis,
            symbol=stored.symbol,
            bar_close_ms=stored.bar_close_ms,
            price=stored.price,
        )

    def _pipeline(self) -> Pipeline:
        stored = self._stored
        fail_safe = FailSafe(unheard, standstill)
        return Pipeline(
            config=stored.config,
            rules=stored.rules,
            learned=(),
            scoreboard=Scoreboard(),
            executor=SerialExecutor(fail_safe),
            recorder=FullRecorder(standstill),
            fail_safe=fail_safe,
            monotonic=standstill,
        )

    def _policy(self) -> RecordedPolicy:
        output = self._records.get(7, {}).get("output", {})
        said = self._stored.document.get("policy") or {}
        return RecordedPolicy(said, float(output.get("multiplier_raw", 1.0)))

    def _first_phases(self) -> None:
        snapshot = self._snapshot()
        if snapshot is None:
            return
        made = self._pipeline().analyse(snapshot)
        for record in made.records[:3]:
            then = self._records.get(record.number)
            if then is None:
                continue
            if record.number == 3:
                note = "order flow remembers the books of earlier bars, which are not kept"
                self._note(3, RECORDED, None, then["output_digest"], "", note)
                continue
            self._compare(record, then)

    def _beliefs(self) -> None:
        analysis = self._analysis()
        if not analysis.sources:
            return
        board = self._board()
        self._compare_rules(analysis, board)
        opinions = {opinion.source: opinion for opinion in analysis.opinions}
        sources = tuple(score.source for score in analysis.sources)
        standing = standings_of(
            sources,
            tuple(score.brier for score in analysis.sources),
            np.array([score.settled for score in analysis.sources], dtype=np.int64),
            np.array([score.skill for score in analysis.sources]),
            np.array([score.voice for score in analysis.sources]),
        )
        config = self._stored.config
        selection = select_sources(
            standing,
            np.array([score.regime_fit for score in analysis.sources]),
            np.array([score.latency_us for score in analysis.sources]),
            config,
        )
        chosen = [
            (float(selection.scores[i]), bool(selection.place[i] != LEFT_OUT))
            for i in range(len(sources))
        ]
        scored = [(score.score, score.selected) for score in analysis.sources]
        self._compare_values(4, scored, chosen)
        probabilities = np.array([probability(opinions.get(source)) for source in sources])
        given = [opinions.get(source) for source in sources]
        validated = cross_validate(
            given, probabilities, selection.place, standing.performance, config
        )
        then, now = analysis.validation, validated.validation
        self._compare_values(5, judged(then), judged(now))
        rules = {rule.code for rule in self._stored.rules}
        consensus = combine(
            sources,
            probabilities,
            validated.kept,
            np.array([int(source not in rules) for source in sources], dtype=np.int64),
            standing.skill,
            standing.settled,
            now.verdict,
            standing.voice,
        )
        self._compare_values(6, combined(analysis.consensus), combined(consensus))

    def _board(self) -> RuleBoard | None:
        snapshot = self._snapshot()
        return None if snapshot is None else self._pipeline().board(snapshot.store)

    def _compare_rules(self, analysis: Analysis, board: RuleBoard | None) -> None:
        if board is None:
            return
        said = {opinion.source: opinion.probability_up for opinion in analysis.opinions}
        margin = self._stored.config.opinion_margin
        for index, rule in enumerate(self._stored.rules):
            now = float(board.probability_up[-1, index])
            heard = now if abs(now - 0.5) >= margin else 0.5
            then = said.get(rule.code, 0.5)
            if not isclose(heard, then, rel_tol=0.0, abs_tol=_CLOSE):
                what = f"opinion of {rule.code}"
                self._differs(self._label(), 4, what, f"{then:.9f}", f"{heard:.9f}")

    def _decide(self) -> None:
        stored, snapshot = self._stored, self._snapshot()
        analysis, pipeline = self._analysis(), self._pipeline()
        asked = proposal_of(stored.document.get("proposal"))
        if snapshot is None:
            what = "bar of the decision"
            self._differs(PRICE, None, what, "stored", "its candle is not there any more")
            return
        positions = stored_inputs.positions_of(self._given, stored.symbol)
        made = propose(snapshot, analysis, pipeline.board(snapshot.store), positions, stored.config)
        if tracing.failed_phase(analysis) is None or asked is not None:
            self._compare_proposals(asked, made)
        if asked is None:
            decision = pipeline.hold(snapshot, analysis, positions)
        else:
            context = stored_inputs.context_of(self._given, stored.symbol, self._policy())
            decision = pipeline.decide(asked, snapshot, analysis, context)
        if stored.reason_code == "DEADLINE":
            note = "time ran out then; time is no input and cannot be repeated"
            self._note(8, RECORDED, None, "", "", note)
        for record in decision.records:
            then = self._records.get(record.number)
            if then is not None and (record.number, stored.reason_code) != (8, "DEADLINE"):
                self._compare(record, then)
        self._judge(decision)

    def _judge(self, decision: Decision) -> None:
        stored = self._stored
        if stored.reason_code == "DEADLINE":
            self._replay.verdict_now = self._replay.verdict_then
            return
        now = verdict(
            stored,
            decision.action.value,
            decision.quantity_base,
            decision.reason_code,
            decision.confidence,
        )
        self._replay.verdict_now = now
        then = self._replay.verdict_then
        for name in ("action", "quantity_base", "reason_code", "confidence"):
            before, after = getattr(then, name), getattr(now, name)
            if now.digest != then.digest and before != after:
                self._differs(self._label(), 8, name, str(before), str(after))

    def _compare_proposals(self, asked: Proposal | None, made: Sequence[Proposal]) -> None:
        if asked is None:
            for proposal in made:
                what = f"proposal of {proposal.strategy}"
                self._differs(self._label(), None, what, "none", proposal.reason)
            return
        found = next((p for p in made if p.strategy == asked.strategy), None)
        if found is None:
            what = f"proposal of {asked.strategy}"
            self._differs(self._label(), None, what, asked.reason, "none")
            return
        for part in fields(Proposal):
            then, now = getattr(asked, part.name), getattr(found, part.name)
            is_number = isinstance(then, float) and isinstance(now, float)
            if isclose(then, now, rel_tol=_CLOSE) if is_number else then == now:
                continue
            self._differs(self._label(), None, f"proposal's {part.name}", str(then), str(now))

    # -- notes -------------------------------------------------------------------------------------

    def _label(self) -> str:
        """What explains a difference in something that was recomputed."""
        if self._is_tampered:
            return STATE
        if not self._is_window_same:
            return PRICE
        return CONFIG if self._stored.config_then != self._stored.config_now else CODE

    def _compare(self, record: PhaseRecord, then: Json) -> None:
        before = record_of(then)
        is_same = (record.output_digest, record.status) == (before.output_digest, before.status)
        self._note(record.number, RECOMPUTED, is_same, before.output_digest, record.output_digest)
        if is_same:
            return
        for name in sorted({*before.output, *record.output}):
            old, new = before.output.get(name), record.output.get(name)
            if old != new and not (record.number == 2 and name == "values" and near(old, new)):
                what = name.replace("_", " ")
                self._differs(self._label(), record.number, what, brief(old), brief(new))
        if record.status is not before.status:
            self._differs(
                self._label(), record.number, "status", before.status.value, record.status.value
            )

    def _compare_values(self, number: int, then: object, now: object) -> None:
        before, after = digest(json(then)), digest(json(now))
        self._note(
            number,
            RECOMPUTED,
            before == after,
            before,
            after,
            "from the stored standings and opinions",
        )
        if before != after:
            label = STATE if self._is_tampered else CODE
            self._differs(label, number, PHASES[number - 1], brief(then), brief(now))

    def _note(
        self, number: int, source: str, same: bool | None, then: str, now: str, note: str = ""
    ) -> None:
        self._replay.phases.append(
            PhaseComparison(number, PHASES[number - 1], source, same, then, now, note)
        )

    def _differs(self, label: str, phase: int | None, what: str, then: str, now: str) -> None:
        self._replay.differences.append(Difference(label, phase, what, then, now))
