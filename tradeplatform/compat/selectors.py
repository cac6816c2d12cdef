"""freqtrade's idea of a trade, read from our rows: one entry order that filled, and its end.

Our books close a position in pieces and keep a row for each; freqtrade's programs know one trade
with one number. The number is that of the entry order, so it stays from the entry to the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from engine.types.opinions import Side
from market.models import Instrument
from market.selectors import instrument_list
from trades.models import Lot, Order, Trade, TradingRun
from trades.selectors import position_list
from trades.selectors.performance import TRADES_READ

ZERO = Decimal(0)
# what results need of a piece: a poll must not build every row of a long run
_CLOSED_BY = (
    *("entry_order_id", "symbol", "strategy", "exit_reason", "quantity_base", "entry_price"),
    *("pnl_quote", "opened_at", "closed_at"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry order with the open pieces it left (``lots``) and the closed ones, oldest first.

    Money in quote. ``mark_price`` is the close of the last stored candle, None without one.
    """

    order: Order
    lots: tuple[Lot, ...]
    closed: tuple[Trade, ...]
    exits: tuple[Order, ...]
    mark_price: Decimal | None

    @property
    def is_open(self) -> bool:
        return bool(self.lots)

    @property
    def pieces(self) -> tuple[Lot, ...] | tuple[Trade, ...]:
        """What the amount counts: what is held while it is open, what was closed afterwards."""
        return self.lots if self.is_open else self.closed

    @property
    def quantity_base(self) -> Decimal:
        return sum((piece.quantity_base for piece in self.pieces), ZERO)

    @property
    def stake_quote(self) -> Decimal:
        """What the amount cost at entry, without fees."""
        return sum((piece.quantity_base * piece.entry_price for piece in self.pieces), ZERO)

    @property
    def whole_stake_quote(self) -> Decimal:
        """What the whole entry cost, the closed pieces with it."""
        done = sum((piece.quantity_base * piece.entry_price for piece in self.closed), ZERO)
        return done + self.stake_quote if self.is_open else done

    @property
    def close_rate(self) -> Decimal | None:
        quantity = sum((piece.quantity_base for piece in self.closed), ZERO)
        value = sum((piece.quantity_base * piece.exit_price for piece in self.closed), ZERO)
        return value / quantity if quantity and not self.is_open else None

    @property
    def realised_quote(self) -> Decimal:
        """PnL of the closed pieces, net of fees."""
        return sum((piece.pnl_quote for piece in self.closed), ZERO)

    @property
    def unrealised_quote(self) -> Decimal | None:
        """PnL of the open pieces at the mark, net of the entry's fees; None without a mark."""
        if self.mark_price is None:
            return None
        sign, mark = Side(self.order.side).sign, self.mark_price
        moved = (sign * lot.quantity_base * (mark - lot.entry_price) for lot in self.lots)
        fees = sum((lot.entry_fee_quote for lot in self.lots), ZERO)
        return sum(moved, ZERO) - fees

    @property
    def opened_at(self) -> datetime:
        held = [lot.opened_at for lot in self.lots]
        return min(held + [piece.opened_at for piece in self.closed])

    @property
    def stop_price(self) -> Decimal | None:
        stop: Decimal | None = (self.lots[0] if self.lots else self.order).stop_price
        return stop


@dataclass(frozen=True, slots=True)
class Closed:
    """A trade that is over, all pieces added up: what results are made of. Money in quote."""

    pair: str
    strategy: str
    exit_reason: str
    stake_quote: float
    pnl_quote: Decimal
    opened_at: datetime
    closed_at: datetime

    @property
    def profit_ratio(self) -> float:
        return float(self.pnl_quote) / self.stake_quote if self.stake_quote > 0 else 0.0


def entries_open(run: TradingRun) -> list[Entry]:
    """Return every trade of which something is still held, the oldest order first."""
    return _entries(run, _open_orders(run).order_by("id"))


