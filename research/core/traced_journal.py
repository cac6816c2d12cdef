"""Journals that remember a replay's course: equity, closed trades, where proposals ended."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal

from engine.risk import RiskLimits
from engine.stretch import Stretch
from engine.types.bars import MarketEvent
from engine.types.decisions import Action, Decision
from engine.types.ledger import ZERO, EquityPoint, Trade
from engine.types.orders import Fill, OrderIntent
from research.core.journal import MemoryJournal


class TracedJournal(MemoryJournal):
    """Grows by one small value a closed trade and two numbers a bar; see ``MemoryJournal``."""

    def __init__(
        self,
        symbols: Sequence[str],
        limits: RiskLimits,
        side_trade: Callable[[Trade], None] | None = None,
    ) -> None:
        super().__init__(symbols, limits, side_trade)
        self.closed: list[Trade] = []
        self.equity_ms = array("q")
        self.equity_quote = array("d")

    def record_trade(self, trade: Trade) -> None:
        super().record_trade(trade)
        self.closed.append(trade)

    def record_equity(self, point: EquityPoint, event: MarketEvent) -> None:
        super().record_equity(point, event)
        if self.equity_ms and self.equity_ms[-1] == point.ts_ms:
            self.equity_quote[-1] = float(point.equity_quote)
            return
        self.equity_ms.append(point.ts_ms)
        self.equity_quote.append(float(point.equity_quote))

    def record_stretch(self, stretch: Stretch) -> None:
        super().record_stretch(stretch)
        # each of its bars is later than the newest point
        self.equity_ms.extend(stretch.marks.at_ms)
        self.equity_quote.extend(stretch.marks.equity_quote)


class ReportJournal(TracedJournal):
    """What a report tells besides the figures: where proposals ended, and what fills cost.

    ``refused`` counts by (phase that stopped it, reason code) and ``quiet`` the bars on which
    nobody proposed; ``fees_quote`` and ``turnover_quote`` are of every fill, open positions too.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        limits: RiskLimits,
        side_trade: Callable[[Trade], None] | None = None,
    ) -> None:
        super().__init__(symbols, limits, side_trade)
        self.refused: Counter[tuple[int, str]] = Counter()
        self.quiet = 0
        self.fees_quote = ZERO
        self.turnover_quote = ZERO

    def record_decision(self, decision: Decision) -> None:
        super().record_decision(decision)
        if decision.proposal is None:
            self.quiet += 1
        elif decision.action is Action.HOLD:
            self.refused[decision.blocking_phase or 0, decision.reason_code] += 1

    def record_stretch(self, stretch: Stretch) -> None:
        super().record_stretch(stretch)
        self.quiet += len(stretch.marks.at_ms)

    def record_fill(self, fill: Fill, intent: OrderIntent) -> None:
        super().record_fill(fill, intent)
        self.turnover_quote += fill.price * fill.quantity_base
        self.fees_quote += _fee_in_quote(fill)


def _fee_in_quote(fill: Fill) -> Decimal:
    """Return a fee in quote currency; one taken in the base asset counts at the fill's price."""
    is_base = fill.fee_asset == fill.symbol.partition("/")[0]
    return fill.fee * fill.price if is_base else fill.fee
