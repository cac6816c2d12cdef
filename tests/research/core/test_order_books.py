"""Books rebuilt from updates: against a book kept the slow way, and against recorded books."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.order_flow import ask_flow, bid_flow
from research.core.order_books import (
    BookTape,
    BrokenBook,
    DepthUpdates,
    from_quotes,
    net_flow,
    rebuild,
)
from research.order_book_files import read_depth


def updates(seed: int, messages: int = 200, *, futures: bool = False) -> DepthUpdates:
    """A snapshot of 12 levels a side, then messages of 1 to 6 changed levels near the middle.

    Bids stay at or below 99.9 and asks at or above 100.1, and the outer levels never go: no book
    is crossed or one-sided. Two messages from before the snapshot come first.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(12):
        rows.append((1_000, 100, 100, -1, 1, 99.9 - i / 10, 5.0 + i, True))
        rows.append((1_000, 100, 100, -1, -1, 100.1 + i / 10, 5.0 + i, True))
    last = 97
    for message in range(messages):
        first = last + 1
        previous = last if futures else -1
        last = first + int(rng.integers(0, 3))
        for _ in range(int(rng.integers(1, 7))):
            side, level = int(rng.choice((-1, 1))), int(rng.integers(0, 11))
            price = 99.9 - level / 10 if side > 0 else 100.1 + level / 10
            qty = 0.0 if rng.random() < 0.4 else float(rng.integers(1, 20))
            at_ms = 1_000 + 100 * message
            rows.append((at_ms, first, last, previous, side, round(price, 1), qty, False))
    columns = list(zip(*rows, strict=True))
    ints = [np.array(columns[i], dtype=np.int64) for i in range(5)]
    return DepthUpdates(
        *ints, np.array(columns[5]), np.array(columns[6]), np.array(columns[7], dtype=np.bool_)
    )


def slow(given: DepthUpdates, levels: int) -> list[tuple[list[float], list[float]]]:
    """Best levels (bids, asks) and their flow after each message, by dictionaries."""
    books: dict[int, dict[float, float]] = {1: {}, -1: {}}
    snapshot_id = int(given.last[given.is_snapshot].max())

    def best(side: int) -> list[tuple[float, float]]:
        return sorted(books[side].items(), reverse=side > 0)[:levels]

    found: list[tuple[list[float], list[float]]] = []
    flow, open_id = [0.0] * levels, None
    for i in range(len(given.ts_ms)):
        side, price, qty = int(given.side[i]), float(given.price[i]), float(given.qty[i])
        if not given.is_snapshot[i] and given.last[i] <= snapshot_id:
            continue
        if not given.is_snapshot[i] and open_id not in (None, int(given.last[i])):
            found.append((flat(best(1), best(-1)), flow))
            flow = [0.0] * levels
        before = best(side)
        if qty == 0.0:
            books[side].pop(price, None)
        else:
            books[side][price] = qty
        if given.is_snapshot[i]:
            continue
        open_id = int(given.last[i])
        kind = bid_flow if side > 0 else ask_flow
        for level, (old, new) in enumerate(zip(before, best(side), strict=False)):
            flow[level] += kind(*old, *new)
    found.append((flat(best(1), best(-1)), flow))
    return found


def flat(bids: list[tuple[float, float]], asks: list[tuple[float, float]]) -> list[float]:
    return [number for level in (*bids, *asks) for number in level]


def rows_of(tape: BookTape) -> list[list[float]]:
    found = []
    for t in range(len(tape.ts_ms)):
        bids = zip(tape.bid_price[t], tape.bid_qty[t], strict=True)
        asks = zip(tape.ask_price[t], tape.ask_qty[t], strict=True)
        levels = [(p, q) for p, q in (*bids, *asks) if not np.isnan(p)]
        found.append([float(number) for level in levels for number in level])
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("futures", [False, True])
def test_rebuilt_books_and_flows_are_those_of_a_book_kept_by_hand(seed: int, futures: bool) -> None:
    """ORC-09: every level, every size, every event."""
    given = updates(seed, futures=futures)
    tape, expected = rebuild(given, 5), slow(given, 5)
    assert rows_of(tape) == [book for book, _ in expected]
    np.testing.assert_allclose(tape.flow, [flow for _, flow in expected], atol=1e-12)


