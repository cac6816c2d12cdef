from __future__ import annotations

from decimal import Decimal

import pytest

from engine.types.opinions import Side
from engine.types.orders import OrderStatus, OrderType
from market.ccxt_client import build_client
from tests.trades.order_factory import make_intent
from trades.brokers.ccxt_values import (
    client_id_in,
    client_id_out,
    order_arguments,
    order_word,
    trade_value,
)


def test_market_order_carries_no_price_and_its_exact_quantity() -> None:
    """A price would make ccxt read amount x price as money to spend."""
    intent = make_intent(quantity="0.00010")
    arguments, params = order_arguments("binance", intent)
    assert arguments == ("BTC/USDT", "market", "buy", "0.00010", None)
    assert params == {"clientOrderId": intent.client_order_id}


@pytest.mark.parametrize("kind", [OrderType.LIMIT, OrderType.STOP])
def test_order_without_its_price_is_refused_before_the_wire(kind: OrderType) -> None:
    with pytest.raises(ValueError, match="needs its price, was None"):
        order_arguments("binance", make_intent(kind=kind))


@pytest.mark.parametrize("exchange", ["binance", "coinbase"])
def test_client_id_survives_the_venues_spelling(exchange: str) -> None:
    """D-19."""
    ours = make_intent().client_order_id
    assert client_id_in(exchange, client_id_out(exchange, ours)) == ours


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ({"status": "open", "filled": 0.0, "amount": 1.0}, OrderStatus.OPEN),
        ({"status": "open", "filled": 0.5, "amount": 1.0}, OrderStatus.PARTIAL),
        ({"status": "closed", "filled": 1.0, "amount": 1.0}, OrderStatus.FILLED),
        ({"status": "closed", "filled": 0.5, "amount": 1.0}, OrderStatus.CANCELED),
        ({"status": "canceled", "filled": 0.5, "amount": 1.0}, OrderStatus.CANCELED),
        ({"status": "expired", "filled": 0.0, "amount": 1.0}, OrderStatus.EXPIRED),
        ({"status": "rejected", "filled": 0.0, "amount": 1.0}, OrderStatus.REJECTED),
        ({"status": None, "filled": None, "amount": None}, OrderStatus.OPEN),
    ],
)
def test_venues_word_on_an_order(row: dict, status: OrderStatus) -> None:
    assert order_word("binance", {"id": "7", "clientOrderId": "x", **row}).status is status


@pytest.mark.parametrize("state", ["effective", "canceled"])
def test_no_filled_amount_of_an_algo_row_is_believed(state: str) -> None:
    """F-014: OKX says of a triggered stop only that another order took its place."""
    raw = {"algoId": "7", "algoClOrdId": "x", "state": state, "sz": "1", "ordType": "trigger"}
    row = build_client("okx").parse_order({**raw, "side": "sell", "instId": "BTC-USDT"})
    word = order_word("okx", row)
    assert word.filled_base == 0
    ended = {"effective": OrderStatus.FILLED, "canceled": OrderStatus.CANCELED}
    assert word.status is ended[state], "the child's fills end what was triggered"


def test_trade_keeps_its_digits_and_its_fee_asset() -> None:
    """F-020: a fee in the base asset stays one."""
    row = {
        "id": "9",
        "order": "7",
        "symbol": "BTC/USDT",
        "side": "sell",
        "price": 50000.1,
        "amount": 0.00003,
        "fee": {"cost": 3e-08, "currency": "BTC"},
        "timestamp": 5,
        "takerOrMaker": "maker",
    }
    trade = trade_value(row, "USDT")
    assert (trade.side, trade.is_maker, trade.fee_asset) == (Side.SELL, True, "BTC")
    assert (trade.price, trade.quantity_base) == (Decimal("50000.1"), Decimal("0.00003"))
    assert trade.fee == Decimal("0.00000003")
