"""Phase 7 for a walk: the session's own gates, sizes and limits, asked at possible entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from engine.column_path.grid import NotCovered
from engine.column_path.history import History
from engine.column_path.scores import CLOSE_CALL
from engine.failsafe import Failure
from engine.features import FEATURE_NAMES, FEATURES_VERSION
from engine.phases.config import PipelineConfig
from engine.phases.context import DecisionContext
from engine.phases.cross_validation import cross_validate
from engine.phases.ensemble import combine
from engine.phases.entry_gates import Question
from engine.phases.microstructure import NO_BOOK
from engine.phases.proposals import propose
from engine.phases.risk_and_sizing import Answer, assess_risk_and_size
from engine.phases.rule_board import RuleBoard
from engine.phases.source_selection import EARNS_ITS_VOICE, LEFT_OUT
from engine.policy import BasePolicy
from engine.ports import StrategyStatus
from engine.quality import bar_at
from engine.risk import RiskLimits, RiskView
from engine.simulated_operator import SimulatedOperator
from engine.strategy_stops import REPEATED
from engine.types.bars import ColumnStore, EventKind, Instrument, MarketEvent, Snapshot
from engine.types.decisions import Analysis
from engine.types.ledger import ZERO
from engine.types.opinions import Consensus, FeatureView, Opinion, Validation

# No insight that bars alone give lowers the trust in a rule further than this.
LEAST_TRUST = 0.5


@dataclass(frozen=True, slots=True)
class Books:
    """The account at one ask; it is flat. ``entries`` counts those of the last hour and day, and
    the strategy's of the last 15 minutes and day since it was let trade again; ``selected`` and
    ``voice`` are the scoreboard's word on the rule."""

    equity_quote: Decimal
    peak_equity_quote: Decimal
    day_pnl_quote: Decimal
    week_pnl_quote: Decimal
    streak: int
    entries: tuple[int, int, int, int]
    selected: bool
    voice: float


class Desk:
    """Asks phase 7 about one rule's entries."""

    def __init__(
        self,
        *,
        strategy: str,
        instrument: Instrument,
        history: History,
        board: RuleBoard,
        config: PipelineConfig,
        limits: RiskLimits,
    ) -> None:
        """Raises:
        NotCovered: settings under which trust in a rule could change a verdict.
        """
        if config.ensemble_trades or config.minimum_performance * LEAST_TRUST < config.weak_at:
            raise NotCovered("phases 4 to 6 decide more than one rule's own entries")
        self._strategy, self._instrument = strategy, instrument
        self._history, self._board = history, board
        self._store = ColumnStore(history.bars)
        self._config, self._limits = config, limits
        self._policy = BasePolicy()
        self._gate = SimulatedOperator({strategy: StrategyStatus.ACTIVE}, 1)
        self.asked = 0

    @property
    def minimum_performance(self) -> float:
        return self._config.minimum_performance

    def ask(self, row: int, books: Books) -> tuple[Answer, bool]:
        """Return phase 7's answer on the bar of ``row``, and whether it switches the strategy off.

        Raises:
            NotCovered: a figure lies so near its limit that its last digit decides.
        """
        self.asked += 1
        bars = self._store.bars
        at_ms = int(bars.ts_ms[row]) + bars.timeframe_ms
        event = MarketEvent(EventKind.BAR, self._instrument.symbol, at_ms, at_ms, bar_at(bars, row))
        snapshot = Snapshot(self._instrument, event, self._store, row)
        answer = self._answer(snapshot, books, is_warm=True)
        code = "" if answer.sizing.denied is None else answer.sizing.denied.code
        if (not code or code in REPEATED) and not self._history.is_warm(row):
            # asked last, for it costs most; before it nothing that was denied leaves a trace
            answer, code = self._answer(snapshot, books, is_warm=False), ""
        return answer, code in REPEATED

    def _answer(self, snapshot: Snapshot, books: Books, *, is_warm: bool) -> Answer:
        analysis = self._analysis(snapshot, books, is_warm)
        (proposal,) = propose(snapshot, analysis, self._board, {}, self._config)
        question = Question(
            proposal,
            snapshot,
            analysis,
            self._context(books),
            self._config,
            _raised,
        )
        return assess_risk_and_size(question, self._policy)

    def _analysis(self, snapshot: Snapshot, books: Books, is_warm: bool) -> Analysis:
        validation, consensus = self._beliefs(snapshot.row, books)
        features = FeatureView(FEATURES_VERSION, FEATURE_NAMES, np.zeros(0), is_warm)
        event = snapshot.event
        return Analysis(
            event.symbol,
            event.ts_ms,
            snapshot.close,
            self._history.view(snapshot.row),
            features,
            NO_BOOK,
            (),
            (),
            validation,
            consensus,
            (),
        )

    def _beliefs(self, row: int, books: Books) -> tuple[Validation, Consensus | None]:
        """Run phases 5 and 6 for the one rule, at the least trust it could have."""
        config, names = self._config, (self._strategy,)
        up = float(self._board.probability_up[row, 0])
        opinions = [Opinion(self._strategy, up) if abs(up - 0.5) >= config.opinion_margin else None]
        probabilities = np.array([up])
        validated = cross_validate(
            opinions,
            probabilities,
            np.array([0 if books.selected else LEFT_OUT]),
            np.array([config.minimum_performance * LEAST_TRUST]),
            config,
        )
        consensus = combine(
            names,
            probabilities,
            validated.kept,
            np.array([EARNS_ITS_VOICE]),
            np.ones(1),
            np.zeros(1, dtype=np.int64),
            validated.validation.verdict,
            np.array([books.voice]),
        )
        if consensus is not None:
            room = consensus.probability_up - config.veto_probability
            if abs(room) <= CLOSE_CALL:
                raise NotCovered("the vote on an entry lay on its limit")
        return validated.validation, consensus

    def _context(self, books: Books) -> DecisionContext:
        last_hour, last_day, lately, of_day = books.entries
        nothing: Mapping[str, Decimal] = {}
        view = RiskView(
            equity_quote=books.equity_quote,
            cash_quote=books.equity_quote,
            peak_equity_quote=books.peak_equity_quote,
            day_pnl_quote=books.day_pnl_quote,
            gross_exposure_quote=ZERO,
            exposure_by_symbol=nothing,
            exposure_by_strategy=nothing,
            consecutive_losses=books.streak,
            orders_last_hour=last_hour,
            orders_last_day=last_day,
            entries_15m=lately,
            entries_day=of_day,
            week_pnl_quote=books.week_pnl_quote,
        )
        return DecisionContext(
            installation="",
            account="",
            run_code="",
            gatekeeper=self._gate,
            policy=self._policy,
            risk=view,
            limits=self._limits,
            positions={},
        )


def _raised(failure: Failure) -> None:
    """Nothing here may fail quietly: the session would answer with an incident."""
    raise NotCovered(f"a gate failed: {failure.text}")