def test_messages_older_than_the_snapshot_are_dropped() -> None:
    """ORC-09: two of the messages end at or before the snapshot's id."""
    given = updates(1)
    old = ~given.is_snapshot & (given.last <= 100)
    assert old.any()
    tape = rebuild(given)
    assert tape.n_events == int((~given.is_snapshot & ~old).sum())
    assert int(tape.ts_ms[0]) > int(given.ts_ms[old].max())


def test_a_missing_message_is_told_and_not_bridged() -> None:
    """ORC-09: a book with a hole in it is wrong from there on."""
    for futures in (False, True):
        given = updates(2, futures=futures)
        ids = np.unique(given.last[~given.is_snapshot])
        kept = given.last != ids[60]
        parts = {name: getattr(given, name)[kept] for name in DepthUpdates.__slots__}
        with pytest.raises(BrokenBook, match="ids break"):
            rebuild(DepthUpdates(**parts))


def test_updates_that_start_after_the_snapshot_are_refused() -> None:
    """ORC-09"""
    given = updates(3)
    early = replace(given, last=np.where(given.is_snapshot, 90, given.last))
    with pytest.raises(BrokenBook, match="first update id"):
        rebuild(early)


def test_a_file_without_a_snapshot_or_without_updates_is_refused() -> None:
    """ORC-09"""
    given = updates(4)
    with pytest.raises(BrokenBook, match="snapshot rows were 0"):
        rebuild(replace(given, is_snapshot=np.zeros_like(given.is_snapshot)))
    with pytest.raises(BrokenBook, match="were 0, allowed: some"):
        rebuild(replace(given, last=np.where(given.is_snapshot, given.last, 100)))


def test_a_crossed_book_is_refused() -> None:
    """ORC-09"""
    given = updates(5)
    crossing = given.price.copy()
    crossing[np.flatnonzero(~given.is_snapshot & (given.side > 0) & (given.qty > 0))[5:]] = 100.3
    with pytest.raises(BrokenBook, match="allowed: below its ask"):
        rebuild(replace(given, price=crossing))


def test_quotes_are_books_of_one_level() -> None:
    """ORC-09, D-53: the first quote has no flow; a locked market is a market, a crossed is not."""
    ts_ms = np.array([1, 2, 3])
    bid, ask = np.array([100.0, 100.0, 101.0]), np.array([101.0, 101.0, 101.0])
    sizes = np.array([5.0, 7.0, 2.0]), np.array([4.0, 3.0, 3.0])
    tape = from_quotes(ts_ms, bid, sizes[0], ask, sizes[1])
    assert tape.flow[:, 0].tolist() == [0.0, 2.0 + 1.0, 2.0]
    with pytest.raises(BrokenBook):
        from_quotes(ts_ms, bid + 2.0, sizes[0], ask, sizes[1])


def test_netted_flow_forgets_what_came_and_went_within_a_message() -> None:
    """ORC-09: the events of a message and the difference of its books are two measures."""
    tape = rebuild(updates(6), 5)
    netted = net_flow(tape.bid_price, tape.bid_qty, tape.ask_price, tape.ask_qty)
    assert netted[0].tolist() == [0.0] * 5
    assert not np.allclose(netted[1:], tape.flow[1:])


@pytest.mark.parametrize("market", ["binance_spot_BTCUSDT", "binance_um_BTCUSDT"])
def test_rebuilt_books_are_the_recorded_ones(market_data: Path, market: str) -> None:
    """ORC-09: ten levels a side after each message, as an independent reader derived them."""
    polars = pytest.importorskip("polars")
    folder = market_data / "l2"
    tape = read_depth(str(folder / f"{market}_20240808_depth.parquet"))
    recorded = polars.read_parquet(folder / f"{market}_20240808_book10.parquet")
    assert tape.ts_ms.tolist() == recorded["timestamp"].to_list()
    for name, matrix in (
        ("bid_px", tape.bid_price),
        ("bid_qty", tape.bid_qty),
        ("ask_px", tape.ask_price),
        ("ask_qty", tape.ask_qty),
    ):
        for level in range(10):
            np.testing.assert_array_equal(matrix[:, level], recorded[f"{name}_{level}"].to_numpy())
