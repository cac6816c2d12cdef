"""The venue's own book-keeping: SQLite, committed to disk before anybody hears an answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields, replace
from decimal import Decimal
from pathlib import Path

ZERO = Decimal(0)
OPEN_STATUSES = ("NEW", "PARTIALLY_FILLED")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS balances (
    asset TEXT PRIMARY KEY, free TEXT NOT NULL, locked TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS orders (
    order_id INTEGER PRIMARY KEY AUTOINCREMENT, client_id TEXT NOT NULL, symbol TEXT NOT NULL,
    side TEXT NOT NULL, kind TEXT NOT NULL, time_in_force TEXT NOT NULL, price TEXT NOT NULL,
    stop_price TEXT NOT NULL, quantity TEXT NOT NULL, executed TEXT NOT NULL,
    executed_quote TEXT NOT NULL, locked TEXT NOT NULL, status TEXT NOT NULL,
    triggered INTEGER NOT NULL, source TEXT NOT NULL, created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
);
-- Looking an order up by its client id is how an unanswered submit is settled.
CREATE INDEX IF NOT EXISTS orders_client_id ON orders (client_id);
CREATE INDEX IF NOT EXISTS orders_status ON orders (status, symbol);
CREATE TABLE IF NOT EXISTS fills (
    trade_id INTEGER PRIMARY KEY AUTOINCREMENT, order_id INTEGER NOT NULL REFERENCES orders,
    symbol TEXT NOT NULL, side TEXT NOT NULL, price TEXT NOT NULL, quantity TEXT NOT NULL,
    fee TEXT NOT NULL, fee_asset TEXT NOT NULL, is_maker INTEGER NOT NULL, ts_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS fills_order ON fills (order_id);
CREATE INDEX IF NOT EXISTS fills_symbol ON fills (symbol, trade_id);
CREATE TABLE IF NOT EXISTS transfers (
    transfer_id INTEGER PRIMARY KEY AUTOINCREMENT, asset TEXT NOT NULL, amount TEXT NOT NULL,
    fee TEXT NOT NULL, is_done INTEGER NOT NULL, ts_ms INTEGER NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """One order as the venue knows it. ``price`` and ``stop_price`` are 0 where it has none;
    ``triggered`` is False while a stop waits; ``locked`` is what it holds of the paying asset."""

    order_id: int
    client_id: str
    symbol: str
    side: str
    kind: str
    time_in_force: str
    price: Decimal
    stop_price: Decimal
    quantity: Decimal
    executed: Decimal
    executed_quote: Decimal
    locked: Decimal
    status: str
    triggered: bool
    source: str
    created_ms: int
    updated_ms: int

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.executed

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES


@dataclass(frozen=True, slots=True)
class VenueFill:
    """One execution as the venue knows it."""

    trade_id: int
    order_id: int
    symbol: str
    side: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    is_maker: bool
    ts_ms: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money or coins that came (> 0) or went (< 0, ``fee`` besides); one that is not done yet has
    moved nothing."""

    transfer_id: int
    asset: str
    amount: Decimal
    fee: Decimal
    is_done: bool
    ts_ms: int


@dataclass(frozen=True, slots=True)
class Balance:
    free: Decimal
    locked: Decimal


_ORDER_DECIMALS = ("price", "stop_price", "quantity", "executed", "executed_quote", "locked")
_FILL_DECIMALS = ("price", "quantity", "fee")
_ORDER_COLUMNS = tuple(field.name for field in fields(VenueOrder))[1:]
_FILL_COLUMNS = tuple(field.name for field in fields(VenueFill))[1:]


