"""The journal of a replay: counts, statistics and the digest, in memory that does not grow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType

from engine.digest import RunDigest, decision_line, fill_line
from engine.equity_performance import EquityStats
from engine.performance import TradeBook
from engine.risk import RiskLimits
from engine.stretch import Stretch
from engine.types.bars import MarketEvent
from engine.types.decisions import (
    Action,
    Analysis,
    Decision,
    EvolutionTrigger,
    JsonValue,
    PhaseRecord,
    Settlement,
)
from engine.types.learned import TradeCredit, Trial
from engine.types.ledger import EquityPoint, Lot, Trade
from engine.types.orders import Fill, OrderIntent, Purpose


@dataclass(slots=True)
class Counts:
    """How often each thing happened. ``filtered`` are proposals that ended in HOLD."""

    bars: int = 0
    rejected_events: int = 0
    decisions: int = 0
    proposals: int = 0
    filtered: int = 0
    orders: int = 0
    fills: int = 0
    trades: int = 0
    cap_breaches: int = 0


class MemoryJournal(AbstractContextManager[None]):
    """Implements ``engine.ports.Journal`` for replays.

    ``cap_breaches`` re-checks every entry against the caps on its own, from the numbers that
    reached the journal: it must stay 0 whatever sizing did.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        limits: RiskLimits,
        side_trade: Callable[[Trade], None] | None = None,
    ) -> None:
        """``side_trade`` hears of the virtual trades of side books; they count for nothing else."""
        self._side_trade = side_trade
        self.counts = Counts()
        self.trades = TradeBook()
        self.equity = EquityStats()
        self.last_equity: EquityPoint | None = None
        self._limits = limits
        self._rank = {symbol: rank for rank, symbol in enumerate(symbols)}
        self._digest = RunDigest()
        self._waiting_fills: list[tuple[tuple[int, int, str, int], str]] = []
        self._event_decisions: list[Decision] = []

    # -- the transaction of an event is nothing here ------------------------------------------

    def event(self, event: MarketEvent) -> AbstractContextManager[None]:
        if self._waiting_fills:
            self._flush_fills(event.ts_ms)
        return self

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    # -- records ------------------------------------------------------------------------------

    def record_rejected_event(self, event: MarketEvent, reason: str) -> None:
        self.counts.rejected_events += 1

    def record_bar(self, event: MarketEvent) -> None:
        self.counts.bars += 1

    def record_fill(self, fill: Fill, intent: OrderIntent) -> None:
        self.counts.fills += 1
        line = fill_line(
            symbol=fill.symbol,
            ts_ms=fill.ts_ms,
            strategy=intent.strategy,
            side=fill.side.value,
            price=fill.price,
            quantity_base=fill.quantity_base,
            fee=fill.fee,
            fee_asset=fill.fee_asset,
        )
        key = (fill.ts_ms, self._rank[fill.symbol], intent.strategy, self.counts.fills)
        self._waiting_fills.append((key, line))

    def record_lots(self, opened: Sequence[Lot], changed: Sequence[Lot]) -> None:
        return None

    def record_trade(self, trade: Trade) -> None:
        self.counts.trades += 1
        self.trades.add(trade)

    def record_analysis(self, analysis: Analysis, learning: Sequence[PhaseRecord]) -> None:
        return None

    def record_decision(self, decision: Decision) -> None:
        self._event_decisions.append(decision)

    def record_intent(self, intent: OrderIntent) -> None:
        return None

    def record_learning(
        self,
        settled: Sequence[Settlement],
        triggers: Sequence[EvolutionTrigger],
        trials: Sequence[Trial],
    ) -> None:
        return None

    def record_credit(self, credit: TradeCredit) -> None:
        return None

    def record_equity(self, point: EquityPoint, event: MarketEvent) -> None:
        equity = float(point.equity_quote)
        self.equity.add(point.ts_ms, equity, float(point.exposure_quote))
        self.last_equity = point
        decisions = self._event_decisions
        if len(decisions) > 1:
            decisions.sort(key=_by_strategy)
        for decision in decisions:
            self._count(decision, point)
        decisions.clear()

    def record_stretch(self, stretch: Stretch) -> None:
        """Record quiet bars as one after the other would be."""
        marks, decision = stretch.marks, stretch.decision
        if self._waiting_fills:
            self._flush_fills(marks.at_ms[-1])
        self.counts.bars += len(marks.at_ms)
        self.counts.decisions += len(marks.at_ms)
        add = self.equity.add
        for at_ms, equity, exposure in zip(
            marks.at_ms, marks.equity_quote, marks.exposure_quote, strict=True
        ):
            add(at_ms, equity, exposure)
        self.last_equity = marks.last
        self._digest.add_decisions(_line(decision), decision.bar_close_ms, marks.at_ms)

    def record_side_trade(self, book: str, trade: Trade) -> None:
        if self._side_trade is not None:
            self._side_trade(trade)

    def record_side_equity(self, book: str, point: EquityPoint) -> None:
        return None

    def record_state(
        self, state: Callable[[], Mapping[str, JsonValue]], event: MarketEvent
    ) -> None:
        return None

    def hexdigest(self) -> str:
        """Return the digest of everything recorded; call once, at the end."""
        self._flush_fills(None)
        return self._digest.hexdigest()

    # -- helpers ------------------------------------------------------------------------------

    def _count(self, decision: Decision, point: EquityPoint) -> None:
        counts = self.counts
        counts.decisions += 1
        if decision.proposal is not None:
            counts.proposals += 1
            counts.filtered += decision.action is Action.HOLD
        intent = decision.intent
        if intent is not None:
            counts.orders += 1
            if intent.purpose is Purpose.ENTRY and self._breaks_a_cap(intent, point):
                counts.cap_breaches += 1
        self._digest.add_decision(_line(decision))

    def _breaks_a_cap(self, intent: OrderIntent, point: EquityPoint) -> bool:
        limits, equity = self._limits, point.equity_quote
        notional = intent.quantity_base * intent.reference_price
        stop = intent.stop_price
        at_risk = (
            notional if stop is None else intent.quantity_base * abs(intent.reference_price - stop)
        )
        return (
            notional > limits.max_position_size * equity
            or at_risk > limits.max_risk_per_trade * equity
            or point.exposure_quote + notional > limits.max_gross_exposure * equity
        )

    def _flush_fills(self, before_ms: int | None) -> None:
        """Feed fills in order of their own time; they may be delivered out of order."""
        ready = [w for w in self._waiting_fills if before_ms is None or w[0][0] < before_ms]
        if not ready:
            return
        self._waiting_fills = [w for w in self._waiting_fills if w not in ready]
        for _, line in sorted(ready):
            self._digest.add_fill(line)


def _by_strategy(decision: Decision) -> str:
    return decision.strategy


def _line(decision: Decision) -> str:
    return decision_line(
        symbol=decision.symbol,
        bar_close_ms=decision.bar_close_ms,
        strategy=decision.strategy,
        action=decision.action,
        quantity_base=decision.quantity_base,
        reason_code=decision.reason_code,
        confidence=decision.confidence,
    )
