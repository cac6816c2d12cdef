"""Flatten: everything in a scope is closed, then the scope is halted (D-28, CTL-13)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from engine.announce import Finding
from engine.lots import Position, is_dust
from engine.ports import TradingState
from engine.request_scene import Scene, on_its_way, refused
from engine.types.orders import OrderIntent, Purpose
from engine.types.requests import Flatten, Settled, Verdict

FLATTEN_REASON = "FLATTEN"
# The alert where something could not be closed, and the reason code of its scope from then on.
LEFT_OPEN = "FLATTEN_LEFT_OPEN"
# How long an exit that took nothing is followed by none, by how many there were: a venue that
# refuses for a minute is outlasted, and not asked each second.
PAUSES_S = (2, 5, 15, 45)
# A position of which this many exits in a row took nothing is left to a person.
MAX_MISSES = len(PAUSES_S) + 1


def flatten(asked: Flatten, scene: Scene) -> Settled:
    """Order what is still held; done once nothing is and nothing can fill any more.

    The scope was set to REDUCING when the flatten was asked for; who settles a flatten that is
    done halts it. An exit that ends is followed by another at the next event, one that took nothing
    after a pause that grows; meanwhile the position's stop rests again. What cannot be closed (its
    symbol is halted for a reason of its own, the venue refuses) is named in the refusal and in an
    alert, and the scope stays REDUCING.

    It ends: nothing enters the scope, an exit that takes something takes a step of the lot size at
    least, and between two of those lie less than ``MAX_MISSES`` that took nothing.
    """
    if scene.gatekeeper.trading_state(*asked.judged_as) is TradingState.ACTIVE:
        return refused(asked.request_id, f"{asked.scope} was resumed before it was flat")
    pending = [i for i in scene.pending() if asked.covers(i.strategy, i.symbol)]
    _cancel_entries(pending, scene)
    intents: list[OrderIntent] = []
    stuck: list[str] = []
    dust: list[str] = []
    pauses: list[str] = []
    for held in scene.ledger.positions():
        if not asked.covers(held.strategy, held.symbol):
            continue
        price = scene.price(held.symbol)
        instrument = scene.instruments[held.symbol]
        if is_dust(held.quantity_base, price, instrument):
            dust.append(_named(held))
            continue
        free = instrument.quantity(abs(held.quantity_base) - on_its_way(held, pending))
        if is_dust(free, price, instrument) or free == 0:
            continue  # an exit of it is on its way
        why = _stuck(asked, scene, held)
        if why:
            stuck.append(f"{_named(held)}: {why}")
            continue
        pause_s = _pause_s(asked, held, scene.event.now_ms)
        if pause_s > 0:
            pauses.append(f"{_named(held)}: the next exit in {pause_s:.0f} s")
            continue
        intents.append(_order(asked, scene, held, free, price))
    if intents or _moves(pending):
        text = f"{len(intents) or len(pending)} order(s) on their way"
        text = "; ".join((text, *pauses))
        return Settled(asked.request_id, Verdict.WORKING, text, tuple(intents))
    if pauses:
        return Settled(asked.request_id, Verdict.WORKING, "; ".join(pauses))
    if stuck:
        text = f"left open: {'; '.join(stuck)}"
        found = f"flatten of {asked.scope} {text}"
        scene.outcome.alerts.append(Finding(LEFT_OPEN, found, subject=asked.request_id))
        return refused(asked.request_id, text)
    left = f"; too small to sell: {', '.join(dust)}" if dust else ""
    return Settled(asked.request_id, Verdict.DONE, f"{asked.scope} is flat{left}")


def _cancel_entries(pending: Sequence[OrderIntent], scene: Scene) -> None:
    """A resting entry is taken back; a market order is over before it could be."""
    resting = (i for i in pending if i.purpose is Purpose.ENTRY)
    scene.outcome.cancels.extend(
        (i, "a flatten takes entries back") for i in resting if not i.order_type.takes_at_once
    )


def _stuck(asked: Flatten, scene: Scene, held: Position) -> str:
    halted = scene.halted(held.strategy, held.symbol)
    if halted:
        return halted
    misses = asked.misses.get((held.strategy, held.symbol), 0)
    if misses < MAX_MISSES:
        return ""
    waited = ", ".join(f"{pause}" for pause in PAUSES_S)
    return f"{misses} exits in a row took nothing, at least {waited} s apart"


def _pause_s(asked: Flatten, held: Position, now_ms: int) -> float:
    """Return for how long the venue is left alone after an exit that took nothing, 0 where it is
    time for the next."""
    key = (held.strategy, held.symbol)
    misses, missed_ms = asked.misses.get(key, 0), asked.missed_ms.get(key)
    if misses == 0 or missed_ms is None:
        return 0.0
    return max(0.0, PAUSES_S[min(misses, len(PAUSES_S)) - 1] - (now_ms - missed_ms) / 1_000)


def _order(
    asked: Flatten, scene: Scene, held: Position, quantity: Decimal, price: Decimal
) -> OrderIntent:
    leg = asked.legs.get((held.strategy, held.symbol), 0)
    return scene.exit(asked.request_id, asked.actor, held, quantity, price, FLATTEN_REASON, leg)


def _moves(pending: list[OrderIntent]) -> bool:
    """True while an entry or an exit in the scope may still fill: what rests as protection goes
    with its position."""
    return any(not intent.is_resting_protection for intent in pending)


def _named(held: Position) -> str:
    return f"{abs(held.quantity_base)} {held.symbol} of {held.strategy}"
