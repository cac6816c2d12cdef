"""Every fault verb does to the unmodified client what it says.

They show the injection; what the platform makes of each is shown by the tests of its rooms.
"""

from __future__ import annotations

from typing import Any

import ccxt
import pytest

from engine.types.orders import Rejection, Unanswered
from market.ccxt_client import Unavailable, ask
from tests.practice_process import AdminError, PracticeProcess

BTC = "BTC/USDT"
_ids = iter(range(1, 10_000))


def buy(client: Any, amount: float = 0.001, price: float | None = None) -> str:
    """Send an order under a new client id and return the id, whatever came back."""
    client_id = f"f0f0f0{next(_ids):026x}"
    kind = "market" if price is None else "limit"
    client.create_order(BTC, kind, "buy", amount, price, {"clientOrderId": client_id})
    return client_id


def known(practice: PracticeProcess) -> set[str]:
    return {order["client_id"] for order in practice.ledger()["orders"]}


def find(client: Any, client_id: str) -> Any:
    return client.fetch_order(None, BTC, {"origClientOrderId": client_id})


@pytest.fixture
def quick(practice: PracticeProcess) -> Any:
    """A client that waits half a second only."""
    client = practice.client(timeout_s=0.5)
    client.load_markets()
    return client


def test_order_accepted_but_unanswered_exists(practice: PracticeProcess, quick: Any) -> None:
    practice.fault("order.create", "accept_then_timeout", nth=1)
    before = known(practice)
    with pytest.raises(ccxt.RequestTimeout):
        buy(quick)
    (client_id,) = known(practice) - before
    assert find(quick, client_id)["status"] == "closed"


def test_dropped_order_does_not_exist(practice: PracticeProcess, quick: Any) -> None:
    practice.fault("order.create", "drop", nth=1)
    before = known(practice)
    with pytest.raises(ccxt.NetworkError):
        buy(quick)
    assert known(practice) == before


def test_delayed_order_times_out_and_is_still_made(practice: PracticeProcess, quick: Any) -> None:
    practice.fault("order.create", "delay", ms=1200, nth=1)
    before = known(practice)
    with pytest.raises(ccxt.RequestTimeout):
        buy(quick)
    assert known(practice) == before, "the request is still being held"
    while known(practice) == before:
        quick.fetch_time()


def test_not_found_lag_hides_an_order_that_exists(practice: PracticeProcess, client: Any) -> None:
    client_id = buy(client)
    practice.fault("order.query", "not_found_lag", lag_s=600)
    with pytest.raises(ccxt.OrderNotFound):
        find(client, client_id)
    practice.clear_faults()
    practice.fault("order.query", "not_found_lag", lag_s=0)
    assert find(client, client_id)["status"] == "closed"


@pytest.mark.parametrize("verb", ["5xx", "html"])
def test_server_errors_leave_a_write_ambiguous(
    practice: PracticeProcess, client: Any, verb: str
) -> None:
    """The venue may have accepted it, and here it has."""
    practice.fault("order.create", verb, nth=1, accept=True)
    before = known(practice)
    result = ask(client, lambda: buy(client), writes=True)
    assert isinstance(result, Unanswered)
    assert len(known(practice) - before) == 1


@pytest.mark.parametrize("verb", ["truncate", "empty"])
def test_broken_answers_leave_a_write_ambiguous(
    practice: PracticeProcess, client: Any, verb: str
) -> None:
    """Ccxt itself would return an order without an id."""
    practice.fault("order.create", verb, nth=1)
    before = known(practice)
    result = ask(client, lambda: buy(client), writes=True)
    assert isinstance(result, Unanswered)
    assert len(known(practice) - before) == 1


def test_throttling_and_bans_carry_the_venues_wait(practice: PracticeProcess, client: Any) -> None:
    for verb, wait_s in (("429", 7), ("418", 90)):
        practice.fault("account", verb, nth=1, retry_after_s=wait_s)
        result = ask(client, client.fetch_balance, writes=False)
        assert isinstance(result, Unavailable)
        assert result.retry_after_s == wait_s


