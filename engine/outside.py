"""What happened on the account without us: deposits, withdrawals, trades made by hand (F-013)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from engine.ledger_state import base_of
from engine.lots import Position, fee_part
from engine.request_scene import Scene, refused
from engine.types.ledger import ZERO
from engine.types.opinions import Side
from engine.types.orders import Fill, OrderIntent
from engine.types.requests import Adjust, Adjustment, BookExternal, Settled, Verdict

EXTERNAL_REASON = "EXTERNAL"


def adjust(asked: Adjust, scene: Scene) -> Settled:
    """Book a deposit or withdrawal: equity moves, return, drawdown and the day's result do not.

    Coins that were on the account before the run never counted in equity: what is withdrawn beyond
    the coins that do count is theirs, and changes no book.
    """
    ledger = scene.ledger
    if not asked.amount.is_finite() or asked.amount == 0:
        return refused(asked.request_id, f"amount was {asked.amount}, allowed: any but 0")
    is_quote = asked.asset == ledger.quote
    counted = ledger.cash_quote if is_quote else ledger.holding(asked.asset).external_base
    free = counted if is_quote else max(counted, asked.own_base)
    if free + asked.amount < 0:
        text = f"amount was {asked.amount} {asked.asset}, of which {free} belong to no strategy"
        return refused(asked.request_id, text)
    amount = asked.amount if is_quote else max(asked.amount, -max(counted, ZERO))
    if not amount:
        text = f"{asked.amount:+f} {asked.asset} were there before the run and never counted"
        return Settled(asked.request_id, Verdict.DONE, text)
    if not is_quote and ledger.holding(asked.asset).price_quote is None:
        return refused(asked.request_id, f"{asked.asset} has no price here, it cannot be valued")
    made = _book(scene, asked.asset, amount)
    text = f"{asked.amount:+f} {asked.asset} booked, worth {made.value_quote:f} {ledger.quote}"
    if amount != asked.amount:
        text += f"; {asked.amount - amount:+f} were there before the run and never counted"
    return Settled(asked.request_id, Verdict.DONE, text, adjustments=(made,))


def book_external(asked: BookExternal, scene: Scene, regimes: Mapping[str, str]) -> Settled:
    """Take a trade made by hand into the books, as closing lots or as the owner's own coins."""
    return _as_lots(asked, scene, regimes) if asked.as_lots else _as_own(asked, scene)


def _as_lots(asked: BookExternal, scene: Scene, regimes: Mapping[str, str]) -> Settled:
    """Close lots at the trade's price, the oldest position first; the fee goes by quantity."""
    closed = [
        held
        for held in scene.ledger.positions()
        if held.symbol == asked.symbol
        and asked.strategy in ("", held.strategy)
        and held.quantity_base * asked.side.sign < 0
    ]
    closed.sort(key=lambda held: (held.opened_at_ms or 0, held.strategy))
    total = sum((abs(held.quantity_base) for held in closed), ZERO)
    if asked.quantity_base > total:
        whose = asked.strategy or "strategies"
        text = f"{asked.side} {asked.quantity_base} {asked.symbol} closes more than {whose} held"
        return refused(asked.request_id, f"{text}, which was {total}")
    left, fee_left = asked.quantity_base, asked.fee
    filled: list[OrderIntent] = []
    parts: list[str] = []
    for held in closed:
        piece = min(left, abs(held.quantity_base))
        if piece <= 0:
            break
        fee = fee_part(fee_left, piece, left)
        filled.append(_close(asked, scene, regimes, held, (piece, fee, len(filled))))
        parts.append(f"{piece} of {held.strategy}")
        left, fee_left = left - piece, fee_left - fee
    text = f"trade {asked.trade_id} closed {', '.join(parts)} at {asked.price}"
    return Settled(asked.request_id, Verdict.DONE, text, filled=tuple(filled))


def _close(
    asked: BookExternal,
    scene: Scene,
    regimes: Mapping[str, str],
    held: Position,
    part: tuple[Decimal, Decimal, int],
) -> OrderIntent:
    """Book one part as an order that is filled already: it is written down and never sent."""
    quantity, fee, number = part
    intent = scene.exit(
        asked.request_id, asked.actor, held, quantity, asked.price, EXTERNAL_REASON, number
    )
    fill = Fill(
        trade_id=f"{asked.trade_id}.{number}" if number else asked.trade_id,
        client_order_id=intent.client_order_id,
        symbol=asked.symbol,
        side=asked.side,
        price=asked.price,
        quantity_base=quantity,
        fee=fee,
        fee_asset=asked.fee_asset,
        ts_ms=asked.ts_ms,
    )
    scene.journal.record_intent(intent)
    scene.book.book([(fill, intent)], scene.event, scene.outcome, regimes)
    return intent


def _as_own(asked: BookExternal, scene: Scene) -> Settled:
    """Let coins and their money change hands outside every strategy.

    Coins that were on the account before the run never counted in equity: of a sale of them only
    the proceeds come in.
    """
    quote = scene.ledger.quote
    base = base_of(asked.symbol, quote)
    if asked.side is Side.SELL and asked.quantity_base > asked.own_base:
        text = f"SELL {asked.quantity_base} {base}, of which {asked.own_base} were the owner's own"
        return refused(asked.request_id, f"{text}; book it as closing what strategies held")
    amount = asked.quantity_base
    if asked.side is Side.SELL:
        amount = -min(amount, max(scene.ledger.holding(base).external_base, ZERO))
    changes = {
        base: amount,
        scene.ledger.quote: -asked.side.sign * asked.quantity_base * asked.price,
    }
    if asked.fee_asset in changes:
        changes[asked.fee_asset] -= asked.fee
    made = tuple(_book(scene, asset, value) for asset, value in changes.items() if value)
    text = f"trade {asked.trade_id} booked as {asked.side} of {asked.quantity_base} own {base}"
    return Settled(asked.request_id, Verdict.DONE, text, adjustments=made)


def _book(scene: Scene, asset: str, amount: Decimal) -> Adjustment:
    ledger = scene.ledger
    price = Decimal(1) if asset == ledger.quote else ledger.holding(asset).price_quote
    before = ledger.equity_quote
    ledger.adjust(asset, amount)
    value = ledger.equity_quote - before
    return Adjustment(asset, amount, price or ZERO, value, before, scene.event.ts_ms)
