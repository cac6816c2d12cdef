"""The journal of a replay that is to be compared: it also remembers signals, trades and equity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.risk import RiskLimits
from engine.types.decisions import Action, Decision
from engine.types.ledger import Trade
from engine.types.opinions import ProposalKind
from research.core.traced_journal import TracedJournal

SignalKey = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry that was ordered. ``signal`` is (strategy, symbol, bar close in ms)."""

    signal: SignalKey
    regime: str
    multiplier: float


class Compared(Protocol):
    """One side of a comparison: equity at each moment, and what was ordered, refused, closed.

    ``entries`` are by client order id, which both sides share; ``refused`` is the reason code of
    each entry signal that ended in HOLD.
    """

    @property
    def equity_ms(self) -> Sequence[int]: ...

    @property
    def equity_quote(self) -> Sequence[float]: ...

    @property
    def entries(self) -> Mapping[str, Entry]: ...

    @property
    def refused(self) -> Mapping[SignalKey, str]: ...

    @property
    def closed(self) -> Sequence[Trade]: ...


class ComparisonJournal(TracedJournal):
    """Grows by one small value a signal besides; see ``TracedJournal``.

    ``entries`` are by client order id, which two runs over the same bars share; ``refused`` holds
    the reason code of each entry signal that ended in HOLD.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        limits: RiskLimits,
        side_trade: Callable[[Trade], None] | None = None,
    ) -> None:
        super().__init__(symbols, limits, side_trade)
        self.entries: dict[str, Entry] = {}
        self.refused: dict[SignalKey, str] = {}

    def record_decision(self, decision: Decision) -> None:
        super().record_decision(decision)
        proposal = decision.proposal
        if proposal is None or proposal.kind is not ProposalKind.ENTRY:
            return
        signal = (decision.strategy, decision.symbol, decision.bar_close_ms)
        if decision.intent is not None:
            sizing = decision.sizing
            applied = 1.0 if sizing is None else sizing.multiplier_applied
            entry = Entry(signal, decision.intent.regime, applied)
            self.entries[decision.intent.client_order_id] = entry
        elif decision.action is Action.HOLD:
            self.refused[signal] = decision.reason_code