def test_throttled_order_was_not_made(practice: PracticeProcess, client: Any) -> None:
    practice.fault("order.create", "429", nth=1, retry_after_s=3)
    before = known(practice)
    result = ask(client, lambda: buy(client), writes=True)
    assert result.retry_after_s == 3
    assert known(practice) == before


def test_revoked_key_is_an_authentication_error(practice: PracticeProcess) -> None:
    fresh = practice.client()
    practice.fault("auth", "auth_off")
    with pytest.raises(ccxt.AuthenticationError):
        fresh.fetch_balance()


def test_scripted_rejection_keeps_code_and_sentence(practice: PracticeProcess, client: Any) -> None:
    practice.fault("order.create", "reject:-2010", times=2, msg="No.")
    for _ in range(2):
        result = ask(client, lambda: buy(client), writes=True)
        assert isinstance(result, Rejection)
        assert result.code == "-2010"
    assert find(client, buy(client))["status"] == "closed"


def test_clock_offset_makes_requests_too_old_until_the_client_sets_its_clock(
    practice: PracticeProcess, client: Any
) -> None:
    practice.fault("*", "clock_offset", ms=30_000)
    with pytest.raises(ccxt.InvalidNonce, match="-1021"):
        client.fetch_balance()
    client.load_time_difference()
    assert client.fetch_balance()["USDT"]["total"] > 0


def test_stale_balance_shows_the_account_of_before(practice: PracticeProcess, client: Any) -> None:
    before = client.fetch_balance()["BTC"]
    practice.fault("account", "stale_balance")
    buy(client)
    assert client.fetch_balance()["BTC"] == before
    practice.clear_faults()
    assert client.fetch_balance()["BTC"] != before


def test_partial_fill_leaves_the_rest_resting(practice: PracticeProcess, client: Any) -> None:
    practice.fault("order.fill", "partial", nth=1, fraction="0.5")
    price = client.fetch_order_book(BTC)["asks"][0][0]
    order = find(client, buy(client, 0.002, price))
    assert (order["filled"], order["remaining"], order["status"]) == (0.001, 0.001, "open")
    assert client.cancel_order(order["id"], BTC)["status"] == "canceled"
    assert client.fetch_balance()["USDT"]["used"] == 0


def test_venue_can_fill_more_than_was_ordered(practice: PracticeProcess, client: Any) -> None:
    practice.fault("order.fill", "overfill", nth=1, fraction="1.5")
    order = find(client, buy(client, 0.002))
    assert (order["amount"], order["filled"]) == (0.002, 0.003)


def test_order_can_fill_in_part_while_it_is_being_cancelled(
    practice: PracticeProcess, client: Any
) -> None:
    """The fill is real though the order ends cancelled."""
    price = client.fetch_order_book(BTC)["bids"][0][0]
    client_id = buy(client, 0.002, price)
    practice.fault("order.cancel", "fill_on_cancel", nth=1, fraction="0.5")
    client.cancel_order(None, BTC, {"origClientOrderId": client_id})
    order = find(client, client_id)
    assert (order["status"], order["filled"]) == ("canceled", 0.001)
    assert client.fetch_balance()["USDT"]["used"] == 0


def test_cancel_can_be_refused_because_the_order_just_filled(
    practice: PracticeProcess, client: Any
) -> None:
    price = client.fetch_order_book(BTC)["bids"][0][0]
    client_id = buy(client, 0.001, price)
    practice.fault("order.cancel", "fill_on_cancel", nth=1)
    with pytest.raises(ccxt.OrderNotFound, match="-2011"):
        client.cancel_order(None, BTC, {"origClientOrderId": client_id})
    assert find(client, client_id)["status"] == "closed"


def test_phantom_fill_is_listed_once_and_then_gone(practice: PracticeProcess, client: Any) -> None:
    buy(client)
    real = {trade["id"] for trade in client.fetch_my_trades(BTC)}
    practice.fault("myTrades", "phantom_fill", nth=1)
    assert len({trade["id"] for trade in client.fetch_my_trades(BTC)} - real) == 1
    assert {trade["id"] for trade in client.fetch_my_trades(BTC)} == real


