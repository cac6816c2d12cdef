"""First in, first out: the open lots of one strategy in one symbol."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal

from engine.types.bars import Instrument
from engine.types.ledger import ZERO, Lot, Trade
from engine.types.opinions import Side
from engine.types.orders import Fill, OrderIntent

# A split fee is rounded here and the rest stays with the remainder, so that parts always sum to
# the whole exactly.
_FEE_PART_STEP = Decimal("0.000000000001")


@dataclass(frozen=True, slots=True)
class Position:
    """What a strategy holds in a symbol, from its fills alone.

    ``quantity_base`` is signed (negative = short, 0 = flat); ``average_price`` is the quantity
    weighted entry price in quote, 0 when flat; stop, target, regime, time and order id are those
    of the oldest open lot.
    """

    strategy: str
    symbol: str
    quantity_base: Decimal = ZERO
    average_price: Decimal = ZERO
    stop_price: Decimal | None = None
    target_price: Decimal | None = None
    opened_at_ms: int | None = None
    regime: str | None = None
    entry_order_id: str | None = None
    entry_fee_quote: Decimal = ZERO

    @property
    def is_open(self) -> bool:
        return self.quantity_base != 0


@dataclass(frozen=True, slots=True)
class Exit:
    """How a quantity leaves a book; fields as on ``Trade``. ``fee_quote`` is for all of it."""

    trade_id: str
    price: Decimal
    fee_quote: Decimal
    ts_ms: int
    regime: str
    reason: str
    order_id: str


class LotBook:
    """Lots of one (strategy, symbol), all on one side, oldest first. Owned by one ledger."""

    __slots__ = ("_position", "cost_quote", "lots", "quantity", "strategy", "symbol")

    def __init__(self, strategy: str, symbol: str, lots: Iterable[Lot] = ()) -> None:
        self.strategy = strategy
        self.symbol = symbol
        self.lots: deque[Lot] = deque()
        self.quantity = ZERO  # signed, base units
        self.cost_quote = ZERO  # signed: sum of quantity * entry price
        self._position: Position | None = None
        for lot in lots:
            self.add(lot)

    def add(self, lot: Lot) -> None:
        """Append the newest lot."""
        signed = lot.side.sign * lot.quantity_base
        self.lots.append(lot)
        self.quantity += signed
        self.cost_quote += signed * lot.entry_price
        self._position = None

    def close(self, quantity_base: Decimal, leaving: Exit) -> tuple[list[Lot], list[Trade]]:
        """Close up to ``quantity_base`` (> 0) from the oldest lot on.

        Returns the changed lots (quantity 0 = closed) and one trade a touched lot. The exit fee
        is divided by quantity over the trades, to the last digit.
        """
        changed: list[Lot] = []
        trades: list[Trade] = []
        left, fee_left = quantity_base, leaving.fee_quote
        while left > 0 and self.lots:
            lot = self.lots[0]
            piece = min(left, lot.quantity_base)
            exit_fee = fee_part(fee_left, piece, left)
            entry_fee = fee_part(lot.entry_fee_quote, piece, lot.quantity_base)
            trade_id = f"{leaving.trade_id}:{len(trades)}"
            trades.append(_trade(lot, piece, entry_fee + exit_fee, leaving, trade_id))
            rest = _reduced(lot, piece, entry_fee)
            changed.append(rest)
            if rest.quantity_base > 0:
                self.lots[0] = rest
            else:
                self.lots.popleft()
            signed = lot.side.sign * piece
            self.quantity -= signed
            self.cost_quote -= signed * lot.entry_price
            left -= piece
            fee_left -= exit_fee
        self._position = None
        return changed, trades

    def set_exits(self, stop_price: Decimal | None, target_price: Decimal | None) -> list[Lot]:
        """Move stop and target of every open lot; the initial risk, and so R, stays."""
        lots = [replace(t, stop_price=stop_price, target_price=target_price) for t in self.lots]
        self.lots = deque(lots)
        self._position = None
        return lots

    def position(self) -> Position:
        """The position, built once after each change."""
        if self._position is None:
            self._position = self._build_position()
        return self._position

    def _build_position(self) -> Position:
        if not self.lots:
            return Position(self.strategy, self.symbol)
        oldest = self.lots[0]
        return Position(
            strategy=self.strategy,
            symbol=self.symbol,
            quantity_base=self.quantity,
            average_price=self.cost_quote / self.quantity,
            stop_price=oldest.stop_price,
            target_price=oldest.target_price,
            opened_at_ms=oldest.opened_at_ms,
            regime=oldest.regime,
            entry_order_id=oldest.entry_order_id,
            entry_fee_quote=sum((lot.entry_fee_quote for lot in self.lots), ZERO),
        )


def fee_part(fee: Decimal, piece: Decimal, whole: Decimal) -> Decimal:
    """The share of ``fee`` that belongs to ``piece`` of ``whole``; all of it for the whole."""
    if piece == whole:
        return fee
    return (fee * piece / whole).quantize(_FEE_PART_STEP, ROUND_HALF_EVEN)


def _reduced(lot: Lot, piece: Decimal, entry_fee: Decimal) -> Lot:
    return replace(
        lot,
        quantity_base=lot.quantity_base - piece,
        entry_fee_quote=lot.entry_fee_quote - entry_fee,
    )


def _trade(lot: Lot, piece: Decimal, fees_quote: Decimal, leaving: Exit, trade_id: str) -> Trade:
    gross = lot.side.sign * (leaving.price - lot.entry_price) * piece
    pnl = gross - fees_quote
    risk = lot.risk_per_unit_quote * piece
    return Trade(
        trade_id=trade_id,
        strategy=lot.strategy,
        symbol=lot.symbol,
        side=lot.side,
        quantity_base=piece,
        entry_price=lot.entry_price,
        exit_price=leaving.price,
        fees_quote=fees_quote,
        pnl_quote=pnl,
        r_multiple=float(pnl / risk) if risk > 0 else None,
        opened_at_ms=lot.opened_at_ms,
        closed_at_ms=leaving.ts_ms,
        entry_regime=lot.regime,
        exit_regime=leaving.regime,
        exit_reason=leaving.reason,
        entry_order_id=lot.entry_order_id,
        exit_order_id=leaving.order_id,
    )


def lot_of(
    fill: Fill, intent: OrderIntent, signed_base: Decimal, fee_quote: Decimal, regime: str
) -> Lot:
    """The lot a fill opens with ``signed_base`` of its quantity.

    What an exit opens (the venue filled more than was held) has neither stop nor target.
    """
    side = Side.BUY if signed_base > 0 else Side.SELL
    is_entry = not intent.purpose.reduces_risk
    stop = intent.stop_price if is_entry else None
    return Lot(
        lot_id=f"{fill.symbol}:{fill.trade_id}",
        strategy=intent.strategy,
        symbol=fill.symbol,
        side=side,
        quantity_base=abs(signed_base),
        entry_price=fill.price,
        entry_fee_quote=fee_quote,
        risk_per_unit_quote=initial_risk(side, fill.price, intent.reference_price, stop),
        stop_price=stop,
        target_price=intent.target_price if is_entry else None,
        regime=regime,
        opened_at_ms=fill.ts_ms,
        entry_order_id=fill.client_order_id,
    )


def is_dust(quantity_base: Decimal, mark: Decimal | None, instrument: Instrument) -> bool:
    """True where something is held and no order could close it (F-019)."""
    if quantity_base == 0:
        return False
    sellable = instrument.quantity(abs(quantity_base))
    least = max(instrument.min_quantity_base, instrument.lot_size)
    return sellable < least or sellable * (mark or ZERO) < instrument.min_notional_quote


def initial_risk(
    side: Side, entry_price: Decimal, reference_price: Decimal, stop_price: Decimal | None
) -> Decimal:
    """Distance from entry to stop per base unit in quote, 0 where no stop was set.

    A fill that slipped past its own stop has no distance left; the distance at the decision
    (``reference_price``) then stands, so that R is known for the worst fills too.
    """
    if stop_price is None:
        return ZERO
    distance = side.sign * (entry_price - stop_price)
    if distance <= 0:
        distance = side.sign * (reference_price - stop_price)
    return max(distance, ZERO)
