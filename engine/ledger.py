"""One account's books: fills become lots, positions, closed trades and equity.

Owned by one session. All money is Decimal and every identity below holds to the last digit,
provided prices, quantities and fees have at most 28 significant digits together:

* position of (strategy, symbol) = sum of its signed fills, less fees paid in the base asset;
* cash + sum(balance * mark) = equity;
* equity - deposits = realised + unrealised - fees.

Realised and unrealised are gross of fees. Assets that no strategy holds (external holdings, a
third asset that pays fees) count in equity from their first mark on; until then they are worth
0, and their value at that first mark is a deposit, not a profit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from engine.equity import DAY_MS, EquityCurve
from engine.ledger_state import (
    DUST,
    Asset,
    FillEffect,
    Holding,
    LedgerError,
    LedgerState,
    base_of,
    check_fill,
    mark_price,
    overfill,
    oversold,
    require,
    unvalued,
)
from engine.lots import Exit, LotBook, Position, fee_part, is_dust, lot_of
from engine.types.bars import Instrument
from engine.types.decisions import Reason
from engine.types.ledger import ZERO, EquityPoint, Lot, Trade
from engine.types.orders import Fill, OrderIntent

__all__ = ["FillEffect", "Ledger", "LedgerError", "LedgerState"]


class Ledger:
    """Mutable books of one account in one quote asset. Times are event time."""

    def __init__(
        self, quote: str, balances: Mapping[str, Decimal], *, shortable: Iterable[str] = ()
    ) -> None:
        """``shortable`` symbols may go below zero without an OVERSOLD alert."""
        self.quote = quote
        self.realised_quote = ZERO
        self.fees_quote = ZERO
        self.holding_pnl_quote = ZERO
        for asset, balance in balances.items():
            require(balance.is_finite(), f"balance of {asset} must be finite, was {balance}")
        self._cash = balances.get(quote, ZERO)
        self._assets = {a: Asset(b) for a, b in balances.items() if a != quote}
        self._books: dict[tuple[str, str], LotBook] = {}
        self._by_symbol: dict[str, Asset] = {}
        self._shortable = frozenset(shortable)
        self._seen: set[tuple[str, str]] = set()
        self._filled: dict[str, Decimal] = {}
        self.deposits_quote = self._cash
        self._moved = True  # whether equity may differ from the last point taken
        self._last_point: EquityPoint | None = None
        self._curve = EquityCurve(self._cash)

    def apply_fill(
        self, fill: Fill, intent: OrderIntent, regime: str | None = None, reason: str = "signal"
    ) -> FillEffect:
        """Book one fill on its intent's strategy; a fill seen before changes nothing (F-016).

        ``regime`` is the one at the fill (None: the intent's) and ``reason`` why a closed trade was
        closed. What the venue says was done is booked, also beyond the intent's quantity (F-017).

        Raises:
            LedgerError: the fill is malformed or not of this intent's symbol or this quote.
        """
        check_fill(fill, intent)
        key = (fill.symbol, fill.trade_id)
        if key in self._seen:
            return FillEffect(duplicate=True)
        asset = self._asset_of(fill.symbol)
        if asset.mark is None:
            self._set_mark(asset, fill.price)
        self._moved = True
        self._seen.add(key)
        reasons = self._overfill(fill, intent)
        fee_quote, base_fee = self._pay_fee(fill, reasons)
        self.fees_quote += fee_quote
        self._cash -= fill.side.sign * fill.quantity_base * fill.price
        delta = fill.side.sign * fill.quantity_base - base_fee
        asset.balance += delta
        book = self._book(intent.strategy, fill.symbol)
        before = abs(book.quantity)
        regime = intent.regime if regime is None else regime
        effect = self._book_delta(book, delta, fee_quote, fill, intent, regime, reason)
        asset.gross += abs(book.quantity) - before
        if book.quantity < 0 and fill.symbol not in self._shortable:
            reasons.append(oversold(book))
        return FillEffect(*effect, duplicate=False, reasons=tuple(reasons))

    def _overfill(self, fill: Fill, intent: OrderIntent) -> list[Reason]:
        filled = self._filled.get(fill.client_order_id, ZERO) + fill.quantity_base
        self._filled[fill.client_order_id] = filled
        return [overfill(filled, intent)] if filled > intent.quantity_base else []

    def _pay_fee(self, fill: Fill, reasons: list[Reason]) -> tuple[Decimal, Decimal]:
        """Take the fee from its asset; return (its value in quote, its amount in base units)."""
        if fill.fee_asset == self.quote:
            self._cash -= fill.fee
            return fill.fee, ZERO
        if fill.fee_asset == base_of(fill.symbol, self.quote):
            return fill.fee * fill.price, fill.fee
        if fill.fee == 0:
            return ZERO, ZERO
        asset = self._assets.setdefault(fill.fee_asset, Asset(ZERO))
        asset.balance -= fill.fee
        asset.external -= fill.fee
        if asset.mark is not None:
            return fill.fee * asset.mark, ZERO
        reasons.append(unvalued(fill, self.quote))
        return ZERO, ZERO

    def _book_delta(
        self,
        book: LotBook,
        delta: Decimal,
        fee_quote: Decimal,
        fill: Fill,
        intent: OrderIntent,
        regime: str,
        reason: str,
    ) -> tuple[tuple[Lot, ...], tuple[Lot, ...], tuple[Trade, ...]]:
        """Close against opposite lots first, then open with what is left."""
        changed: list[Lot] = []
        trades: list[Trade] = []
        fill_id = f"{fill.symbol}:{fill.trade_id}"
        size = abs(delta)
        if book.quantity * delta < 0:
            closing = min(size, abs(book.quantity))
            fee = fee_part(fee_quote, closing, size)
            leaving = Exit(
                fill_id, fill.price, fee, fill.ts_ms, regime, reason, fill.client_order_id
            )
            changed, trades = self._close(book, closing, leaving)
            size -= closing
            fee_quote -= fee
        if size == 0:
            return (), tuple(changed), tuple(trades)
        lot = lot_of(fill, intent, size if delta > 0 else -size, fee_quote, regime)
        book.add(lot)
        return (lot,), tuple(changed), tuple(trades)

    def _close(
        self, book: LotBook, quantity_base: Decimal, leaving: Exit
    ) -> tuple[list[Lot], list[Trade]]:
        changed, trades = book.close(quantity_base, leaving)
        for trade in trades:
            self.realised_quote += trade.pnl_quote + trade.fees_quote
        return changed, trades

    def adjust(self, asset: str, amount: Decimal) -> None:
        """Book a deposit (> 0), withdrawal (< 0) or a trade made by hand on the venue (F-013).

        It changes equity but neither day PnL, return nor drawdown.

        Raises:
            LedgerError: the amount is not finite.
        """
        require(amount.is_finite(), f"adjustment of {asset} must be finite, was {amount}")
        before = self.equity_quote
        if asset == self.quote:
            self._cash += amount
            value = amount
        else:
            held = self._assets.setdefault(asset, Asset(ZERO))
            held.balance += amount
            held.external += amount
            value = amount * held.mark if held.mark is not None else ZERO
        self._contribute(before, value)

    def _contribute(self, equity_before: Decimal, value_quote: Decimal) -> None:
        self._moved = True
        self.deposits_quote += value_quote
        self._curve.contribute(equity_before, value_quote)

    def set_exits(
        self, strategy: str, symbol: str, stop: Decimal | None, target: Decimal | None
    ) -> tuple[Lot, ...]:
        """Move stop and target of a position; returns the changed lots. R keeps its first risk."""
        return tuple(self._book(strategy, symbol).set_exits(stop, target))

    def is_dust(self, strategy: str, instrument: Instrument) -> bool:
        """True where the position is open and no order could close it (F-019)."""
        symbol = instrument.symbol
        return is_dust(
            self.position(strategy, symbol).quantity_base, self.mark_of(symbol), instrument
        )

    def sweep_dust(self, strategy: str, symbol: str, ts_ms: int, regime: str) -> FillEffect:
        """Close a position that ``is_dust`` at its mark, without cash or fee; the coins stay on the
        account as external holdings. Does nothing where nothing is held."""
        book, asset = self._book(strategy, symbol), self._asset_of(symbol)
        if not book.lots:
            return FillEffect()
        quantity, mark = book.quantity, asset.mark
        if mark is None:  # an open position always has one: its fill set it
            raise LedgerError(f"position of {strategy} in {symbol} has no mark")
        trade_id = f"{symbol}:dust:{strategy}:{ts_ms}"
        leaving = Exit(trade_id, mark, ZERO, ts_ms, regime, DUST, "")
        changed, trades = self._close(book, abs(quantity), leaving)
        asset.external += quantity
        asset.gross -= abs(quantity)
        return FillEffect(changed=tuple(changed), trades=tuple(trades))

    def mark(self, symbol: str, price: float | Decimal) -> None:
        """Value the symbol's base asset at ``price`` (quote, finite and positive) from now on.

        Raises:
            LedgerError: the price is not finite and positive.
        """
        self._set_mark(self._asset_of(symbol), mark_price(symbol, price))

    def mark_asset(self, asset: str, price: float | Decimal) -> None:
        """Value an asset that is not traded, such as one that fees are paid in."""
        held = self._assets.setdefault(asset, Asset(ZERO))
        self._set_mark(held, mark_price(asset, price))

    def _set_mark(self, asset: Asset, price: Decimal) -> None:
        external = asset.external
        self._moved |= asset.balance != 0
        if external:
            if asset.mark is None:
                self._contribute(self.equity_quote, external * price)
            else:
                self.holding_pnl_quote += external * (price - asset.mark)
        asset.mark = price

    def holding(self, asset: str) -> Holding:
        """What no strategy holds of an asset other than the quote, and its last mark."""
        held = self._assets.get(asset, Asset(ZERO))
        return Holding(held.external, held.mark)

    @property
    def cash_quote(self) -> Decimal:
        return self._cash

    @property
    def equity_quote(self) -> Decimal:
        """Cash and every balance at its mark, in quote; balances without a mark count 0."""
        equity = self._cash
        for asset in self._assets.values():
            if asset.mark is not None and asset.balance:
                equity += asset.balance * asset.mark
        return equity

    @property
    def exposure_quote(self) -> Decimal:
        """Gross: the sum over strategies and symbols of |position| * mark, in quote."""
        exposure = ZERO
        for asset in self._assets.values():
            if asset.mark is not None and asset.gross:
                exposure += asset.gross * asset.mark
        return exposure

    @property
    def unrealised_quote(self) -> Decimal:
        """Open lots at their marks plus the revaluation of external holdings, gross of fees."""
        total = self.holding_pnl_quote
        for book in self._books.values():
            mark = self._asset_of(book.symbol).mark
            if book.quantity and mark is not None:
                total += book.quantity * mark - book.cost_quote
        return total

    def equity_point(self, ts_ms: int) -> EquityPoint:
        """Mark-to-market equity now; moves the peak and starts a new UTC day where one began."""
        last = self._last_point
        if last is not None and not self._moved and ts_ms // DAY_MS == last.ts_ms // DAY_MS:
            # a flat account on a day like the bar before: only the time is new
            return last.at(ts_ms)
        point = self._curve.point(ts_ms, self.equity_quote, self._cash, self.exposure_quote)
        self._last_point, self._moved = point, False
        return point

    def rebase_peak(self) -> None:
        """Measure drawdown from now on: what a person's reset after a halt means (D-23)."""
        self._curve.rebase(self.equity_quote)
        self._moved = True

    def position(self, strategy: str, symbol: str) -> Position:
        """The strategy's position in the symbol; quantity 0 where it has none."""
        book = self._books.get((strategy, symbol))
        return book.position() if book is not None else Position(strategy, symbol)

    def filled_of(self, client_order_id: str) -> Decimal:
        """What was booked of an order, in base units."""
        return self._filled.get(client_order_id, ZERO)

    def mark_of(self, symbol: str) -> Decimal | None:
        """The price the symbol's base asset is valued at; None before its first."""
        return self._asset_of(symbol).mark

    def is_held(self, symbol: str) -> bool:
        """True where some strategy holds the symbol; constant time."""
        return self._asset_of(symbol).gross != 0

    @property
    def is_flat(self) -> bool:
        """True where no strategy holds anything."""
        return not any(asset.gross for asset in self._assets.values())

    @property
    def is_all_quote(self) -> bool:
        """True where no price can move equity: there is no balance but the quote's."""
        return not any(asset.balance or asset.external for asset in self._assets.values())

    def positions(self) -> tuple[Position, ...]:
        """Open positions, in (strategy, symbol) order."""
        if self.is_flat:
            return ()
        return tuple(self._books[k].position() for k in sorted(self._books) if self._books[k].lots)

    @property
    def lots(self) -> tuple[Lot, ...]:
        """Open lots by (strategy, symbol), oldest first in each."""
        return tuple(lot for key in sorted(self._books) for lot in self._books[key].lots)

    def exposure_by_symbol(self) -> dict[str, Decimal]:
        """Gross exposure in quote by symbol; flat symbols are left out."""
        return self._exposure_by(1)

    def exposure_by_strategy(self) -> dict[str, Decimal]:
        """Gross exposure in quote by strategy; flat strategies are left out."""
        return self._exposure_by(0)

    def _exposure_by(self, part: int) -> dict[str, Decimal]:
        sums: dict[str, Decimal] = {}
        for key, book in self._books.items():
            mark = self._asset_of(book.symbol).mark
            if book.quantity and mark is not None:
                sums[key[part]] = sums.get(key[part], ZERO) + abs(book.quantity) * mark
        return sums

    def balances(self) -> dict[str, Decimal]:
        """All balances by asset; what the venue should say."""
        return {self.quote: self._cash, **{a: held.balance for a, held in self._assets.items()}}

    def state(self) -> LedgerState:
        """A value from which ``restore`` builds an equal ledger."""
        return LedgerState(
            quote=self.quote,
            balances=self.balances(),
            lots=self.lots,
            seen=frozenset(self._seen),
            filled_base=dict(self._filled),
            marks={a: h.mark for a, h in self._assets.items() if h.mark is not None},
            deposits_quote=self.deposits_quote,
            realised_quote=self.realised_quote,
            fees_quote=self.fees_quote,
            holding_pnl_quote=self.holding_pnl_quote,
            curve=self._curve.state(),
        )

    @classmethod
    def restore(cls, state: LedgerState, *, shortable: Iterable[str] = ()) -> Ledger:
        """Rebuild a ledger from rows; balances include what the lots hold."""
        ledger = cls(state.quote, state.balances, shortable=shortable)
        for asset_name, price in state.marks.items():
            ledger._assets.setdefault(asset_name, Asset(ZERO)).mark = price
        for lot in state.lots:
            signed = lot.side.sign * lot.quantity_base
            asset = ledger._asset_of(lot.symbol)
            ledger._book(lot.strategy, lot.symbol).add(lot)
            asset.external -= signed
            asset.gross += lot.quantity_base
        ledger._seen = set(state.seen)
        ledger._filled = dict(state.filled_base)
        ledger.deposits_quote = state.deposits_quote
        ledger.realised_quote = state.realised_quote
        ledger.fees_quote = state.fees_quote
        ledger.holding_pnl_quote = state.holding_pnl_quote
        ledger._curve = EquityCurve.restore(state.curve, ledger.equity_quote)
        return ledger

    def _book(self, strategy: str, symbol: str) -> LotBook:
        if (strategy, symbol) not in self._books:
            self._books[strategy, symbol] = LotBook(strategy, symbol)
        return self._books[strategy, symbol]

    def _asset_of(self, symbol: str) -> Asset:
        if symbol not in self._by_symbol:
            self._by_symbol[symbol] = self._assets.setdefault(
                base_of(symbol, self.quote), Asset(ZERO)
            )
        return self._by_symbol[symbol]
