"""What carrying out a request sees: the book at one event, and how an order of it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine.announce import EventOutcome
from engine.client_ids import RunIdentity
from engine.ledger import Ledger
from engine.lots import Position
from engine.ports import Gatekeeper, Journal, TradingState
from engine.reducing import reducing_intent
from engine.trading_book import TradingBook
from engine.types.bars import Instrument, MarketEvent
from engine.types.ledger import ZERO
from engine.types.orders import Cause, OrderIntent, Purpose
from engine.types.requests import Settled, Verdict


@dataclass(frozen=True, slots=True)
class Scene:
    """One book at one event; orders of the requests before this one count as on their way."""

    identity: RunIdentity
    instruments: Mapping[str, Instrument]
    book: TradingBook
    gatekeeper: Gatekeeper
    journal: Journal
    event: MarketEvent
    outcome: EventOutcome

    @property
    def ledger(self) -> Ledger:
        return self.book.account.ledger

    def pending(self) -> list[OrderIntent]:
        return self.book.pending(self.outcome.intents)

    def price(self, symbol: str) -> Decimal:
        """Return the last price of what is held; the fill that opened it set one at least."""
        price = self.ledger.holding(self.instruments[symbol].base).price_quote
        if price is None:
            raise ValueError(f"{symbol} is held and has no price")
        return price

    def halted(self, strategy: str, symbol: str) -> str:
        """Return why nothing may be sent for this position, empty where exits may."""
        if self.gatekeeper.trading_state(symbol, strategy) is not TradingState.HALTED:
            return ""
        return f"{symbol} is halted: {self.gatekeeper.state_reason(symbol, strategy)}"

    def exit(
        self,
        request_id: str,
        actor: str,
        held: Position,
        quantity_base: Decimal,
        price: Decimal,
        reason_code: str,
        leg: int = 0,
    ) -> OrderIntent:
        """Return a market order that takes ``quantity_base`` off a position."""
        return reducing_intent(
            held,
            installation=self.identity.installation,
            account=self.identity.account,
            run_code=self.identity.run_code,
            cause=Cause.REQUEST,
            cause_id=request_id,
            quantity_base=quantity_base,
            reference_price=price,
            at_ms=self.event.ts_ms,
            reason_code=reason_code,
            leg=leg,
            regime=held.regime or "",
            actor=actor,
        )


def on_its_way(held: Position, pending: Sequence[OrderIntent]) -> Decimal:
    """Return how much of a position open exits will take; its resting protection gives way."""
    return sum(
        (
            intent.quantity_base
            for intent in pending
            if (intent.strategy, intent.symbol) == (held.strategy, held.symbol)
            and intent.purpose is Purpose.EXIT
            and intent.cause is not Cause.PROTECTION
        ),
        ZERO,
    )


def refused(request_id: str, text: str) -> Settled:
    return Settled(request_id, Verdict.REFUSED, text)