def entries_closed(
    run: TradingRun, *, limit: int, offset: int, by_id: bool
) -> tuple[list[Entry], int]:
    """Return one page of the trades that are over, by number or the newest first; and how many."""
    orders = _closed_orders(run)
    pieces = Trade.objects.filter(run=run, entry_order_id=OuterRef("client_order_id"))
    last = pieces.order_by("-closed_at").values("closed_at")[:1]
    newest_first = orders.annotate(ended_at=Subquery(last)).order_by("-ended_at", "-id")
    ordered = orders.order_by("id") if by_id else newest_first
    return _entries(run, ordered[offset : offset + limit]), orders.count()


def entry_get(run: TradingRun, number: int) -> Entry | None:
    found = Order.objects.filter(run=run, pk=number)
    entries = _entries(run, found)
    return entries[0] if entries and (entries[0].lots or entries[0].closed) else None


def closed_list(run: TradingRun) -> list[Closed]:
    """Return the trades that are over, by the time they ended: those of the newest TRADES_READ
    pieces, as on our own pages (two queries)."""
    still_open = set(_open_ids(run))
    pieces: dict[str, list[Any]] = defaultdict(list)
    newest = Trade.objects.filter(run=run).order_by("-closed_at", "-id")
    for row in reversed(newest.values_list(*_CLOSED_BY, named=True)[:TRADES_READ]):
        if row.entry_order_id not in still_open:
            pieces[row.entry_order_id].append(row)
    return sorted((_closed(rows) for rows in pieces.values()), key=lambda one: one.closed_at)


def instruments_of(run: TradingRun) -> dict[str, Instrument]:
    return {row.symbol: row for row in instrument_list(venue=run.venue)}


def _closed(rows: Sequence[Any]) -> Closed:
    last = rows[-1]
    return Closed(
        pair=last.symbol,
        strategy=last.strategy,
        exit_reason=last.exit_reason,
        stake_quote=float(sum((row.quantity_base * row.entry_price for row in rows), ZERO)),
        pnl_quote=sum((row.pnl_quote for row in rows), ZERO),
        opened_at=min(row.opened_at for row in rows),
        closed_at=last.closed_at,
    )


def _open_ids(run: TradingRun) -> QuerySet[Lot, str]:
    return Lot.objects.filter(run=run, is_open=True).values_list("entry_order_id", flat=True)


def _open_orders(run: TradingRun) -> QuerySet[Order]:
    return Order.objects.filter(run=run, client_order_id__in=_open_ids(run))


def _closed_orders(run: TradingRun) -> QuerySet[Order]:
    over = Trade.objects.filter(run=run).values("entry_order_id")
    rows = Order.objects.filter(run=run, client_order_id__in=over)
    return rows.exclude(client_order_id__in=_open_ids(run))


def _entries(run: TradingRun, orders: Iterable[Order]) -> list[Entry]:
    found = list(orders)
    ids = [order.client_order_id for order in found]
    lots: dict[str, list[Lot]] = defaultdict(list)
    for lot in Lot.objects.filter(run=run, is_open=True, entry_order_id__in=ids).order_by("id"):
        lots[lot.entry_order_id].append(lot)
    closed: dict[str, list[Trade]] = defaultdict(list)
    rows = Trade.objects.filter(run=run, entry_order_id__in=ids)
    for row in rows.order_by("closed_at", "id"):
        closed[row.entry_order_id].append(row)
    marks = {position.symbol: position.mark_price for position in position_list(run=run)}
    exits = _exits(run, [row.exit_order_id for group in closed.values() for row in group])
    return [
        Entry(
            order=order,
            lots=tuple(lots[order.client_order_id]),
            closed=tuple(closed[order.client_order_id]),
            exits=tuple(
                exits[name]
                for name in dict.fromkeys(r.exit_order_id for r in closed[order.client_order_id])
                if name in exits
            ),
            mark_price=marks.get(order.symbol),
        )
        for order in found
    ]


def _exits(run: TradingRun, ids: Sequence[str]) -> dict[str, Order]:
    rows = Order.objects.filter(run=run, client_order_id__in=ids)
    return {row.client_order_id: row for row in rows}
