"""Order books rebuilt from recorded updates, and the order flow of every change in them.

Arrays only; reading files is ``research/order_book_files.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.compiled import kernel
from engine.order_flow import ask_flow, bid_flow
from engine.types.bars import BoolColumn, FloatColumn, IntColumn

LEVELS = 10
Matrix = npt.NDArray[np.float64]
_bid_flow = kernel(bid_flow)
_ask_flow = kernel(ask_flow)


class BrokenBook(ValueError):
    """The updates do not make a book: no snapshot, a gap in the ids, or a crossed result."""


@dataclass(frozen=True, slots=True)
class DepthUpdates:
    """One row a changed level, in order of arrival; the snapshot's rows first. All (n_rows,).

    ``side`` +1 bid, -1 ask; ``qty`` is the level's new size, 0 = gone. ``previous`` is the last id
    of the message before, -1 where the venue does not tell.
    """

    ts_ms: IntColumn
    first: IntColumn
    last: IntColumn
    previous: IntColumn
    side: IntColumn
    price: FloatColumn
    qty: FloatColumn
    is_snapshot: BoolColumn


@dataclass(frozen=True, slots=True)
class BookTape:
    """Books in time order: ``ts_ms`` (n_books,), the rest (n_books, n_levels), best first.

    NaN prices and sizes where the book has fewer levels. ``flow`` is the order flow that led to
    each book, in base units, summed over ``n_events`` changes; of the first book it is that since
    the snapshot.
    """

    ts_ms: IntColumn
    bid_price: Matrix
    bid_qty: Matrix
    ask_price: Matrix
    ask_qty: Matrix
    flow: Matrix
    n_events: int

    @property
    def middle(self) -> FloatColumn:
        middle: FloatColumn = (self.bid_price[:, 0] + self.ask_price[:, 0]) / 2.0
        return middle

    @property
    def n_levels(self) -> int:
        return int(self.flow.shape[1])


def rebuild(updates: DepthUpdates, levels: int = LEVELS) -> BookTape:
    """Return the book after each message, and the flow of each changed level within it.

    Messages whose last id is not above the snapshot's are older than it and are dropped.

    Raises:
        BrokenBook: there is no snapshot, nothing follows it, an id is missing, or a book after a
            message is crossed or one-sided.
    """
    if not updates.is_snapshot.any():
        raise BrokenBook("snapshot rows were 0, allowed: at least 1")
    snapshot_id = int(updates.last[updates.is_snapshot].max())
    live = ~updates.is_snapshot & (updates.last > snapshot_id)
    if not live.any():
        raise BrokenBook(f"updates after the snapshot's id {snapshot_id} were 0, allowed: some")
    last = updates.last[live]
    starts = np.flatnonzero(np.concatenate(([True], np.diff(last) != 0)))
    _check_ids(updates.first[live][starts], last[starts], updates.previous[live][starts],
               snapshot_id)  # fmt: skip
    prices, place = np.unique(updates.price, return_inverse=True)
    sizes = np.zeros((2, prices.shape[0]))
    for sign, row in ((1, 0), (-1, 1)):
        of_side = updates.is_snapshot & (updates.side == sign)
        sizes[row, place[of_side]] = updates.qty[of_side]
        if not of_side.any():
            raise BrokenBook(f"snapshot rows of side {sign:+d} were 0, allowed: at least 1")
    shape = (starts.shape[0], levels)
    books, flow = np.empty((4, *shape)), np.zeros(shape)
    ends = np.append(starts[1:], last.shape[0])
    _replay(prices, sizes, place[live], updates.side[live], updates.qty[live], ends, books, flow)
    tape = BookTape(
        updates.ts_ms[live][starts],
        books[0],
        books[1],
        books[2],
        books[3],
        flow,
        int(live.sum()),
    )
    _check_books(tape)
    return tape


def from_quotes(
    ts_ms: IntColumn, bid: FloatColumn, bid_qty: FloatColumn, ask: FloatColumn, ask_qty: FloatColumn
) -> BookTape:
    """Return best quotes as books of one level; each quote is one event, the first has no flow.

    Raises:
        BrokenBook: a quote is crossed; bid and ask at one price, as between venues, may be.
    """
    flow = net_flow(bid[:, None], bid_qty[:, None], ask[:, None], ask_qty[:, None])
    tape = BookTape(
        ts_ms, bid[:, None], bid_qty[:, None], ask[:, None], ask_qty[:, None], flow, ts_ms.shape[0]
    )
    _check_books(tape, locked=True)
    return tape


def net_flow(bid: Matrix, bid_qty: Matrix, ask: Matrix, ask_qty: Matrix) -> Matrix:
    """Return the flow between consecutive books, whatever happened within: (n_books, n_levels).

    The first row is 0, and so is a level that one of two books does not have.
    """
    flow = np.zeros_like(bid)
    _between(bid, bid_qty, ask, ask_qty, flow)
    return flow


def _check_ids(first: IntColumn, last: IntColumn, previous: IntColumn, snapshot_id: int) -> None:
    told = previous >= 0
    follows = np.where(told[1:], previous[1:] == last[:-1], first[1:] == last[:-1] + 1)
    if not follows.all():
        at = int(np.flatnonzero(~follows)[0])
        raise BrokenBook(
            f"update ids break: message {at + 2} starts at {int(first[at + 1])}, "
            f"allowed: right after {int(last[at])}"
        )
    if int(first[0]) > snapshot_id + 1 and not (told[0] and int(previous[0]) <= snapshot_id):
        raise BrokenBook(
            f"first update id after the snapshot was {int(first[0])}, "
            f"allowed: at most {snapshot_id + 1}"
        )


def _check_books(tape: BookTape, *, locked: bool = False) -> None:
    # written so that NaN, a side without levels, fails too
    bid, ask = tape.bid_price[:, 0], tape.ask_price[:, 0]
    wrong = ~(bid <= ask) if locked else ~(bid < ask)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise BrokenBook(
            f"book {at + 1} has bid {tape.bid_price[at, 0]}, allowed: below its ask "
            f"{tape.ask_price[at, 0]}"
        )


@kernel
def _top(
    prices: FloatColumn, sizes: FloatColumn, start: int, step: int, price: FloatColumn,
    qty: FloatColumn,
) -> int:  # fmt: skip
    """Fill the best levels found from ``start`` on; returns where the best one is."""
    found, best, at = 0, -1, start
    while 0 <= at < prices.shape[0] and found < price.shape[0]:
        if sizes[at] > 0.0:
            if found == 0:
                best = at
            price[found], qty[found] = prices[at], sizes[at]
            found += 1
        at += step
    price[found:], qty[found:] = np.nan, np.nan
    return best


@kernel
def _replay(
    prices: FloatColumn,
    sizes: Matrix,
    place: IntColumn,
    side: IntColumn,
    qty: FloatColumn,
    ends: IntColumn,
    books: npt.NDArray[np.float64],
    flow: Matrix,
) -> None:
    n_levels = flow.shape[1]
    price, size = np.empty((2, n_levels)), np.empty((2, n_levels))
    old_price, old_size = np.empty(n_levels), np.empty(n_levels)
    best = np.empty(2, dtype=np.int64)
    best[0] = _top(prices, sizes[0], prices.shape[0] - 1, -1, price[0], size[0])
    best[1] = _top(prices, sizes[1], 0, 1, price[1], size[1])
    begin = 0
    for book in range(ends.shape[0]):
        for row in range(begin, ends[book]):
            s = 0 if side[row] > 0 else 1
            step = -1 if s == 0 else 1
            at = place[row]
            sizes[s, at] = qty[row]
            worst = price[s, n_levels - 1]
            if not np.isnan(worst) and (prices[at] - worst) * step > 0.0:
                continue  # behind the last level that is looked at
            old_price[:], old_size[:] = price[s], size[s]
            start = best[s]
            if start < 0 or (at - start) * step < 0:
                start = at
            best[s] = _top(prices, sizes[s], start, step, price[s], size[s])
            for level in range(n_levels):
                before, now = old_price[level], price[s, level]
                if np.isnan(before) or np.isnan(now):
                    continue
                if s == 0:
                    flow[book, level] += _bid_flow(before, old_size[level], now, size[s, level])
                else:
                    flow[book, level] += _ask_flow(before, old_size[level], now, size[s, level])
        begin = ends[book]
        books[0, book], books[1, book] = price[0], size[0]
        books[2, book], books[3, book] = price[1], size[1]


@kernel
def _between(bid: Matrix, bid_qty: Matrix, ask: Matrix, ask_qty: Matrix, flow: Matrix) -> None:
    for t in range(1, bid.shape[0]):
        for i in range(bid.shape[1]):
            if np.isnan(bid[t, i] + bid[t - 1, i] + ask[t, i] + ask[t - 1, i]):
                continue
            flow[t, i] = _bid_flow(
                bid[t - 1, i], bid_qty[t - 1, i], bid[t, i], bid_qty[t, i]
            ) + _ask_flow(ask[t - 1, i], ask_qty[t - 1, i], ask[t, i], ask_qty[t, i])
