"""The shadow book of a replay: what suspended strategies would have done (D-07).

While anybody is suspended a second session follows the same events with a paper broker and books
of its own: the same ten phases, with a gatekeeper that admits the suspended and nobody else. Its
trades are evidence of recovery and nothing more; no order of it reaches the replay's account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from engine.account import Account
from engine.announce import SilentAnnouncer
from engine.ledger import Ledger
from engine.limits import RiskLimits
from engine.matching import FeeIn
from engine.paper import PaperBroker
from engine.phases.pipeline import Pipeline
from engine.policy import BasePolicy
from engine.ports import OptimizationPolicy, StrategyStatus, TradingState
from engine.session import RunIdentity, TradingSession
from engine.types.bars import Instrument, MarketEvent
from engine.types.decisions import JsonValue
from engine.types.ledger import Trade
from engine.window import HistoryWindow
from research.core.journal import MemoryJournal


class ReplayedLayer(OptimizationPolicy, Protocol):
    """An optimization layer that updates itself on event time."""

    def suspended(self) -> frozenset[str]:
        """Return the codes of strategies that are suspended now."""

    def record_shadow(self, trade: Trade) -> None:
        """Hear of a virtual trade as it closes."""

    def summary(self) -> dict[str, JsonValue]:
        """Return what it did, for the replay's result."""


def opening_ledger(instruments: Mapping[str, Instrument], cash_quote: Decimal) -> Ledger:
    """Return books with nothing but cash in the instruments' quote currency."""
    quote = next(iter(instruments.values())).quote
    shortable = [i.symbol for i in instruments.values() if i.shortable]
    return Ledger(quote, {quote: cash_quote}, shortable=shortable)


class ShadowGate:
    """Implements ``engine.ports.Gatekeeper``: open to the suspended, closed to all others.

    No breaker stops a shadow: a losing streak is what it is there to show.
    """

    def __init__(self, suspended: Callable[[], frozenset[str]]) -> None:
        self._suspended = suspended

    def observe(self, now_ms: int) -> None:
        return None

    def trading_state(self, symbol: str, strategy: str) -> TradingState:
        return TradingState.ACTIVE

    def state_reason(self, symbol: str, strategy: str) -> str:
        return ""

    def control_epoch(self) -> int:
        return 0

    def strategy_status(self, strategy: str) -> StrategyStatus:
        admitted = strategy in self._suspended()
        return StrategyStatus.ACTIVE if admitted else StrategyStatus.SUSPENDED

    def escalate(
        self, state: TradingState, reason_code: str, text: str, at_ms: int, scope: str = "global"
    ) -> None:
        return None

    def resets(self) -> Mapping[str, int]:
        return {}


class ShadowBook:
    """A shadow session on demand; give it each event after the real session had it.

    Args:
        layer: says who is suspended and hears every virtual trade.
        pipeline: makes ten phases that know what the real ones know now.
        windows: those of the real session; the shadow goes on from where they are.
    """

    def __init__(
        self,
        *,
        layer: ReplayedLayer,
        pipeline: Callable[[], Pipeline],
        windows: Mapping[str, HistoryWindow],
        instruments: Mapping[str, Instrument],
        limits: RiskLimits,
        cash_quote: Decimal,
        slippage_bps: Decimal,
        timeframe_ms: int,
    ) -> None:
        self._layer = layer
        self._pipeline = pipeline
        self._windows = windows
        self._instruments = instruments
        self._limits = limits
        self._cash_quote = cash_quote
        self._slippage_bps = slippage_bps
        self._timeframe_ms = timeframe_ms
        self._session: TradingSession | None = None

    def on_event(self, event: MarketEvent) -> None:
        """Follow one event while somebody is suspended; begin with the one after that."""
        suspended = self._layer.suspended()
        if not suspended:
            self._session = None
            return
        if self._session is None:
            self._session = self._begun()
            return
        trades: Sequence[Trade] = self._session.on_event(event).trades
        for trade in trades:
            if trade.strategy in suspended:
                self._layer.record_shadow(trade)

    def _begun(self) -> TradingSession:
        instruments = self._instruments
        return TradingSession(
            identity=RunIdentity("000000", "shadow", "shadow", self._timeframe_ms),
            instruments=instruments,
            windows={symbol: window.twin() for symbol, window in self._windows.items()},
            pipeline=self._pipeline(),
            account=Account(opening_ledger(instruments, self._cash_quote)),
            limits=self._limits,
            broker=PaperBroker(instruments, FeeIn.QUOTE, self._slippage_bps),
            journal=MemoryJournal(list(instruments), self._limits),
            gatekeeper=ShadowGate(self._layer.suspended),
            policy=BasePolicy(),
            announcer=SilentAnnouncer(),
        )
