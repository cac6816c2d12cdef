"""The practice exchange spoken to by the unmodified ccxt client, over real sockets."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import ccxt
import pytest

from engine.matching import walk_book
from engine.quality import bar_at
from engine.types.opinions import Side
from market.sources.ccxt_poll import book_of, instrument_of
from market.sources.synthetic import synthetic_bars, synthetic_book
from tests.practice_process import AdminError, PracticeProcess

BTC = "BTC/USDT"
START_MS = 1_704_067_200_000


def order_id(n: int, prefix: str = "a1b2c3") -> str:
    return f"{prefix}{n:026x}"


def place(client: Any, n: int, side: str, amount: float, price: float | None = None) -> Any:
    kind = "market" if price is None else "limit"
    return client.create_order(BTC, kind, side, amount, price, {"clientOrderId": order_id(n)})


def last_price(client: Any) -> float:
    return float(client.fetch_ticker(BTC)["last"])


def test_markets_carry_exact_filters(client: Any) -> None:
    instrument = instrument_of(client.load_markets(), BTC)
    assert instrument.tick_size == Decimal("0.01")
    assert instrument.lot_size == Decimal("0.00001")
    assert instrument.min_notional_quote == Decimal(5)


def test_candles_are_bit_for_bit_the_seeded_bars(practice: PracticeProcess, client: Any) -> None:
    """I-26: what replay generates and what the wire carries are the same floats."""
    rows = client.fetch_ohlcv(BTC, "1m", START_MS, 1000)
    bars = synthetic_bars(1, BTC, START_MS, 60_000, 1000)
    assert len(rows) == 1000
    for i, row in enumerate(rows):
        bar = bar_at(bars, i)
        assert row == [bar.ts_ms, bar.open, bar.high, bar.low, bar.close, bar.volume]


def test_three_thousand_bars_of_history_are_served_at_the_start(client: Any) -> None:
    """D-24."""
    pages = [client.fetch_ohlcv(BTC, "1m", START_MS + i * 60_000_000, 1000) for i in range(3)]
    assert sum(len(page) for page in pages) == 3000


def test_the_newest_candle_is_unclosed_and_knows_nothing_of_its_future(
    practice: PracticeProcess, client: Any
) -> None:
    """F-066."""
    *_, closed, forming = client.fetch_ohlcv(BTC, "1m", None, 3)
    assert forming[0] == practice.status()["close_ms"]
    assert forming[1:] == [closed[4]] * 4 + [0.0]


def test_longer_candles_are_joined_from_the_bars_within(client: Any) -> None:
    minutes = client.fetch_ohlcv(BTC, "1m", START_MS, 10)
    five, _ = client.fetch_ohlcv(BTC, "5m", START_MS, 2)
    assert five[1] == minutes[0][1]
    assert five[2] == max(row[2] for row in minutes[:5])
    assert five[3] == min(row[3] for row in minutes[:5])
    assert five[4] == minutes[4][4]


def test_order_book_is_the_seeded_book_of_the_last_closed_bar(
    practice: PracticeProcess, client: Any
) -> None:
    """D-25, I-26."""
    client.load_markets()
    close_ms = practice.status()["close_ms"]
    count = practice.status()["bars"][BTC]
    bar = bar_at(synthetic_bars(1, BTC, START_MS, 60_000, count), count - 1)
    book = book_of(client.fetch_order_book(BTC), close_ms)
    assert book == synthetic_book(1, instrument_of(client.markets, BTC), bar, close_ms)
    assert len(book.bids) >= 10
    assert len(book.asks) >= 10


def test_public_trades_sum_to_the_bar(practice: PracticeProcess, client: Any) -> None:
    close_ms = practice.status()["close_ms"]
    row = client.fetch_ohlcv(BTC, "1m", close_ms - 60_000, 1)[0]
    trades = client.fetch_trades(BTC, close_ms - 60_000, 1000)
    assert sum(Decimal(str(t["amount"])) for t in trades) == Decimal(repr(row[5]))
    assert (trades[0]["price"], trades[-1]["price"]) == (row[1], row[4])


def test_market_order_fills_by_walking_the_visible_book(
    practice: PracticeProcess, client: Any
) -> None:
    """D-25: the taker's price is the replay's price."""
    client.load_markets()
    instrument = instrument_of(client.markets, BTC)
    book = book_of(client.fetch_order_book(BTC), 0)
    quantity = 0.1
    order = place(client, 1, "buy", quantity)
    expected = walk_book(Side.BUY, Decimal("0.1"), book, instrument)
    fills = [(Decimal(t["info"]["price"]), Decimal(t["info"]["qty"])) for t in order["trades"]]
    assert fills == list(expected)
    assert order["status"] == "closed"
    assert place(client, 2, "sell", quantity)["status"] == "closed"


def test_fees_of_ten_basis_points_are_charged_in_quote(client: Any) -> None:
    before = client.fetch_balance()["USDT"]["free"]
    order = place(client, 3, "buy", 0.01)
    after = client.fetch_balance()
    fee = Decimal(str(order["cost"])) * Decimal("0.001")
    assert Decimal(str(order["fee"]["cost"])) == fee.quantize(Decimal("0.00000001"))
    assert order["fee"]["currency"] == "USDT"
    paid = Decimal(str(before)) - Decimal(str(after["USDT"]["free"]))
    assert abs(paid - Decimal(str(order["cost"])) - fee) < Decimal("0.00000002")
    assert after["BTC"]["total"] == 0.01
    place(client, 4, "sell", 0.01)


def test_limit_order_rests_holds_its_money_and_gives_it_back(client: Any) -> None:
    before = client.fetch_balance()["USDT"]
    price = float(client.price_to_precision(BTC, last_price(client) * 0.5))
    order = place(client, 5, "buy", 0.01, price)
    held = client.fetch_balance()["USDT"]
    assert order["status"] == "open"
    assert held["used"] == pytest.approx(0.01 * price * 1.001)
    assert [o["clientOrderId"] for o in client.fetch_open_orders(BTC)] == [order_id(5)]
    by_id = {"origClientOrderId": order_id(5)}
    assert client.cancel_order(None, BTC, by_id)["status"] == "canceled"
    assert client.fetch_order(None, BTC, by_id)["status"] == "canceled"
    assert client.fetch_balance()["USDT"] == before


def test_resting_order_is_filled_by_the_bar_that_touches_it(
    practice: PracticeProcess, client: Any
) -> None:
    best_bid = client.fetch_order_book(BTC)["bids"][0][0]
    order = place(client, 6, "buy", 0.001, best_bid)
    assert order["status"] == "open"
    for _ in range(200):
        practice.step()
        found = client.fetch_order(order["id"], BTC)
        if found["status"] == "closed":
            break
    trade = next(t for t in client.fetch_my_trades(BTC) if t["order"] == order["id"])
    row = client.fetch_ohlcv(BTC, "1m", trade["timestamp"] - 60_000, 1)[0]
    assert trade["takerOrMaker"] == "maker"
    assert trade["price"] == min(best_bid, row[1])
    assert row[3] <= trade["price"]
    place(client, 7, "sell", 0.001)


def test_stop_loss_waits_then_sells_when_the_price_falls_through_it(
    practice: PracticeProcess, client: Any
) -> None:
    place(client, 8, "buy", 0.001)
    stop = float(client.price_to_precision(BTC, last_price(client) * 0.9995))
    params = {"clientOrderId": order_id(9), "stopLossPrice": stop}
    order = client.create_order(BTC, "market", "sell", 0.001, None, params)
    assert order["status"] == "open"
    for _ in range(500):
        practice.step()
        if client.fetch_order(order["id"], BTC)["status"] == "closed":
            break
    trade = next(t for t in client.fetch_my_trades(BTC) if t["order"] == order["id"])
    assert trade["price"] <= stop


def test_stop_that_would_trigger_at_once_is_refused(client: Any) -> None:
    stop = float(client.price_to_precision(BTC, last_price(client) * 1.01))
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        client.create_order(BTC, "market", "sell", 0.001, None, {"stopLossPrice": stop})


def test_immediate_or_cancel_takes_what_is_there_and_never_rests(client: Any) -> None:
    book = client.fetch_order_book(BTC)
    price, available = book["asks"][0]
    amount = float(client.amount_to_precision(BTC, min(0.15, available + 0.05)))
    params = {"timeInForce": "IOC", "clientOrderId": order_id(10)}
    order = client.create_order(BTC, "limit", "buy", amount, price, params)
    assert order["filled"] == min(amount, available)
    assert order["status"] == ("closed" if amount <= available else "expired")
    assert client.fetch_open_orders(BTC) == []
    place(client, 11, "sell", order["filled"])


def test_fill_or_kill_fills_all_or_nothing(client: Any) -> None:
    price = client.fetch_order_book(BTC)["bids"][0][0]
    params = {"timeInForce": "FOK", "clientOrderId": order_id(12)}
    order = client.create_order(BTC, "limit", "buy", 0.001, price, params)
    assert (order["status"], order["filled"]) == ("expired", 0.0)


def test_post_only_order_that_would_take_is_refused(client: Any) -> None:
    price = client.fetch_order_book(BTC)["asks"][0][0]
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        client.create_order(BTC, "limit", "buy", 0.001, price, {"postOnly": True})


def test_market_order_by_cost_spends_no_more_than_asked(client: Any) -> None:
    order = client.create_order(BTC, "market", "buy", 1, None, {"cost": 50})
    assert 45 < order["cost"] <= 50
    place(client, 13, "sell", order["filled"])


def test_open_client_id_is_refused_and_a_closed_one_is_taken_again(client: Any) -> None:
    """F-063: Binance keeps client ids unique among open orders only."""
    price = float(client.price_to_precision(BTC, last_price(client) * 0.5))
    place(client, 14, "buy", 0.001, price)
    with pytest.raises(ccxt.InvalidOrder, match="Duplicate"):
        place(client, 14, "buy", 0.001, price)
    client.cancel_order(None, BTC, {"origClientOrderId": order_id(14)})
    assert place(client, 14, "buy", 0.001)["status"] == "closed"
    place(client, 15, "sell", 0.001)


@pytest.mark.parametrize(
    ("amount", "price", "error"),
    [
        (0.000001, None, ccxt.InvalidOrder),
        (0.00001, None, ccxt.BadRequest),
        (10.0, None, ccxt.InsufficientFunds),
        (0.001, 100.001, ccxt.InvalidOrder),
    ],
    ids=["below the lot", "below the notional", "above the balance", "off the tick"],
)
def test_filters_and_balance_refuse_with_the_venues_codes(
    practice: PracticeProcess, client: Any, amount: float, price: float | None, error: type
) -> None:
    before = len(practice.ledger()["orders"])
    request = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "MARKET" if price is None else "LIMIT",
        "quantity": f"{amount:.8f}",
    }
    if price is not None:
        request |= {"price": str(price), "timeInForce": "GTC"}
    with pytest.raises(error):
        client.private_post_order(request)
    assert len(practice.ledger()["orders"]) == before


def test_unknown_symbol_and_unknown_order_have_their_own_errors(client: Any) -> None:
    client.load_markets()
    with pytest.raises(ccxt.BadSymbol):
        client.public_get_depth({"symbol": "NOPEUSDT"})
    with pytest.raises(ccxt.OrderNotFound):
        client.fetch_order(None, BTC, {"origClientOrderId": order_id(999)})
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order(None, BTC, {"origClientOrderId": order_id(999)})


def test_wrong_key_secret_or_clock_is_refused(practice: PracticeProcess) -> None:
    with pytest.raises(ccxt.AuthenticationError, match="-2015"):
        practice.client(key="other").fetch_balance()
    with pytest.raises(ccxt.AuthenticationError, match="-1022"):
        practice.client(secret="other").fetch_balance()
    late = practice.client()
    late.options["timeDifference"] = 60_000
    with pytest.raises(ccxt.InvalidNonce, match="-1021"):
        late.fetch_balance()


def test_client_that_sets_its_clock_by_the_virtual_one_is_let_in(client: Any) -> None:
    """D-24: the venue's time is virtual; a request's age is judged in wall time."""
    client.load_time_difference()
    assert abs(client.options["timeDifference"]) > 86_400_000
    assert client.fetch_balance()["USDT"]["total"] > 0


def test_used_weight_is_told_in_a_header(client: Any) -> None:
    client.load_markets()
    client.fetch_time()
    first = int(client.last_response_headers["X-Mbx-Used-Weight-1m"])
    client.fetch_order_book(BTC)
    assert int(client.last_response_headers["X-Mbx-Used-Weight-1m"]) == first + 5


def test_trades_and_orders_can_be_paged_from_an_id(client: Any) -> None:
    place(client, 16, "buy", 0.001)
    place(client, 17, "sell", 0.001)
    newest = max(int(t["id"]) for t in client.fetch_my_trades(BTC))
    later = client.fetch_my_trades(BTC, None, None, {"fromId": newest})
    assert [int(t["id"]) for t in later] == [newest]
    orders = client.fetch_orders(BTC)
    assert orders[-1]["clientOrderId"] == order_id(17)


async def test_the_async_client_trades_too(practice: PracticeProcess) -> None:
    client = practice.client("async")
    try:
        await client.load_markets()
        rows = await client.fetch_ohlcv(BTC, "1m", limit=5)
        order = await client.create_order(BTC, "market", "buy", 0.001)
        await client.create_order(BTC, "market", "sell", 0.001)
    finally:
        await client.close()
    assert len(rows) == 5
    assert order["status"] == "closed"


def test_deposits_and_withdrawals_are_listed_and_move_the_balance(
    practice: PracticeProcess, client: Any
) -> None:
    """D-59: the fee of a withdrawal goes besides; one on its way has moved nothing yet."""
    before = client.fetch_balance()["USDT"]["total"]
    since = practice.status()["server_time_ms"]
    practice.admin("POST", "/transfer", {"asset": "USDT", "amount": "250.5"})
    practice.admin("POST", "/transfer", {"asset": "USDT", "amount": "-100", "fee": "1.5"})
    practice.admin("POST", "/transfer", {"asset": "USDT", "amount": "7", "done": False})
    assert client.fetch_balance()["USDT"]["total"] == pytest.approx(before + 149)
    came = client.fetch_deposits(None, since)
    assert sorted((d["amount"], d["status"]) for d in came) == [(7.0, "pending"), (250.5, "ok")]
    (went,) = client.fetch_withdrawals(None, since)
    assert (went["amount"], went["fee"]["cost"], went["status"]) == (100.0, 1.5, "ok")
    assert went["timestamp"] == since // 1000 * 1000
    assert client.fetch_deposits("BTC", since) == []


@pytest.mark.parametrize(
    "body",
    [
        {"asset": "XRP", "amount": "1"},
        {"asset": "USDT", "amount": "0"},
        {"asset": "USDT", "amount": "5", "fee": "1"},
        {"asset": "USDT", "amount": "-100000000"},
    ],
)
def test_an_impossible_transfer_is_refused_with_one_line(
    practice: PracticeProcess, body: dict[str, str]
) -> None:
    with pytest.raises(AdminError, match="allowed:"):
        practice.admin("POST", "/transfer", body)
