"""Example messages of the venues through ccxt's own parsers and then into our values (D-52)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.types.orders import OrderStatus, Rejection, Unanswered
from market.ccxt_client import build_client
from market.sources.ccxt_poll import instrument_of
from market.venues import VENUES
from tests.trades.order_factory import make_intent
from tests.venue_stub import venue_stub
from trades.brokers.ccxt_values import order_word, trade_value
from trades.brokers.venue_client import VenueClient

Messages = Callable[[str, str], Any]


@pytest.fixture(scope="module")
def message(market_data: Path) -> Messages:
    """Return a message by venue and file name, each venue's file read once."""
    read: dict[str, dict[str, Any]] = {}

    def get(venue: str, name: str) -> Any:
        if venue not in read:
            with gzip.open(market_data / "protocol" / f"nautilus_{venue}.json.gz") as file:
                read[venue] = json.load(file)
        return json.loads(json.dumps(read[venue][f"{name}.json"]))

    return get


def spot(client: Any, venue_id: str, base: str, quote: str) -> None:
    """Give a client one spot market, as load_markets would."""
    market = client.safe_market_structure(
        {
            "id": venue_id,
            "symbol": f"{base}/{quote}",
            "base": base,
            "quote": quote,
            "baseId": base,
            "quoteId": quote,
            "type": "spot",
            "spot": True,
            "contract": False,
        }
    )
    known = list((client.markets or {}).values())
    client.set_markets([*known, market])


def test_binance_order_trade_and_balance(message: Messages) -> None:
    client = build_client("binance")
    spot(client, "LTCBTC", "LTC", "BTC")
    spot(client, "BNBBTC", "BNB", "BTC")
    word = order_word(
        "binance", client.parse_order(message("binance", "spot/http_json/order_response"))
    )
    assert (word.client_order_id, word.venue_order_id) == ("myOrder1", "1")
    assert (word.status, word.filled_base) == (OrderStatus.OPEN, Decimal("0.0"))
    (raw,) = message("binance", "spot/http_json/account_trades_response")
    trade = trade_value(client.parse_trade(raw), "BTC")
    assert (trade.trade_id, trade.venue_order_id, trade.fee_asset) == ("28457", "100234", "BNB")
    assert (trade.price, trade.quantity_base) == (Decimal("4.000001"), Decimal("12.0"))
    assert trade.fee == Decimal("10.1")
    replies = {"api__v3__account": message("binance", "spot/http_json/account_response")}
    with venue_stub("binance", **replies) as stub:
        held = VenueClient(stub.client("binance")).balances()
    assert held["BTC"] == Decimal("4723846.89208129")
    (bar,) = client.parse_ohlcvs(message("binance", "spot/http_json/klines_response"))
    assert bar == [1499040000000, 0.0163479, 0.8, 0.015758, 0.015771, 148976.11427815]


def test_bybit_order_refused_after_a_part_filled_keeps_the_part(message: Messages) -> None:
    """F-014: the fills of a refused order are still ours."""
    client = build_client("bybit")
    spot(client, "BTCUSDT", "BTC", "USDT")
    (raw,) = message("bybit", "http_get_order_partially_filled_rejected")["result"]["list"]
    word = order_word("bybit", client.parse_order(raw))
    assert word.client_order_id == "O-20251001-164609-APEX-000-49"
    assert (word.status, word.filled_base) == (OrderStatus.REJECTED, Decimal("0.005"))
    (raw,) = message("bybit", "http_get_orders_history")["result"]["list"]
    assert order_word("bybit", client.parse_order(raw)).status is OrderStatus.CANCELED


def test_bybit_execution_balance_and_instrument(message: Messages) -> None:
    client = build_client("bybit")
    spot(client, "BTCUSDT", "BTC", "USDT")
    raw = message("bybit", "http_get_executions")["result"]["list"][0]
    trade = trade_value(client.parse_trade(raw), "USDT", "bybit")
    assert trade.venue_order_id == "8c065341-7b52-4ca9-ac2c-37e31ac55c94"
    assert (trade.price, trade.quantity_base) == (Decimal("50000.0"), Decimal("0.1"))
    assert (trade.fee, trade.fee_asset, trade.is_maker) == (Decimal("0.015"), "USDT", True)
    balance = client.parse_balance(message("bybit", "http_get_wallet_balance"))
    assert balance["USDT"]["total"] == 1000.5
    listed = message("bybit", "http_get_instruments_spot")
    with venue_stub("bybit", **{"v5__market__instruments-info": listed}) as stub:
        markets = stub.client("bybit").load_markets()
    instrument = instrument_of(markets, "BTC/USDT")
    assert (instrument.tick_size, instrument.lot_size) == (Decimal("0.1"), Decimal("0.0001"))
    assert instrument.min_notional_quote == Decimal("10.0"), "minOrderAmt is the minimum notional"
    assert instrument.min_quantity_base == Decimal("0.001")


