"""Phases 9 and 10 and everything they remember: proposed by ``after``, made true by ``apply``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from engine.credits import CreditBoard, EntryOpinions
from engine.failsafe import FailSafe, Failure, attempt
from engine.insights import InsightBoard
from engine.phases import evolution, learning, tracing
from engine.phases.config import PipelineConfig
from engine.phases.recorder import Chain
from engine.phases.source_selection import regime_key
from engine.ports import InsightSource, SourceInput
from engine.scoreboard import Scoreboard
from engine.seats import Seated, SourcePanel, is_shadow_name
from engine.types.bars import BoolColumn, ColumnStore, Snapshot
from engine.types.decisions import (
    PHASES,
    Analysis,
    Decision,
    EvolutionTrigger,
    JsonValue,
    PhaseRecord,
    PhaseStatus,
    Settlement,
)
from engine.types.learned import Insight, TradeCredit, Trial
from engine.types.ledger import Trade
from engine.types.opinions import FeatureView, MarketView, Missing, OrderFlowView

STARTS_ANEW = "learned state"
_NO_MARKET = Missing("the regime has not changed")
_FOR_EVER_MS = 2**62


@dataclass(frozen=True, slots=True)
class LearningResult:
    """Phases 9 and 10 of one bar, as proposals: nothing has changed until they are applied."""

    settlements: tuple[Settlement, ...]
    triggers: tuple[EvolutionTrigger, ...]
    records: tuple[PhaseRecord, ...]
    learned: learning.Learned | None = None
    evolution: evolution.EvolutionStep | None = None
    insights: tuple[Insight, ...] = ()
    entries: tuple[Decision, ...] = ()
    analysis: Analysis | None = None
    bar_ms: int = 0

    @property
    def trials(self) -> tuple[Trial, ...]:
        """What learned sources answered on bars whose outcome is now known."""
        return () if self.learned is None else self.learned.trials


class Learner:
    """What a session has learned: scores, pending opinions, watches, insights, credits.

    Nothing here raises into a decision; what fails is an incident and an error record (ORC-17).
    """

    def __init__(
        self,
        config: PipelineConfig,
        panel: SourcePanel,
        scoreboard: Scoreboard,
        observers: Sequence[InsightSource],
        fail_safe: FailSafe,
    ) -> None:
        self._config = config
        self._panel = panel
        self._scoreboard = scoreboard
        self._observers = tuple(observers)
        # of a column kept in stores; this object's own, for another one asks other observers
        self._notice_key = object()
        self._fail_safe = fail_safe
        self.pending = learning.PendingOpinions(config, inputs=lambda: panel.inputs)
        self._watch = evolution.EvolutionWatch([s.source.code for s in panel.voters], config)
        self._insights = InsightBoard()
        self._entries = EntryOpinions()
        self.credits = CreditBoard()
        # which version and length each input had when it was last read
        self._marks: dict[SourceInput, tuple[str, int]] = {}

    # -- before an event's phases ---------------------------------------------------------------

    def insights(
        self, symbol: str, market: MarketView | Missing, now_ms: int
    ) -> tuple[Insight, ...]:
        """Return what holds now for one symbol."""
        return self._insights.current(symbol, regime_key(market), now_ms)

    def note_inputs(self, inputs: Mapping[SourceInput, FeatureView | Missing]) -> None:
        """Let sources start anew whose input is no longer what they learned from; said once."""
        for reads, view in inputs.items():
            if not isinstance(view, FeatureView) or not view.ready:
                continue
            mark, known = (view.version, len(view.values)), self._marks.get(reads)
            if mark == known:
                continue
            self._marks[reads] = mark
            if known is not None:
                self.pending.forget_rows(reads)
                names = self._panel.start_anew(reads)
                text = (
                    f"{', '.join(names) or 'nobody'} starts anew: {reads.value} are "
                    f"{mark[0]} of {mark[1]}, were {known[0]} of {known[1]}"
                )
                self._tell(ValueError(text))

    def _tell(self, error: Exception) -> None:
        self._fail_safe.failed(Failure(STARTS_ANEW, error))
        # said; nothing is degraded by it
        self._fail_safe.succeeded(STARTS_ANEW)

    # -- phases 9 and 10 ------------------------------------------------------------------------

    def after(
        self, snapshot: Snapshot, analysis: Analysis, decisions: Sequence[Decision], chain: Chain
    ) -> LearningResult:
        """Say what this bar settles, teaches and calls for; changes nothing (D-18)."""
        entries = tuple([d for d in decisions if d.intent is not None])
        learned = self._fail_safe.attempt(
            chain.timed(9, partial(self.pending.due, snapshot, analysis, bool(entries))),
            where=PHASES[8],
        )
        tracing.add_learning(chain, learned)
        step = self._fail_safe.attempt(
            chain.timed(
                10,
                partial(self._watch.due, snapshot.event.ts_ms, analysis.market, self._scoreboard),
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
            self.observed(snapshot, analysis.order_flow),
            entries,
            analysis,
            snapshot.store.bars.timeframe_ms,
        )

    @property
    def reads_book(self) -> bool:
        """True where some observer or source looks at the order book."""
        return SourceInput.ORDER_FLOW in self._panel.inputs or any(
            observer.reads_book for observer in self._observers
        )

    def idle_until_ms(self, at_ms: int) -> int:
        """Return until when phase 10 has nothing to say unless something is learned or the regime
        changes; ``at_ms`` where it has something to say now. Remembers that it was asked."""
        step = self._watch.due(at_ms, _NO_MARKET, self._scoreboard)
        if step is None:
            return _FOR_EVER_MS
        if step.triggers:
            return at_ms
        self._watch.apply(step)
        return self._watch.idle_until_ms(at_ms)

    def observed(
        self, snapshot: Snapshot, order_flow: OrderFlowView | Missing
    ) -> tuple[Insight, ...]:
        """Return what the observers noticed on this bar."""
        if isinstance(order_flow, Missing):
            store = snapshot.store
            if not store.get(self._notice_key, self.may_notice)[snapshot.row]:
                return ()
        found: list[Insight] = []
        for observer in self._observers:
            noticed = self._fail_safe.attempt(
                lambda o=observer: tuple(o.insights(snapshot, order_flow)),  # type: ignore[misc]
                where=f"insight {observer.code}",
            )
            if not isinstance(noticed, Failure):
                found.extend(noticed)
        return tuple(found)

    def may_notice(self, store: ColumnStore) -> BoolColumn:
        """Return the bars on which some observer may notice something without a book, (n_bars,);
        all of them where one cannot say."""
        notices = np.zeros(len(store.bars), dtype=np.bool_)
        for observer in self._observers:
            found = attempt(partial(observer.may_notice, store), observer.code)
            if found is not None:
                notices |= True if isinstance(found, Failure) else found
        return notices

    def apply(self, result: LearningResult) -> LearningResult:
        """Make it true; the result's records then say what could not be applied."""
        failures: list[tuple[int, Failure | None]] = []
        if result.learned is not None or result.entries:
            failures.append((9, self._safely(9, partial(self._learn, result))))
        if result.evolution is not None or result.settlements or result.insights:
            failures.append((10, self._safely(10, partial(self._evolve, result))))
        for number, failure in failures:
            if failure is not None:
                records = _with_error(result.records, number, failure)
                result = replace(result, records=records)
        return result

    def _safely(self, phase: int, call: Callable[[], Failure | None]) -> Failure | None:
        return self._fail_safe.attempt(call, where=PHASES[phase - 1], always=True)

    def _learn(self, result: LearningResult) -> Failure | None:
        failure = None if result.learned is None else self.settle(result.learned)
        if result.analysis is not None:
            for decision in result.entries:
                self._entries.remember(result.analysis, decision)
        return failure

    def settle(self, learned: learning.Learned) -> Failure | None:
        """Book outcomes, teach, and move the queue on; return the first failure, if any."""
        failures = self._fail_safe.each(
            self._scoreboard.record,
            [s for s in learned.settlements if not self._has_left(s.source)],
            where=lambda settlement: f"score of {settlement.source}",
        )
        for lesson in learned.lessons:
            self._teach(lesson)
        self.pending.apply(learned)
        return failures[0] if failures else None

    def _teach(self, lesson: learning.Lesson) -> None:
        for seated in self._panel.everyone:
            row = lesson.rows.get(seated.source.reads)
            if row is not None:
                self._fail_safe.fall_back(
                    partial(seated.source.learn, row, lesson.outcome_up),
                    None,
                    where=f"learning {seated.name}",
                )

    def _evolve(self, result: LearningResult) -> Failure | None:
        if result.evolution is not None:
            self._watch.apply(result.evolution)
        warnings = self._watch.observe(result.settlements, result.bar_ms)
        if result.analysis is not None:
            self.leave((*result.insights, *warnings), result.analysis.bar_close_ms)
        return None

    def leave(self, insights: Sequence[Insight], now_ms: int) -> None:
        """Keep insights for the bars to come."""
        if insights:
            self._insights.leave(insights, now_ms)

    def closed(self, trade: Trade) -> TradeCredit | None:
        """Book a closed trade to everybody who had an opinion when it was opened (ORC-15)."""

        def book() -> TradeCredit | None:
            credit = self._entries.credit(trade)
            if credit is not None:
                self.credits.record(credit)
            return credit

        credit = self._fail_safe.attempt(book, where="trade credit", always=True)
        return None if isinstance(credit, Failure) else credit

    # -- seats ----------------------------------------------------------------------------------

    def reseat(self, seated: Sequence[Seated], at_ms: int) -> None:
        """Take a new seating between events; scores and pending opinions follow their models.

        Raises:
            ValueError: the codes that vote are not those of this session.
        """
        before = {s.source.code: s.version for s in self._panel.voters}
        names = self._panel.reseat(seated)
        self._scoreboard.rename(names)
        self.pending.rename(names)
        self._forget_departed()
        for voter in self._panel.voters:
            code = voter.source.code
            if voter.version != before[code]:
                self._watch.start_anew(code, at_ms, self._scoreboard)

    # -- what survives a restart ----------------------------------------------------------------

    def state(self) -> dict[str, JsonValue]:
        """Return everything as JSON values; ``restore`` of it gives equal decisions."""
        return {
            "scoreboard": self._scoreboard.state(),
            "learned": self._panel.state(),
            "pending": self.pending.state(),
            "evolution": self._watch.state(),
            "insights": self._insights.state(),
            "entries": self._entries.state(),
            "credits": self.credits.state(),
            "inputs": {reads.value: list(mark) for reads, mark in self._marks.items()},
        }

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Replace everything by a stored state; a source it does not name starts anew.

        Raises:
            ValueError: the state is not one that ``state`` wrote.
        """
        self._scoreboard.restore(_part(state, "scoreboard"))
        self.pending.restore(_part(state, "pending"))
        self._watch.restore(_part(state, "evolution"))
        self._insights.restore(state.get("insights", []))
        self._entries.restore(_part({"entries": {}, **state}, "entries"))
        self.credits.restore(state.get("credits", []))
        self._marks = _marks(state.get("inputs", {}))
        learned = _part(state, "learned")
        # a promotion may have come after the state was stored
        names, strangers = self._panel.moved_since(learned)
        for name in strangers:
            self._scoreboard.forget(name)
        self._scoreboard.rename(names)
        self.pending.rename(names)
        kept = {name: part for name, part in learned.items() if name not in names.values()}
        moved = {names[name]: part for name, part in learned.items() if name in names}
        self._panel.restore({**kept, **moved}, lambda _, error: self._tell(error))
        self._forget_departed()

    def _has_left(self, name: str) -> bool:
        return is_shadow_name(name) and name not in {s.name for s in self._panel.shadows}

    def _forget_departed(self) -> None:
        """Drop the scores of models that left: each would stay in the stored state for ever."""
        for name in self._scoreboard.sources():
            if self._has_left(name):
                self._scoreboard.forget(name)


def _with_error(
    records: tuple[PhaseRecord, ...], number: int, failure: Failure
) -> tuple[PhaseRecord, ...]:
    reasons = (tracing.failure_reason(number, failure.text),)
    changed = tuple(
        replace(r, status=PhaseStatus.ERROR, reasons=reasons) if r.number == number else r
        for r in records
    )
    if any(r.number == number for r in changed):
        return changed
    name = PHASES[number - 1]
    return (*changed, PhaseRecord(number, name, PhaseStatus.ERROR, 0.0, "", "", {}, reasons))


def _marks(stored: JsonValue) -> dict[SourceInput, tuple[str, int]]:
    marks: dict[SourceInput, tuple[str, int]] = {}
    for reads in SourceInput:
        mark = stored.get(reads.value) if isinstance(stored, dict) else None
        if isinstance(mark, list) and len(mark) == 2:
            version, length = mark
            if isinstance(version, str) and type(length) is int:
                marks[reads] = (version, length)
    return marks


def _part(state: Mapping[str, JsonValue], name: str) -> Mapping[str, JsonValue]:
    part = state.get(name)
    if not isinstance(part, dict):
        raise ValueError(f"pipeline state must have a mapping {name}, was {part!r}")
    return part
