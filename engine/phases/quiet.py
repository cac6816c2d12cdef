"""The pipeline of replays: bars on which nothing can happen are answered from columns.

On most bars no rule proposes, nothing held is to be left, and the ensemble cannot reach its
threshold. Such a bar is recognised in constant time and answered with the HOLD that the ten phases
would have given; phases 4-6 and 9 run only where an opinion is due to be settled or remembered.
Every other bar runs through all ten. That both give the same decisions is tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.failsafe import Failure
from engine.market_columns import market_columns
from engine.phases import final_decision, market_analysis
from engine.phases.asking import Notebook
from engine.phases.context import Positions
from engine.phases.ensemble import ENSEMBLE
from engine.phases.learning import Learned
from engine.phases.pipeline import Pipeline
from engine.phases.proposals import exit_from_columns
from engine.types.bars import BoolColumn, ColumnStore, Snapshot
from engine.types.decisions import Action, Analysis, Decision, Reason
from engine.types.ledger import ZERO
from engine.types.opinions import Missing

_NOBODY = Reason("NO_PROPOSAL", "nobody proposed, no source's opinion could reach the threshold")
_REASONS = (_NOBODY,)
NOT_ASKED = Missing("no learned source asks for it")


class ReplayPipeline(Pipeline):
    """The same ten phases with an early answer for quiet bars; rules only, see ``quiet``."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        # by symbol: the store asked about last, and its answer
        self._known: dict[str, tuple[ColumnStore, BoolColumn]] = {}

    def quiet(self, snapshot: Snapshot, held: Sequence[Positions]) -> Decision | None:
        """Return the HOLD of a quiet bar, None where the phases must run.

        A learned source must be asked on every bar, for it learns from what it said; with one
        no bar is quiet.
        """
        store, row, event = snapshot.store, snapshot.row, snapshot.event
        # the next bar compares its book with this one's, whoever answers for this bar
        self._tape.observe(event, store.bars.timeframe_ms)
        if self._panel.everyone or (event.book is not None and self._learner.reads_book):
            return None
        known = self._known.get(event.symbol)
        if known is None or known[0] is not store:
            known = self._known[event.symbol] = (store, self._silence(store, snapshot))
        if not known[1][row]:
            return None
        for positions in held:
            for strategy, position in positions.items():
                if strategy == ENSEMBLE:
                    return None
                board = self.board(store)
                if exit_from_columns(snapshot, board, position, self._config) is not None:
                    return None
        if self._learner.pending.is_due(event, store.bars.timeframe_ms):
            learned = self._fail_safe.attempt(
                lambda: self._settled(snapshot), where="quiet bar", always=True
            )
            if isinstance(learned, Failure):
                # all ten phases run then, and say which of them failed
                return None
            if learned is not None:
                self._learner.settle(learned)
                self._believer.forget_standings()
        self._learner.leave(self._learner.observed(snapshot, NOT_ASKED), event.ts_ms)
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

    def _settled(self, snapshot: Snapshot) -> Learned | None:
        """Run phases 4-6 and 9 for what is settled or becomes pending on this bar."""
        market = market_analysis.analyse_market(snapshot)
        if isinstance(market, Missing):
            raise ValueError(f"a silent bar has a market view, was {market.reason}")
        chain = self._recorder.begin(dict)
        event = snapshot.event
        insights = self._learner.insights(event.symbol, market, event.ts_ms)
        beliefs = self._believer.believe(snapshot, market, {}, insights, chain, Notebook())
        analysis = Analysis(
            snapshot.event.symbol,
            snapshot.event.ts_ms,
            snapshot.close,
            market,
            NOT_ASKED,
            NOT_ASKED,
            (),
            beliefs.opinions,
            beliefs.validation,
            beliefs.consensus,
            (),
        )
        return self._learner.pending.due(snapshot, analysis, False)

    def _silence(self, store: ColumnStore, snapshot: Snapshot) -> BoolColumn:
        """Return True on bars on which no source can lead to an entry, shape (n_bars,).

        The consensus lies between the lowest and the highest opinion: their bounds suffice.
        """
        board, config = self.board(store), self._config
        silent = ~board.proposes & market_columns(store).ready
        if config.ensemble_trades:
            # strictly below, with room for the last digit of a logistic function
            reach = config.entry_probability - 1e-9
            silent &= board.probability_up.max(axis=1, initial=0.0) < reach
            if snapshot.instrument.shortable:
                silent &= board.probability_up.min(axis=1, initial=1.0) > 1.0 - reach
        return silent