def test_okx_order_trade_and_instrument(message: Messages) -> None:
    client = build_client("okx")
    spot(client, "BTC-USDT", "BTC", "USDT")
    (raw,) = message("okx", "http_get_orders_pending")["data"][:1]
    raw = {**raw, "instId": "BTC-USDT", "instType": "SPOT"}
    word = order_word("okx", client.parse_order(raw))
    assert (word.client_order_id, word.status) == ("client-order-1", OrderStatus.OPEN)
    trade = trade_value(client.parse_trade(message("okx", "http_transaction_detail")), "USDT")
    assert (trade.trade_id, trade.venue_order_id) == ("123456789", "987654321")
    assert trade.fee == Decimal("-0.042"), "okx: a positive fee is a rebate"
    listed = message("okx", "http_get_instruments_spot")
    with venue_stub("okx", api__v5__public__instruments=listed) as stub:
        markets = stub.client("okx").load_markets()
    instrument = instrument_of(markets, "BTC/USD")
    assert (instrument.tick_size, instrument.lot_size) == (Decimal("0.1"), Decimal("1e-8"))
    assert instrument.min_quantity_base == Decimal("1e-05")


def test_okx_child_of_a_stop_order_is_known_by_the_stops_own_id(message: Messages) -> None:
    """F-012: a stop that fired must not come back as a stranger's order."""
    client = build_client("okx")
    (raw,) = message("okx", "http_get_orders_pending")["data"][:1]
    row = client.parse_order({**raw, "clOrdId": "", "algoClOrdId": "ab" * 16})
    assert order_word("okx", row).client_order_id == "ab" * 16


def test_okx_refusal_inside_a_good_answer_is_a_refusal(message: Messages) -> None:
    """F-056: code 0 around, sCode 51000 inside, no order id."""
    refused = message("okx", "http_place_algo_order_rejected")
    with venue_stub("okx", **{"api__v5__trade__batch-orders": refused}) as stub:
        client = VenueClient(stub.client("okx"))
        client.load()
        answer = client.send(make_intent())
        refused["data"][0]["sCode"] = "51016"
        again = client.send(make_intent())
    assert isinstance(answer, Rejection)
    assert (answer.code, answer.message) == ("51000", "Parameter instId error")
    assert isinstance(again, Unanswered), "a duplicate id is already there"


def test_kraken_orders_trades_and_balance(message: Messages) -> None:
    """F-012: names of pairs and assets are Kraken's own until ccxt has read its lists."""
    listed = message("kraken", "http_asset_pairs")
    with venue_stub("kraken", **{"0__public__AssetPairs": listed}) as stub:
        client = stub.client("kraken")
        markets = client.load_markets()
    instrument = instrument_of(markets, "BTC/USDT")
    assert (instrument.tick_size, instrument.lot_size) == (Decimal("0.1"), Decimal("1e-08"))
    opened = message("kraken", "http_open_orders")["result"]["open"]
    row = {"id": "O26VBY-ISGAE-JP5TLU", **opened["O26VBY-ISGAE-JP5TLU"]}
    word = order_word("kraken", client.parse_order(row))
    assert (word.venue_order_id, word.status) == ("O26VBY-ISGAE-JP5TLU", OrderStatus.OPEN)
    assert word.client_order_id == ""
    raw = message("kraken", "http_trades_history")["result"]["trades"]["TCCCTY-WJ6EO-4FP4VZ"]
    trade = trade_value(client.parse_trade({"id": "TCCCTY-WJ6EO-4FP4VZ", **raw}), "USDT")
    assert (trade.venue_order_id, trade.symbol) == ("O26VBY-ISGAE-JP5TLU", "BTC/USDT")
    assert (trade.fee, trade.fee_asset, trade.is_maker) == (Decimal("23.6"), "USDT", True)
    assert trade.ts_ms == 1688585840892
    placed = client.parse_order(message("kraken", "http_add_order_spot")["result"])
    assert order_word("kraken", placed).venue_order_id == "OUF4EM-FRGI2-MQMWZD"


def test_bybit_key_is_read_as_what_it_may_do(message: Messages) -> None:
    """SEC-30: a read-only key may not trade; the right to withdraw is found where it is."""
    read = VENUES["bybit"].read_rights
    assert read is not None
    answer = message("bybit", "http_get_user_query_api")
    rights = read(answer)
    assert (rights.may_trade, rights.may_withdraw, rights.is_bound_to_addresses) == (
        False,
        False,
        True,
    )
    assert rights.account_id == str(answer["result"]["userID"]), "two keys of one account are told"
    answer["result"]["readOnly"] = 0
    answer["result"]["permissions"]["Wallet"].append("Withdraw")
    assert (read(answer).may_trade, read(answer).may_withdraw) == (True, True)


def test_binance_names_the_account_behind_a_key_with_its_balances(message: Messages) -> None:
    """D-59: two keys of one account are told by it."""
    answer = message("binance", "spot/http_json/account_response")
    with venue_stub("binance", api__v3__account=answer) as stub:
        client = stub.client("binance")
        client.fetch_balance = lambda: client.parse_balance_custom(answer, "spot", None, False)
        _, account_id = VenueClient(client).account()
    assert account_id == "354937868"
