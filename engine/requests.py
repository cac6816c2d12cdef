"""Carrying out what people ask of a book: once an event, before anything is decided.

Each request is judged by what the books hold at that moment, not when it was written. What it
causes (orders, moved exits, adjustments) and its verdict are written in the event's transaction;
orders leave after the commit like every other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine.announce import EventOutcome
from engine.client_ids import RunIdentity
from engine.flattening import flatten
from engine.ledger import LedgerError
from engine.lots import Position, is_dust
from engine.outside import adjust, book_external
from engine.ports import Gatekeeper, Instructions, Journal
from engine.request_scene import Scene, on_its_way, refused
from engine.trading_book import TradingBook
from engine.types.bars import Instrument, MarketEvent
from engine.types.ledger import ZERO
from engine.types.opinions import Side
from engine.types.orders import OrderIntent
from engine.types.requests import (
    Adjust,
    BookExternal,
    ClosePosition,
    Flatten,
    Instruction,
    MoveExits,
    Settled,
    Verdict,
)

CLOSE_REASON = "MANUAL_CLOSE"


@dataclass(frozen=True, slots=True)
class RequestDesk:
    """Takes what people asked for into one book; holds nothing between two events."""

    identity: RunIdentity
    instruments: Mapping[str, Instrument]
    instructions: Instructions
    gatekeeper: Gatekeeper
    journal: Journal

    def waiting(self) -> bool:
        return self.instructions.waiting()

    def carry_out(
        self,
        book: TradingBook,
        event: MarketEvent,
        outcome: EventOutcome,
        regimes: Mapping[str, str],
    ) -> None:
        """Answer every waiting request; orders are written ahead and left in the outcome."""
        for asked in self.instructions.due(event.now_ms):
            scene = Scene(
                identity=self.identity,
                instruments=self.instruments,
                book=book,
                gatekeeper=self.gatekeeper,
                journal=self.journal,
                event=event,
                outcome=outcome,
            )
            try:
                settled = _answer(asked, scene, regimes)
            except LedgerError as error:
                settled = refused(asked.request_id, f"it cannot be booked: {error}")
            for intent in settled.intents:
                self.journal.record_intent(intent)
                outcome.intents.append(intent)
            outcome.adjustments.extend(settled.adjustments)
            self.instructions.settle(settled)


def _answer(asked: Instruction, scene: Scene, regimes: Mapping[str, str]) -> Settled:
    match asked:
        case ClosePosition():
            return close(asked, scene)
        case MoveExits():
            return move_exits(asked, scene)
        case Flatten():
            return flatten(asked, scene)
        case Adjust():
            return adjust(asked, scene)
        case BookExternal():
            return book_external(asked, scene, regimes)


def close(asked: ClosePosition, scene: Scene) -> Settled:
    """Send a market order for what is asked, where it is held, free and sellable."""
    held = scene.ledger.position(asked.strategy, asked.symbol)
    instrument = scene.instruments.get(asked.symbol)
    if not held.is_open or instrument is None:
        text = f"{asked.strategy} holds no {asked.symbol}"
        return refused(asked.request_id, text)
    halted = scene.halted(asked.strategy, asked.symbol)
    if halted:
        return refused(asked.request_id, f"{halted}; only a flatten of the halted scope exits")
    price = scene.price(asked.symbol)
    wanted, text = _wanted(asked, held, scene.pending(), instrument, price)
    if text:
        return refused(asked.request_id, text)
    intent = scene.exit(asked.request_id, asked.actor, held, wanted, price, CLOSE_REASON)
    text = f"{intent.side} {wanted} {asked.symbol} at the market was ordered"
    return Settled(asked.request_id, Verdict.DONE, text, (intent,))


def _wanted(
    asked: ClosePosition,
    held: Position,
    pending: Sequence[OrderIntent],
    instrument: Instrument,
    price: Decimal,
) -> tuple[Decimal, str]:
    """Return the quantity to close on the lot grid, or why there is none."""
    whole = abs(held.quantity_base)
    free = whole - on_its_way(held, pending)
    if free <= 0:
        return ZERO, f"an exit of all {whole} {asked.symbol} is on its way"
    wanted = asked.quantity_base
    if wanted is None:
        wanted = free if asked.fraction in (None, 1) else whole * (asked.fraction or ZERO)
    if wanted > free:
        return ZERO, f"quantity was {wanted}, allowed: at most {free}, which is held and free"
    quantity = instrument.quantity(wanted)
    if quantity == 0 or is_dust(quantity, price, instrument):
        text = f"quantity was {wanted} {instrument.base} at about {price}, the venue takes at least"
        least = f"{instrument.min_quantity_base} and {instrument.min_notional_quote}"
        return ZERO, f"{text} {least} {instrument.quote}"
    rest = free - quantity
    if wanted < free and is_dust(rest, price, instrument):
        text = (
            f"{rest} {instrument.base} would be left, which no order could close; close all of it"
        )
        return ZERO, text
    return quantity, ""


def move_exits(asked: MoveExits, scene: Scene) -> Settled:
    """Set the stop and target of a position in the books; its protection follows the books."""
    held = scene.ledger.position(asked.strategy, asked.symbol)
    instrument = scene.instruments.get(asked.symbol)
    if not held.is_open or instrument is None:
        return refused(asked.request_id, f"{asked.strategy} holds no {asked.symbol}")
    price = scene.price(asked.symbol)
    reason = exits_refusal(
        side=Side.BUY if held.quantity_base > 0 else Side.SELL,
        stop_price=held.stop_price,
        changes=asked.changes,
        price=price,
        instrument=instrument,
        may_widen=asked.may_widen,
    )
    if reason:
        return refused(asked.request_id, reason)
    stop = asked.changes.get("stop_price", held.stop_price)
    target = asked.changes.get("target_price", held.target_price)
    changed = scene.ledger.set_exits(asked.strategy, asked.symbol, stop, target)
    scene.journal.record_lots((), changed)
    was = f"was {held.stop_price or 'none'} and {held.target_price or 'none'}"
    text = f"stop is {stop or 'none'} and target {target or 'none'}, {was}"
    return Settled(asked.request_id, Verdict.DONE, text)


def widens(side: Side, before: Decimal | None, after: Decimal | None) -> bool:
    """True where a stop gives a position of ``side`` more room to lose than it had."""
    if before is None:
        return False
    return after is None or side.sign * (after - before) < 0


def exits_refusal(
    *,
    side: Side,
    stop_price: Decimal | None,
    changes: Mapping[str, Decimal | None],
    price: Decimal,
    instrument: Instrument,
    may_widen: bool,
) -> str:
    """Return why a position's exits cannot be moved as asked, empty where they can.

    ``stop_price`` is the present stop and ``price`` the last one; a stop or target on the wrong
    side of it would act at once, which is a close and should be asked for as one.
    """
    for name, sign in (("stop_price", 1), ("target_price", -1)):
        value = changes.get(name)
        if value is None:
            continue
        if not value.is_finite() or value <= 0 or value % instrument.tick_size != 0:
            return f"{name} was {value}, allowed: above 0 in steps of {instrument.tick_size}"
        if sign * side.sign * (price - value) <= 0:
            way = "below" if sign * side.sign > 0 else "above"
            return f"{name} was {value}, allowed: {way} the price, which was {price}"
    asked = changes.get("stop_price", stop_price)
    if not may_widen and widens(side, stop_price, asked):
        return f"stop_price was {asked or 'none'}, which widens the stop of {stop_price}"
    return ""
