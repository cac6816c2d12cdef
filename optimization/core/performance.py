"""Closed trades taken apart by strategy, symbol and entry regime, and by every cross of them.

Each cut has two readings: over its life, and over its last ``window_trades`` trades. A new trade
costs the same whatever came before; the state goes to JSON and comes back to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import numpy as np

from engine.performance import Cut
from engine.types.decisions import JsonValue
from engine.types.ledger import Trade
from optimization.core import trade_sums as sums
from optimization.core.cuts import CUTS_A_TRADE, cuts_of, is_finest
from optimization.core.errors import EvidenceError
from optimization.core.trade_sums import Figures, Floats, Ints, figures_of

DEFAULT_WINDOW_TRADES = 50
STATE_VERSION = 1
_Cell = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class TradeColumns:
    """Closed trades as columns (n_trades,), in the order they were closed.

    ``strategy``, ``symbol`` and ``regime`` index into their names; ``r`` is NaN without a stop.
    """

    strategies: tuple[str, ...]
    symbols: tuple[str, ...]
    regimes: tuple[str, ...]
    strategy: Ints
    symbol: Ints
    regime: Ints
    pnl_quote: Floats
    fees_quote: Floats
    r: Floats
    opened_at_ms: Ints
    closed_at_ms: Ints
    last_trade_id: str


class Decomposition:
    """Figures of every cut, kept up to date one closed trade at a time.

    ``as_of`` is the id of the last trade taken in: two decompositions of the same trades have the
    same ``as_of`` and the same figures.
    """

    def __init__(self, window_trades: int = DEFAULT_WINDOW_TRADES) -> None:
        if window_trades < 2:
            raise EvidenceError(f"window of trades must be 2 or more, was {window_trades}")
        self._window = window_trades
        self._places: dict[Cut, int] = {}
        self._cells: dict[_Cell, Ints] = {}
        self._rows = np.zeros((64, sums.ROW_WIDTH))
        self._rings = np.zeros((64, window_trades, sums.RING_WIDTH))
        self._as_of: str | None = None
        self._last_closed_at_ms = 0
        self._number = 0

    @property
    def window_trades(self) -> int:
        return self._window

    @property
    def as_of(self) -> str | None:
        """Id of the last trade taken in; None before the first."""
        return self._as_of

    @property
    def last_closed_at_ms(self) -> int:
        """Latest close among the trades taken in; 0 before the first."""
        return self._last_closed_at_ms

    @property
    def trades(self) -> int:
        """Number of trades taken in."""
        return self._number

    def add(self, trade: Trade) -> None:
        """Take in one closed trade, once, in the order of closing.

        Raises:
            EvidenceError: PnL, fees or R is not finite, or the trade is the last one again.
        """
        pnl, fee = float(trade.pnl_quote), float(trade.fees_quote)
        r = trade.r_multiple
        if not (isfinite(pnl) and isfinite(fee) and (r is None or isfinite(r))):
            raise EvidenceError(f"trade {trade.trade_id} must be finite, was {pnl}, {fee}, {r}")
        if trade.trade_id == self._as_of:
            raise EvidenceError(f"trade {trade.trade_id} was taken in before")
        cell = (trade.strategy, trade.symbol, trade.entry_regime)
        cuts = self._cells.get(cell)
        if cuts is None:
            cuts = self._open(cell)
        sums.take_trade(
            self._rows,
            self._rings,
            cuts,
            float(self._number),
            pnl,
            fee,
            nan if r is None else r,
            float(trade.closed_at_ms - trade.opened_at_ms),
        )
        self._number += 1
        self._as_of = trade.trade_id
        if trade.closed_at_ms > self._last_closed_at_ms:
            self._last_closed_at_ms = trade.closed_at_ms

    def lifetime(self, cut: Cut) -> Figures:
        """Figures over all trades of the cut; those of no trades where it has none."""
        place = self._places.get(cut)
        return figures_of(np.zeros(sums.ROW_WIDTH) if place is None else self._rows[place])

    def rolling(self, cut: Cut) -> Figures:
        """Figures over the last ``window_trades`` trades of the cut (OPT-33)."""
        row = np.zeros(sums.ROW_WIDTH)
        place = self._places.get(cut)
        if place is not None:
            sums.fold_ring(self._rings[place], int(self._rows[place, sums.COUNT]), row)
        return figures_of(row)

    def recent_r(self, cut: Cut) -> tuple[float, ...]:
        """R of the last ``window_trades`` trades of the cut, oldest first, those with a stop."""
        place = self._places.get(cut)
        if place is None:
            return ()
        return tuple(one[sums.R] for one in self._recent(place) if one[sums.R] == one[sums.R])

    def cuts(self) -> tuple[Cut, ...]:
        """All cuts that have a trade, in the order of their first."""
        return tuple(self._places)

    def copy(self) -> Decomposition:
        """An independent decomposition with the same state."""
        twin = Decomposition(self._window)
        twin._places, twin._cells = dict(self._places), dict(self._cells)
        twin._rows, twin._rings = self._rows.copy(), self._rings.copy()
        twin._as_of, twin._number = self._as_of, self._number
        twin._last_closed_at_ms = self._last_closed_at_ms
        return twin

    def nbytes(self) -> int:
        """Memory of rows and rings in bytes."""
        return self._rows.nbytes + self._rings.nbytes

    @classmethod
    def from_columns(
        cls, columns: TradeColumns, window_trades: int = DEFAULT_WINDOW_TRADES
    ) -> Decomposition:
        """Build from all trades at once; the same state as ``add`` one by one.

        Raises:
            EvidenceError: a figure is not finite (R may be NaN).
        """
        _require_finite(columns)
        book = cls(window_trades)
        n_trades = len(columns.pnl_quote)
        if n_trades == 0:
            return book
        shape = (len(columns.strategies), len(columns.symbols), len(columns.regimes))
        key = (columns.strategy * shape[1] + columns.symbol) * shape[2] + columns.regime
        table = np.full(shape[0] * shape[1] * shape[2], -1, dtype=np.int64)
        cell = np.empty(n_trades, dtype=np.int64)
        n_cells = sums.number_cells(np.asarray(key, dtype=np.int64), table, cell)
        cuts = np.empty((n_cells, CUTS_A_TRADE), dtype=np.int64)
        first_keys = sorted(np.flatnonzero(table >= 0).tolist(), key=lambda k: int(table[k]))
        for number, flat in enumerate(first_keys):
            strategy, rest = divmod(int(flat), shape[1] * shape[2])
            symbol, regime = divmod(rest, shape[2])
            cuts[number] = book._open(
                (columns.strategies[strategy], columns.symbols[symbol], columns.regimes[regime])
            )
        held_ms = (columns.closed_at_ms - columns.opened_at_ms).astype(np.float64)
        sums.take_trades(
            book._rows,
            book._rings,
            cuts,
            cell,
            columns.pnl_quote,
            columns.fees_quote,
            columns.r,
            held_ms,
        )
        book._number, book._as_of = n_trades, columns.last_trade_id
        book._last_closed_at_ms = int(columns.closed_at_ms.max())
        return book

    def state(self) -> dict[str, JsonValue]:
        """Everything a rebuilt decomposition needs, as JSON.

        Recent trades are written once, under their finest cut: a coarser cut's last trades are
        among the last trades of its cells.
        """
        recent = [
            [list(_without_nan(one)) for one in self._recent(place)] if is_finest(cut) else []
            for cut, place in self._places.items()
        ]
        state: dict[str, Any] = {
            "version": STATE_VERSION,
            "window_trades": self._window,
            "as_of": self._as_of,
            "last_closed_at_ms": self._last_closed_at_ms,
            "trades": self._number,
            "cuts": [[cut.strategy, cut.symbol, cut.regime] for cut in self._places],
            "rows": self._rows[: len(self._places)].tolist(),
            "recent": recent,
        }
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Decomposition:
        """Rebuild from ``state``.

        Raises:
            EvidenceError: the state was written by another version.
        """
        if state.get("version") != STATE_VERSION:
            raise EvidenceError(
                f"state version must be {STATE_VERSION}, was {state.get('version')}"
            )
        book = cls(int(state["window_trades"]))
        cuts = [Cut(*parts) for parts in state["cuts"]]
        for cut in cuts:
            book._place(cut)
        for cut in cuts:
            if cut.strategy is not None and cut.symbol is not None and cut.regime is not None:
                book._open((cut.strategy, cut.symbol, cut.regime))
        book._rows[: len(cuts)] = np.array(state["rows"], dtype=np.float64).reshape(
            len(cuts), sums.ROW_WIDTH
        )
        book._as_of, book._number = state["as_of"], int(state["trades"])
        book._last_closed_at_ms = int(state["last_closed_at_ms"])
        book._fill_rings(cuts, state["recent"])
        return book

    def _open(self, cell: _Cell) -> Ints:
        """Give the cuts of a new cell their places."""
        places = np.array([self._place(cut) for cut in cuts_of(*cell)], dtype=np.int64)
        self._cells[cell] = places
        return places

    def _place(self, cut: Cut) -> int:
        place = self._places.get(cut)
        if place is None:
            place = self._places[cut] = len(self._places)
            if place >= len(self._rows):
                self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
                self._rings = np.concatenate([self._rings, np.zeros_like(self._rings)])
        return place

    def _recent(self, place: int) -> list[list[float]]:
        count = int(self._rows[place, sums.COUNT])
        order = np.arange(max(count - self._window, 0), count) % self._window
        recent: list[list[float]] = self._rings[place, order].tolist()
        return recent

    def _fill_rings(self, cuts: Sequence[Cut], recent: Sequence[Any]) -> None:
        found = []
        for cut, trades in zip(cuts, recent, strict=True):
            if is_finest(cut):
                cell = self._cells[(str(cut.strategy), str(cut.symbol), str(cut.regime))]
                found += [(one, cell) for one in trades]
        waiting = [int(count) for count in self._rows[: len(cuts), sums.COUNT]]
        for one, cell in sorted(found, key=lambda pair: float(pair[0][0]), reverse=True):
            for place in cell.tolist():
                count = int(self._rows[place, sums.COUNT])
                if waiting[place] > max(count - self._window, 0):
                    waiting[place] -= 1
                    self._rings[place, waiting[place] % self._window] = [
                        nan if value is None else value for value in one
                    ]


def _without_nan(one: Sequence[float]) -> list[float | None]:
    return [value if value == value else None for value in one]


def _require_finite(columns: TradeColumns) -> None:
    for name in ("pnl_quote", "fees_quote"):
        column: Floats = getattr(columns, name)
        if not np.isfinite(column).all():
            first = int(np.flatnonzero(~np.isfinite(column))[0])
            raise EvidenceError(f"{name} of trade {first} must be finite, was {column[first]}")
    if np.isinf(columns.r).any():
        raise EvidenceError("R must be finite or NaN, was infinite")
