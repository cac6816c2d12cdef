"""The pipeline of replays: bars on which nothing can happen are answered from columns.

On most bars no rule proposes, nothing held is to be left, and the ensemble neither reaches its
threshold nor leaves. What phases 4 to 6 will say until something is learned is known beforehand
(``engine.phases.foresight``), so such a bar is recognised at once and answered with the HOLD that
the ten phases would have given; phases 9 and 10 run only where an opinion is due to be settled or
remembered. On every other bar phases 7 to 10 run, and 4 to 6 where they were not foreseen. That
both give the same decisions, and learn the same, is tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from engine.failsafe import Failure, attempt
from engine.market_columns import market_columns
from engine.phases import (
    feature_engineering,
    final_decision,
    learning,
    market_analysis,
    microstructure,
)
from engine.phases.asking import Notebook, note_answers
from engine.phases.calm import (
    Calm,
    bars_before,
    calm_of,
    kept_until,
    longest_ms,
    next_regime,
    silent_until,
)
from engine.phases.context import Holding, Positions
from engine.phases.ensemble import ENSEMBLE
from engine.phases.foresight import Outlook
from engine.phases.learner import LearningResult
from engine.phases.pipeline import Pipeline, QuietBar
from engine.phases.proposals import exit_from_columns
from engine.ports import SourceInput
from engine.seats import Seated
from engine.types.bars import BoolColumn, ColumnStore, Snapshot
from engine.types.decisions import (
    Action,
    Analysis,
    Decision,
    JsonValue,
    PhaseStatus,
    Reason,
)
from engine.types.ledger import ZERO
from engine.types.opinions import MarketView, Missing, OrderFlowView

_NOBODY = Reason("NO_PROPOSAL", "nobody proposed, no source's opinion could reach the threshold")
_REASONS = (_NOBODY,)
NOT_ASKED = Missing("no book on a bar that is not walked through")
_NOTHING_LEARNED = LearningResult((), (), ())


class ReplayPipeline(Pipeline):
    """The same ten phases with an early answer for quiet bars, see ``quiet``."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        # by symbol: the store asked about last, and where nothing of its rules can happen
        self._known: dict[str, Calm] = {}
        # by symbol, what was foreseen since something was last learned; None where nothing can be
        self._outlooks: dict[str, tuple[ColumnStore, Outlook | None, int]] = {}
        self._idle_until_ms = 0
        # the analysis of this bar where it was foreseen: who does not vote is not asked yet
        self._unheard: Analysis | None = None

    def quiet(self, snapshot: Snapshot, held: Sequence[Positions]) -> QuietBar | None:
        """Return the HOLD of a quiet bar, None where the phases must run."""
        store, row, event = snapshot.store, snapshot.row, snapshot.event
        # the next bar compares its book with this one's, whoever answers for this bar
        self._tape.observe(event, store.bars.timeframe_ms)
        if event.book is not None and self._learner.reads_book:
            return None
        calm = self._calm(event.symbol, store)
        if not calm.silent[row] or self._may_move(snapshot, held):
            return None
        learned = _NOTHING_LEARNED
        if self._learner.pending.is_due(event, store.bars.timeframe_ms):
            settled = self._fail_safe.attempt(
                partial(self._settled, snapshot), where="quiet bar", always=True
            )
            if settled is None or isinstance(settled, Failure):
                # all ten phases run then, and say which of them failed
                return None
            learned = settled
        else:
            if event.ts_ms >= self._idle_from(event.ts_ms):
                return None
            if calm.notices[row]:
                noticed = self._learner.observed(snapshot, NOT_ASKED)
                self._learner.leave(noticed, event.ts_ms)
                self._forget_outlooks()
        return QuietBar(self.hold_quiet(snapshot), learned)

    def hold_quiet(self, snapshot: Snapshot) -> Decision:
        """Return the HOLD of a quiet bar."""
        event = snapshot.event
        return Decision(
            final_decision.PLATFORM,
            event.symbol,
            event.ts_ms,
            Action.HOLD,
            0.0,
            ZERO,
            snapshot.close,
            None,
            None,
            _REASONS,
            _NOBODY.code,
            None,
            None,
            None,
            None,
            final_decision.valid_until_ms(snapshot, self._config),
            (),
            {},
        )

    # -- may anything happen? ------------------------------------------------------------------

    def calm_until(self, symbol: str, store: ColumnStore, row: int) -> int:
        """Return the first row from ``row`` on which something happens whatever is held and said:
        somebody proposes, the regime changes, something is noticed, opinions are remembered."""
        return self._calm(symbol, store).idle_until.item(row)

    def idle_rows(
        self, snapshot: Snapshot, last: int, held: Iterable[Holding], until_ms: int
    ) -> int:
        """Return how many bars from the snapshot's on are quiet, and change nothing of what is
        known here; those before row ``last`` that close before ``until_ms`` are looked at, and
        ``last`` is not after ``calm_until``.

        Asked one by one, ``quiet`` answers each of them with the same HOLD.
        """
        store, row, symbol = snapshot.store, snapshot.row, snapshot.event.symbol
        # while a place fails every call counts; after a book each bar without one does
        if self._fail_safe.degraded or self._tape.knows(symbol):
            return 0
        outlook = None
        if self._config.ensemble_trades:
            outlook = self._outlook(snapshot)
            if outlook is None:
                return 0
            last = silent_until(snapshot, outlook, last)
        for position in held:
            board = self.board(store)
            last = kept_until(snapshot, position, outlook, board, self._config, last)
            until_ms = min(until_ms, longest_ms(position, store, self._config))
        timeframe_ms = store.bars.timeframe_ms
        settles_at_ms = self._learner.pending.settles_at_ms(symbol, timeframe_ms)
        if settles_at_ms is not None:
            until_ms = min(until_ms, settles_at_ms)
        if last <= row or snapshot.event.ts_ms >= until_ms:
            return 0
        return bars_before(store, row, last, min(until_ms, self._idle_from(snapshot.event.ts_ms)))

    def _idle_from(self, at_ms: int) -> int:
        """Return until when phase 10 has nothing to say, asked on a quiet bar on which nothing is
        settled; ``at_ms`` or earlier where it has something to say now."""
        if at_ms >= self._idle_until_ms:
            self._idle_until_ms = self._learner.idle_until_ms(at_ms)
        return self._idle_until_ms

    def _calm(self, symbol: str, store: ColumnStore) -> Calm:
        known = self._known.get(symbol)
        if known is None or known.store is not store:
            silent, notices = self._silence(store), self._learner.may_notice(store)
            every = self._config.learn_every_bars
            known = self._known[symbol] = calm_of(store, silent, notices, every)
        return known

    def _silence(self, store: ColumnStore) -> BoolColumn:
        """Return True on bars on which no rule proposes, shape (n_bars,).

        A change of regime is walked through: fills are booked under it, and models trained anew.
        """
        columns = market_columns(store)
        silent: BoolColumn = ~self.board(store).proposes & columns.ready & (columns.dwell_bars != 0)
        return silent

    def _may_move(self, snapshot: Snapshot, held: Sequence[Positions]) -> bool:
        """True where the ensemble may enter, or something held may be left."""
        outlook = None
        if self._config.ensemble_trades:
            outlook = self._outlook(snapshot)
            is_shortable = snapshot.instrument.shortable
            if outlook is None or outlook.may_enter(snapshot.row, is_shortable):
                return True
        return any(
            self._may_leave(snapshot, position, outlook)
            for positions in held
            for position in positions.values()
        )

    def _may_leave(self, snapshot: Snapshot, position: Holding, outlook: Outlook | None) -> bool:
        if position.strategy == ENSEMBLE:
            is_long, limit = position.quantity_base > 0, self._config.exit_probability
            if outlook is None or outlook.may_leave(snapshot.row, is_long, limit):
                return True
        board = self.board(snapshot.store)
        return exit_from_columns(snapshot, board, position, self._config) is not None

    def _outlook(self, snapshot: Snapshot) -> Outlook | None:
        """Return what the ensemble will say of this bar and some after it, None where unknown."""
        symbol, store, row = snapshot.event.symbol, snapshot.store, snapshot.row
        known = self._outlooks.get(symbol)
        if known is not None and known[0] is store and row < known[2]:
            return known[1]
        last = self._same_regime_until(snapshot)
        found = attempt(lambda: self._foresee(snapshot, last), where="foresight")
        outlook = None if isinstance(found, Failure) else found
        self._outlooks[symbol] = (store, outlook, last)
        return outlook

    def _foresee(self, snapshot: Snapshot, last: int) -> Outlook | None:
        market = market_analysis.analyse_market(snapshot)
        if isinstance(market, Missing):
            return None
        features = feature_engineering.build_features(snapshot)
        self._learner.note_inputs({SourceInput.FEATURES: features})
        self._rows[SourceInput.FEATURES] = features.values
        event = snapshot.event
        insights = self._learner.insights(event.symbol, market, event.ts_ms)
        return self._believer.foresee(snapshot, last, market, insights)

    def _same_regime_until(self, snapshot: Snapshot) -> int:
        """Return the row before which a learning step or another regime comes, at the latest."""
        store, row = snapshot.store, snapshot.row
        # without an ensemble that trades only bars that are walked through or settled are asked of
        ahead = self._config.learn_every_bars if self._config.ensemble_trades else 1
        return min(row + ahead, store.get(("next regime",), next_regime).item(row))

    def _forget_outlooks(self) -> None:
        self._outlooks.clear()
        self._idle_until_ms = 0

    # -- a bar that is walked through, or settled ------------------------------------------------

    def analyse(self, snapshot: Snapshot) -> Analysis:
        """Return what phases 1 to 6 say, 4 to 6 from what was foreseen where they were.

        Equal to what all of them say, less what only their records tell: reasons of a selection,
        changes of condition. Who does not vote is asked in ``after``, where it is remembered.
        """
        found = None
        if snapshot.event.book is None:
            flow = self._tape.observe(snapshot.event, snapshot.store.bars.timeframe_ms)
            order_flow = microstructure.read_order_flow(snapshot, self._config, flow)
            found = attempt(partial(self._foreseen, snapshot, order_flow), "foresight")
        if found is None or isinstance(found, Failure):
            # all ten phases run then, and say which of them failed
            self._unheard = None
            return super().analyse(snapshot)
        self._judge.start()
        self._unheard = found
        return found

    def _foreseen(self, snapshot: Snapshot, order_flow: OrderFlowView | Missing) -> Analysis | None:
        """Return the analysis of a bar that was foreseen, None where it was not."""
        event, outlook = snapshot.event, self._outlook(snapshot)
        market = market_analysis.analyse_market(snapshot)
        if outlook is None or isinstance(market, Missing):
            return None
        beliefs = self._believer.foreseen(outlook, snapshot.row)
        return Analysis(
            event.symbol,
            event.ts_ms,
            snapshot.close,
            market,
            feature_engineering.build_features(snapshot),
            order_flow,
            (),
            beliefs.opinions,
            beliefs.validation,
            beliefs.consensus,
            (),
            (),
            beliefs.panel,
        )

    def after(
        self, snapshot: Snapshot, analysis: Analysis, decisions: Sequence[Decision]
    ) -> LearningResult:
        if analysis is self._unheard:
            self._unheard = None
            has_order = any(decision.intent is not None for decision in decisions)
            if not has_order and self._teaches_nothing(snapshot, analysis):
                noticed = self._learner.observed(snapshot, analysis.order_flow)
                return LearningResult((), (), (), insights=noticed, analysis=analysis)
            if self._panel.shadows and self._learner.pending.is_remembered(snapshot, has_order):
                analysis = self._with_shadows(analysis)
        return super().after(snapshot, analysis, decisions)

    def _teaches_nothing(self, snapshot: Snapshot, analysis: Analysis) -> bool:
        """True where phases 9 and 10 would change nothing on a bar without an order."""
        event, market = snapshot.event, analysis.market
        return (
            isinstance(market, MarketView)
            and market.dwell_bars != 0
            and isinstance(market.sentiment, Missing)
            and not self._learner.pending.is_due(event, snapshot.store.bars.timeframe_ms)
            and event.ts_ms < self._idle_from(event.ts_ms)
        )

    def _with_shadows(self, analysis: Analysis) -> Analysis:
        """Return the analysis with those asked who do not vote: their opinions are remembered."""
        notebook = Notebook()
        inputs = {reads: learning.input_view(analysis, reads) for reads in SourceInput}
        panel = self._believer.with_shadows(analysis.panel, inputs, notebook)
        note_answers(self._fail_safe, notebook)
        return replace(analysis, panel=panel)

    def _settled(self, snapshot: Snapshot) -> LearningResult | None:
        """Run phases 9 and 10 for what is settled or becomes pending on this bar; None where a
        phase failed, or could not be foreseen, before anything has changed."""
        analysis = self._unheard = self._foreseen(snapshot, NOT_ASKED)
        if analysis is None:
            return None
        result = self.after(snapshot, analysis, ())
        if any(record.status is PhaseStatus.ERROR for record in result.records):
            return None
        return self.apply_learning(result)

    # -- what changes what will be said ----------------------------------------------------------

    def apply_learning(self, result: LearningResult) -> LearningResult:
        learned = result.learned
        # what only waits to be settled changes nothing that anybody says
        if result.insights or (learned is not None and (learned.settlements or learned.lessons)):
            self._forget_outlooks()
        return super().apply_learning(result)

    def reseat(self, seated: Sequence[Seated], at_ms: int) -> None:
        super().reseat(seated, at_ms)
        self._forget_outlooks()

    def set_thrift(self, level: int) -> None:
        super().set_thrift(level)
        self._forget_outlooks()

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        super().restore(state)
        self._forget_outlooks()