class Ledger:
    """Orders, fills, balances and the clock's place, in one file."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything inside at once; an exception leaves nothing behind."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def meta(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row["value"])

    def set_meta(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def number_from(self, first_id: int) -> None:
        """Number the orders and fills of an empty ledger after ``first_id``."""
        for table in ("orders", "fills"):
            self._db.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, first_id))

    def balances(self) -> dict[str, Balance]:
        rows = self._db.execute("SELECT * FROM balances ORDER BY asset")
        return {r["asset"]: Balance(Decimal(r["free"]), Decimal(r["locked"])) for r in rows}

    def balance(self, asset: str) -> Balance:
        row = self._db.execute("SELECT * FROM balances WHERE asset = ?", (asset,)).fetchone()
        if row is None:
            return Balance(ZERO, ZERO)
        return Balance(Decimal(row["free"]), Decimal(row["locked"]))

    def move(self, asset: str, *, free: Decimal = ZERO, locked: Decimal = ZERO) -> None:
        """Add to (or take from) an asset's free and locked parts."""
        now = self.balance(asset)
        values = (asset, f"{now.free + free:f}", f"{now.locked + locked:f}")
        self._db.execute("INSERT OR REPLACE INTO balances VALUES (?, ?, ?)", values)

    def add_order(self, order: VenueOrder) -> VenueOrder:
        """Store a new order and return it with its id."""
        values = _texts(astuple(order)[1:])
        marks = ", ".join("?" * len(_ORDER_COLUMNS))
        columns = ", ".join(_ORDER_COLUMNS)
        cursor = self._db.execute(f"INSERT INTO orders ({columns}) VALUES ({marks})", values)  # noqa: S608
        return replace(order, order_id=_last_id(cursor))

    def update_order(self, order: VenueOrder) -> None:
        sets = ", ".join(f"{name} = ?" for name in _ORDER_COLUMNS)
        values = (*_texts(astuple(order)[1:]), order.order_id)
        self._db.execute(f"UPDATE orders SET {sets} WHERE order_id = ?", values)  # noqa: S608

    def add_fill(self, fill: VenueFill) -> VenueFill:
        """Store a new fill and return it with its id."""
        values = _texts(astuple(fill)[1:])
        marks = ", ".join("?" * len(_FILL_COLUMNS))
        columns = ", ".join(_FILL_COLUMNS)
        cursor = self._db.execute(f"INSERT INTO fills ({columns}) VALUES ({marks})", values)  # noqa: S608
        return replace(fill, trade_id=_last_id(cursor))

    def order_by_id(self, order_id: int) -> VenueOrder | None:
        return _first(self._orders("order_id = ?", (order_id,)))

    def order_by_client_id(self, client_id: str) -> VenueOrder | None:
        """Return the newest order under this client id."""
        return _first(self._orders("client_id = ?", (client_id,), newest_first=True))

    def open_orders(self, symbol: str | None = None) -> list[VenueOrder]:
        where = "status IN ('NEW', 'PARTIALLY_FILLED')"
        if symbol is None:
            return self._orders(where, ())
        return self._orders(f"{where} AND symbol = ?", (symbol,))

    def orders(self, symbol: str | None = None, since_id: int = 0) -> list[VenueOrder]:
        if symbol is None:
            return self._orders("order_id >= ?", (since_id,))
        return self._orders("symbol = ? AND order_id >= ?", (symbol, since_id))

    def fills(
        self, *, symbol: str | None = None, order_id: int | None = None, since_id: int = 0
    ) -> list[VenueFill]:
        """Return fills with ``trade_id`` >= ``since_id``, oldest first."""
        where, values = "trade_id >= ?", [since_id]
        if order_id is not None:
            where, values = f"{where} AND order_id = ?", [*values, order_id]
        rows = self._db.execute(f"SELECT * FROM fills WHERE {where} ORDER BY trade_id", values)  # noqa: S608
        found = [_fill(row) for row in rows]
        return [fill for fill in found if symbol is None or fill.symbol == symbol]

    def add_transfer(self, transfer: Transfer) -> Transfer:
        """Store a deposit or withdrawal, move what it moves, and return it with its id."""
        given = _texts(astuple(transfer)[1:])
        cursor = self._db.execute(
            "INSERT INTO transfers (asset, amount, fee, is_done, ts_ms) VALUES (?, ?, ?, ?, ?)",
            given,
        )
        if transfer.is_done:
            self.move(transfer.asset, free=transfer.amount - transfer.fee)
        return replace(transfer, transfer_id=_last_id(cursor))

    def transfers(self) -> list[Transfer]:
        """Return all deposits and withdrawals, oldest first."""
        rows = self._db.execute("SELECT * FROM transfers ORDER BY transfer_id")
        return [
            Transfer(
                row["transfer_id"],
                row["asset"],
                Decimal(row["amount"]),
                Decimal(row["fee"]),
                bool(row["is_done"]),
                row["ts_ms"],
            )
            for row in rows
        ]

    def last_ts_ms(self) -> int:
        """Return the newest time stamped on an order or a fill, 0 where there is none."""
        row = self._db.execute("SELECT MAX(updated_ms) AS newest FROM orders").fetchone()
        return int(row["newest"] or 0)

    def _orders(
        self, where: str, values: Sequence[object], newest_first: bool = False
    ) -> list[VenueOrder]:
        order = "DESC" if newest_first else "ASC"
        sql = f"SELECT * FROM orders WHERE {where} ORDER BY order_id {order}"  # noqa: S608
        return [_order(row) for row in self._db.execute(sql, tuple(values))]


def _order(row: sqlite3.Row) -> VenueOrder:
    values = dict(row)
    values.update({name: Decimal(values[name]) for name in _ORDER_DECIMALS})
    values["triggered"] = bool(values["triggered"])
    return VenueOrder(**values)


def _fill(row: sqlite3.Row) -> VenueFill:
    values = dict(row)
    values.update({name: Decimal(values[name]) for name in _FILL_DECIMALS})
    values["is_maker"] = bool(values["is_maker"])
    return VenueFill(**values)


def _texts(values: Sequence[object]) -> tuple[object, ...]:
    return tuple(f"{v:f}" if isinstance(v, Decimal) else v for v in values)


def _first(orders: list[VenueOrder]) -> VenueOrder | None:
    return orders[0] if orders else None


def _last_id(cursor: sqlite3.Cursor) -> int:
    if cursor.lastrowid is None:
        raise sqlite3.DatabaseError("row id was None after an insert")
    return cursor.lastrowid