def test_client_ids_can_be_unique_for_ever(practice: PracticeProcess, client: Any) -> None:
    client_id = buy(client)
    practice.fault("order.create", "unique_ids_forever")
    same = {"clientOrderId": client_id}
    result = ask(
        client, lambda: client.create_order(BTC, "market", "buy", 0.001, None, same), writes=True
    )
    assert isinstance(result, Unanswered), "it is there already: look it up"


@pytest.mark.parametrize(
    ("verb", "args"),
    [
        ("stale_bars", {"n": 2}),
        ("drop_bars", {"n": 3}),
        ("dup_bars", {}),
        ("bad_bar", {"field": "close", "value": "-1"}),
    ],
)
def test_candle_faults(
    practice: PracticeProcess, client: Any, verb: str, args: dict[str, Any]
) -> None:
    client.load_markets()
    since = practice.status()["close_ms"] - 9 * 60_000
    good = client.fetch_ohlcv(BTC, "1m", since, 20)
    practice.fault("klines", verb, **args)
    bad = client.fetch_ohlcv(BTC, "1m", since, 20)
    opens, expected = [row[0] for row in bad], [row[0] for row in good]
    closed, forming = expected[:-1], expected[-1:]
    assert {
        "stale_bars": opens == closed[:-2],
        "drop_bars": opens == closed[:-4] + closed[-1:] + forming,
        "dup_bars": sorted(opens) == [*closed, closed[-1], *forming],
        "bad_bar": opens == expected and bad[-2][4] == -1.0,
    }[verb]


def test_trade_by_hand_is_in_the_ledger_as_manual(practice: PracticeProcess, client: Any) -> None:
    practice.admin("POST", "/trade", {"symbol": "ETH/USDT", "side": "BUY", "quantity": "0.5"})
    assert client.fetch_balance()["ETH"]["total"] == 0.5
    assert practice.ledger()["orders"][-1]["source"] == "manual"


def test_withdrawal_changed_filters_and_a_halt(practice: PracticeProcess, client: Any) -> None:
    practice.admin("POST", "/balance", {"asset": "USDT", "delta": "-9000"})
    with pytest.raises(ccxt.InsufficientFunds):
        buy(client, 0.1)
    practice.admin("POST", "/balance", {"asset": "USDT", "delta": "9000"})
    practice.admin("POST", "/instrument", {"symbol": BTC, "lot_size": "0.001"})
    request = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.0015"}
    with pytest.raises(ccxt.InvalidOrder, match="LOT_SIZE"):
        client.private_post_order(request)
    practice.admin("POST", "/instrument", {"symbol": BTC, "lot_size": "0.00001", "halted": True})
    assert client.load_markets(True)[BTC]["active"] is False
    with pytest.raises(ccxt.ExchangeError, match="closed"):
        client.private_post_order(request)
    practice.admin("POST", "/instrument", {"symbol": BTC, "halted": False})
    client.private_post_order(request)


def test_nth_and_probability_are_exact_and_seeded(practice: PracticeProcess, client: Any) -> None:
    practice.fault("time", "reject", nth=3, code=-1000)
    outcomes = [ask(client, client.fetch_time, writes=False) for _ in range(4)]
    assert [isinstance(o, int) for o in outcomes] == [True, True, False, True]
    practice.clear_faults()
    practice.fault("time", "reject", prob=0.5, code=-1000)
    outcomes = [ask(client, client.fetch_time, writes=False) for _ in range(40)]
    assert 5 < sum(isinstance(o, int) for o in outcomes) < 35


def test_wrong_fault_is_refused_with_what_is_allowed(practice: PracticeProcess) -> None:
    with pytest.raises(AdminError, match=r"verb was 'explode', allowed: .*accept_then_timeout"):
        practice.admin("POST", "/fault", {"op": "*", "verb": "explode"})
    with pytest.raises(AdminError, match="nth was 0"):
        practice.admin("POST", "/fault", {"op": "*", "verb": "drop", "nth": 0})
