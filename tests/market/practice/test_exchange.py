"""The exchange's rules on hand-made bars: triggers, gaps, money that runs out."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from engine.matching import FeeIn
from engine.types.bars import BarColumns
from market.practice.exchange import Exchange, Placed
from market.practice.ledger import Ledger, VenueOrder
from market.practice.problems import VenueError
from market.practice.request import read_order
from market.practice.tape import HistoryTape
from market.sources.history import History
from market.sources.instruments import instrument_for

SOL = "SOL/USDT"
MINUTE_MS = 60_000
START_MS = 1_700_000_040_000
Candle = tuple[float, float, float, float]
QUIET: Candle = (100.0, 100.5, 99.5, 100.0)


class Market:
    """An exchange over the given candles, standing at the close of the first."""

    def __init__(
        self, folder: Path, candles: Sequence[Candle], fee_in: FeeIn = FeeIn.QUOTE
    ) -> None:
        columns = np.array([QUIET, *candles], dtype=np.float64).T
        count = columns.shape[1]
        ts_ms = START_MS + np.arange(count, dtype=np.int64) * MINUTE_MS
        bars = BarColumns(ts_ms, *columns, np.full(count, 500.0), MINUTE_MS)
        history = History({SOL: bars}, {SOL: instrument_for(SOL)}, MINUTE_MS)
        self.ledger = Ledger(folder / "practice.sqlite3")
        self.close_ms = START_MS + MINUTE_MS
        self.exchange = Exchange(
            HistoryTape.of(history),
            self.ledger,
            seed=1,
            fee_in=fee_in,
            fill_fraction=lambda: Decimal(1),
            unique_forever=lambda: False,
        )
        with self.ledger.transaction():
            self.ledger.move("USDT", free=Decimal(10_000))
            self.ledger.move("SOL", free=Decimal(10))

    def place(self, side: str, kind: str, quantity: str = "1", **params: str) -> Placed:
        request = {"side": side, "type": kind, "quantity": quantity, "timeInForce": "GTC", **params}
        order = read_order(request, instrument_for(SOL), f"id{len(self.ledger.orders())}")
        return self.exchange.place(order, close_ms=self.close_ms, now_ms=self.close_ms)

    def step(self) -> None:
        self.close_ms += MINUTE_MS
        self.exchange.step(self.close_ms)

    def order(self, placed: Placed) -> VenueOrder:
        found = self.ledger.order_by_id(placed.order.order_id)
        assert found is not None
        return found

    def total(self, asset: str) -> Decimal:
        held = self.ledger.balance(asset)
        return held.free + held.locked


def test_limit_buy_gets_the_open_where_the_bar_gaps_below_it(tmp_path: Path) -> None:
    market = Market(tmp_path, [(95.0, 96.0, 94.0, 95.5)])
    placed = market.place("BUY", "LIMIT", price="98")
    market.step()
    (fill,) = market.ledger.fills()
    assert (fill.price, fill.is_maker, fill.ts_ms) == (Decimal(95), True, market.close_ms)
    assert market.order(placed).locked == 0
    assert market.ledger.balance("USDT").locked == 0


def test_stop_sell_gets_the_open_where_the_bar_gaps_through_it(tmp_path: Path) -> None:
    market = Market(tmp_path, [(90.0, 91.0, 89.0, 90.5)])
    placed = market.place("SELL", "STOP_LOSS", stopPrice="97")
    market.step()
    assert market.order(placed).status == "FILLED"
    assert market.ledger.fills()[0].price == Decimal(90)
    assert market.ledger.fills()[0].is_maker is False


def test_stop_limit_that_is_jumped_over_rests_until_the_price_comes_back(tmp_path: Path) -> None:
    market = Market(tmp_path, [(90.0, 91.0, 89.0, 90.5), (91.0, 97.0, 91.0, 96.5)])
    placed = market.place("SELL", "STOP_LOSS_LIMIT", stopPrice="97", price="96")
    market.step()
    assert (market.order(placed).status, market.order(placed).triggered) == ("NEW", True)
    market.step()
    assert market.order(placed).status == "FILLED"
    assert market.ledger.fills()[0].price == Decimal(96)


def test_take_profit_sells_at_its_price(tmp_path: Path) -> None:
    market = Market(tmp_path, [(100.0, 104.0, 99.0, 103.0)])
    placed = market.place("SELL", "TAKE_PROFIT", stopPrice="103")
    market.step()
    assert market.order(placed).status == "FILLED"
    assert market.ledger.fills()[0].price == Decimal(103)


def test_untouched_orders_stay_as_they_are(tmp_path: Path) -> None:
    market = Market(tmp_path, [(100.0, 101.0, 99.0, 100.0)])
    orders = [
        market.place("BUY", "LIMIT", price="98.99"),
        market.place("SELL", "LIMIT", price="101.01"),
        market.place("SELL", "STOP_LOSS", stopPrice="98.99"),
        market.place("BUY", "STOP_LOSS", stopPrice="101.01"),
        market.place("SELL", "TAKE_PROFIT", stopPrice="101.01"),
    ]
    market.step()
    assert {market.order(placed).status for placed in orders} == {"NEW"}
    assert market.ledger.fills() == []


def test_stop_buy_that_gaps_beyond_the_money_expires_and_gives_back_what_it_held(
    tmp_path: Path,
) -> None:
    market = Market(tmp_path, [(140.0, 141.0, 139.0, 140.0)])
    placed = market.place("BUY", "STOP_LOSS", quantity="95", stopPrice="101")
    market.step()
    assert market.order(placed).status == "EXPIRED"
    assert market.ledger.balance("USDT").free == Decimal(10_000)


def test_money_held_by_one_order_cannot_back_another(tmp_path: Path) -> None:
    market = Market(tmp_path, [])
    market.place("BUY", "LIMIT", quantity="80", price="98")
    with pytest.raises(VenueError, match="insufficient balance"):
        market.place("BUY", "LIMIT", quantity="80", price="98")
    with pytest.raises(VenueError, match="insufficient balance"):
        market.place("SELL", "LIMIT", quantity="10.001", price="110")
    assert len(market.ledger.orders()) == 1


def test_order_larger_than_the_book_is_filled_in_part_and_expires(tmp_path: Path) -> None:
    market = Market(tmp_path, [])
    with market.ledger.transaction():
        market.ledger.move("USDT", free=Decimal(10_000_000))
    placed = market.place("BUY", "MARKET", quantity="50000")
    assert placed.order.status == "EXPIRED"
    assert Decimal(0) < placed.order.executed < Decimal(50_000)
    assert placed.order.executed == sum(fill.quantity for fill in placed.fills)


@pytest.mark.parametrize(
    ("fee_in", "side", "asset"),
    [
        (FeeIn.QUOTE, "BUY", "USDT"),
        (FeeIn.RECEIVED, "BUY", "SOL"),
        (FeeIn.RECEIVED, "SELL", "USDT"),
        (FeeIn.BASE, "SELL", "SOL"),
    ],
)
def test_fee_is_taken_from_the_asset_it_is_charged_in(
    tmp_path: Path, fee_in: FeeIn, side: str, asset: str
) -> None:
    """F-020."""
    market = Market(tmp_path, [], fee_in)
    before = {name: market.total(name) for name in ("SOL", "USDT")}
    placed = market.place(side, "MARKET")
    sign = 1 if side == "BUY" else -1
    moved = {"SOL": sign * placed.order.executed, "USDT": -sign * placed.order.executed_quote}
    for name, change in moved.items():
        fees = sum((f.fee for f in placed.fills if f.fee_asset == name), Decimal(0))
        assert market.total(name) == before[name] + change - fees
        assert (fees > 0) is (name == asset)


def test_step_commits_fills_and_clock_together(tmp_path: Path) -> None:
    """A crash can leave neither a fill without its bar nor a bar without its fill."""
    market = Market(tmp_path, [(95.0, 96.0, 94.0, 95.5)])
    market.place("BUY", "LIMIT", price="98")
    other = Ledger(tmp_path / "practice.sqlite3")
    assert (other.meta("close_ms"), other.fills()) == (None, [])
    market.step()
    assert other.meta("close_ms") == str(market.close_ms)
    assert len(other.fills()) == 1


def test_failed_transaction_leaves_nothing_behind(tmp_path: Path) -> None:
    market = Market(tmp_path, [])
    with pytest.raises(RuntimeError), market.ledger.transaction():
        market.ledger.move("USDT", free=Decimal(1))
        raise RuntimeError("power")
    assert market.total("USDT") == Decimal(10_000)
