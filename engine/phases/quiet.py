"""The pipeline of replays: bars on which nothing can happen are answered from columns.

On most bars no rule proposes, nothing held is to be left, and the ensemble neither reaches its
threshold nor leaves. What phases 4 to 6 will say until something is learned is known beforehand
(``engine.phases.foresight``), so such a bar is recognised at once and answered with the HOLD that
the ten phases would have given; phases 4-6 and 9-10 run only where an opinion is due to be settled
or remembered. Every other bar runs through all ten. That both give the same decisions is tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.failsafe import Failure, attempt
from engine.market_columns import market_columns
from engine.phases import feature_engineering, final_decision, market_analysis
from engine.phases.asking import Inputs, Notebook, note_answers
from engine.phases.context import Holding, Positions
from engine.phases.ensemble import ENSEMBLE
from engine.phases.foresight import Outlook
from engine.phases.learner import LearningResult
from engine.phases.pipeline import Pipeline, QuietBar
from engine.phases.proposals import exit_from_columns
from engine.ports import SourceInput
from engine.seats import Seated
from engine.types.bars import BoolColumn, ColumnStore, IntColumn, Snapshot
from engine.types.decisions import (
    Action,
    Analysis,
    Decision,
    JsonValue,
    PhaseStatus,
    Reason,
)
from engine.types.ledger import ZERO
from engine.types.opinions import FeatureView, MarketView, Missing

_NOBODY = Reason("NO_PROPOSAL", "nobody proposed, no source's opinion could reach the threshold")
_REASONS = (_NOBODY,)
NOT_ASKED = Missing("no book on a bar that is not walked through")
_NOTHING_LEARNED = LearningResult((), (), ())
_NOBODY_ASKS: Inputs = {}


@dataclass(frozen=True, slots=True)
class _Calm:
    """Where nothing can happen over one store, whatever is held or said; shapes (n_bars,).

    ``silent``: no rule proposes; ``notices``: some observer may notice something; ``idle_until``:
    the first bar from this one on that is not silent, or on which something may be noticed or
    opinions are remembered.
    """

    store: ColumnStore
    silent: BoolColumn
    notices: BoolColumn
    idle_until: IntColumn


class ReplayPipeline(Pipeline):
    """The same ten phases with an early answer for quiet bars, see ``quiet``."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        # by symbol: the store asked about last, and where nothing of its rules can happen
        self._known: dict[str, _Calm] = {}
        # by symbol, what was foreseen since something was last learned; None where nothing can be
        self._outlooks: dict[str, tuple[ColumnStore, Outlook | None, int]] = {}
        self._idle_until_ms = 0

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
                lambda: self._settled(snapshot), where="quiet bar", always=True
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
            last = self._silent_until(snapshot, outlook, last)
        for position in held:
            last, until_ms = self._kept_until(snapshot, position, outlook, last, until_ms)
        timeframe_ms = store.bars.timeframe_ms
        settles_at_ms = self._learner.pending.settles_at_ms(symbol, timeframe_ms)
        if settles_at_ms is not None:
            until_ms = min(until_ms, settles_at_ms)
        if last <= row or snapshot.event.ts_ms >= until_ms:
            return 0
        return self._before(store, row, last, min(until_ms, self._idle_from(snapshot.event.ts_ms)))

    def _idle_from(self, at_ms: int) -> int:
        """Return until when phase 10 has nothing to say, asked on a quiet bar on which nothing is
        settled; ``at_ms`` or earlier where it has something to say now."""
        if at_ms >= self._idle_until_ms:
            self._idle_until_ms = self._learner.idle_until_ms(at_ms)
        return self._idle_until_ms

    @staticmethod
    def _before(store: ColumnStore, row: int, last: int, until_ms: int) -> int:
        """Return how many of rows ``row`` to ``last`` (excluded) close before a time."""
        opens_ms = store.bars.ts_ms[row:last]
        return int(opens_ms.searchsorted(until_ms - store.bars.timeframe_ms))

    @staticmethod
    def _silent_until(snapshot: Snapshot, outlook: Outlook, last: int) -> int:
        """Return the first row on which the ensemble may enter, ``last`` where it does not."""
        rows = range(snapshot.row, min(last, outlook.last))
        shortable = snapshot.instrument.shortable
        return next((row for row in rows if outlook.may_enter(row, shortable)), rows.stop)

    def _kept_until(
        self,
        snapshot: Snapshot,
        held: Holding,
        outlook: Outlook | None,
        last: int,
        until_ms: int,
    ) -> tuple[int, int]:
        """Return the row and the time before which a position is surely not left."""
        row, bars = snapshot.row, snapshot.store.bars
        is_long, stop, target = held.quantity_base > 0, held.stop_price, held.target_price
        lows, highs = bars.low[row:last].tolist(), bars.high[row:last].tolist()
        worst, best = (lows, highs) if is_long else (highs, lows)
        sign = 1.0 if is_long else -1.0
        if stop is not None:
            at = float(stop)
            last = row + _first((sign * (price - at) <= 0.0 for price in worst), last - row)
        if target is not None:
            at = float(target)
            last = row + _first((sign * (price - at) >= 0.0 for price in best), last - row)
        if held.strategy == ENSEMBLE and outlook is not None:
            limit, ahead = self._config.exit_probability, range(row, last)
            last = row + _first(
                (outlook.may_leave(at_row, is_long, limit) for at_row in ahead), last - row
            )
        elif held.strategy == ENSEMBLE:
            last = row
        columns = self.board(snapshot.store).columns.get(held.strategy)
        if columns is not None:
            asked = columns.exit_long if is_long else columns.exit_short
            last = row + _first(asked[row:last].tolist(), last - row)
        if held.opened_at_ms is not None:
            most_ms = self._config.max_holding_bars * bars.timeframe_ms
            until_ms = min(until_ms, held.opened_at_ms + most_ms)
        return last, until_ms

    def _calm(self, symbol: str, store: ColumnStore) -> _Calm:
        known = self._known.get(symbol)
        if known is None or known.store is not store:
            known = self._known[symbol] = self._calm_of(store)
        return known

    def _calm_of(self, store: ColumnStore) -> _Calm:
        silent, notices, bars = self._silence(store), self._learner.may_notice(store), store.bars
        number = (bars.ts_ms + bars.timeframe_ms) // bars.timeframe_ms
        busy = ~silent | notices | (number % self._config.learn_every_bars == 0)
        rows = np.where(busy, np.arange(len(bars)), len(bars))
        return _Calm(store, silent, notices, np.minimum.accumulate(rows[::-1])[::-1])

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
        bars, symbol = snapshot.store.bars, snapshot.event.symbol
        return self._believer.foresee(
            snapshot,
            last,
            market,
            lambda row: self._learner.insights(
                symbol, market, bars.ts_ms.item(row) + bars.timeframe_ms
            ),
        )

    def _same_regime_until(self, snapshot: Snapshot) -> int:
        """Return the row before which a learning step or another regime comes, at the latest."""
        store, row = snapshot.store, snapshot.row
        last = min(len(store.bars), row + self._config.learn_every_bars)
        columns = market_columns(store)
        changed = np.flatnonzero(
            (columns.dwell_bars[row + 1 : last] == 0) | ~columns.ready[row + 1 : last]
        )
        return row + 1 + int(changed[0]) if changed.size else last

    def _forget_outlooks(self) -> None:
        self._outlooks.clear()
        self._idle_until_ms = 0

    # -- what changes what will be said ----------------------------------------------------------

    def _settled(self, snapshot: Snapshot) -> LearningResult | None:
        """Run phases 4-6, 9 and 10 for what is settled or becomes pending on this bar; None where
        one of them failed, before anything has changed."""
        market = market_analysis.analyse_market(snapshot)
        if isinstance(market, Missing):
            raise ValueError(f"a silent bar has a market view, was {market.reason}")
        features: FeatureView | Missing = NOT_ASKED
        inputs = _NOBODY_ASKS
        if self._panel.everyone:
            features = feature_engineering.build_features(snapshot)
            inputs = {SourceInput.FEATURES: features, SourceInput.ORDER_FLOW: NOT_ASKED}
            self._learner.note_inputs(inputs)
            self._rows[SourceInput.FEATURES] = features.values
        analysis = self._analysis(snapshot, market, features, inputs)
        result = self.after(snapshot, analysis, ())
        if any(record.status is PhaseStatus.ERROR for record in result.records):
            return None
        return self.apply_learning(result)

    def _analysis(
        self,
        snapshot: Snapshot,
        market: MarketView,
        features: FeatureView | Missing,
        inputs: Inputs,
    ) -> Analysis:
        event, notebook = snapshot.event, Notebook()
        insights = self._learner.insights(event.symbol, market, event.ts_ms)
        beliefs = self._believer.believe(
            snapshot, market, inputs, insights, self._recorder.begin(dict), notebook
        )
        note_answers(self._fail_safe, notebook)
        return Analysis(
            event.symbol,
            event.ts_ms,
            snapshot.close,
            market,
            features,
            NOT_ASKED,
            (),
            beliefs.opinions,
            beliefs.validation,
            beliefs.consensus,
            (),
            (),
            beliefs.panel,
        )

    def apply_learning(self, result: LearningResult) -> LearningResult:
        if result.learned is not None or result.insights:
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


def _first(found: Iterable[bool], otherwise: int) -> int:
    """Return the place of the first True, ``otherwise`` where there is none."""
    return next((place for place, is_so in enumerate(found) if is_so), otherwise)
