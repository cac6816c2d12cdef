"""What leaves for each venue: the unmodified ccxt against a local stub, request by request.

No test here met the real venue (D-52); ``docs/venues.md`` says what that leaves open.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from engine.types.opinions import Side
from engine.types.orders import OrderState, OrderStatus, OrderType, Rejection, Unanswered
from tests.trades.order_factory import make_intent
from tests.venue_stub import BTC, NOW_MS, Asked, VenueStub, bybit, kraken, okx, venue_stub
from trades.brokers.venue_client import VenueClient, refuses_keys
from trades.errors import VenueRefused

CREATE = {
    "binance": "/api/v3/order",
    "bybit": "/v5/order/create",
    "okx": "/api/v5/trade/batch-orders",
    "kraken": "/0/private/AddOrder",
}
CANCEL = {
    "binance": "/api/v3/order",
    "bybit": "/v5/order/cancel",
    "okx": "/api/v5/trade/cancel-order",
    "kraken": "/0/private/CancelOrder",
}
TAKEN: dict[str, Any] = {
    "binance": {"symbol": "BTCUSDT", "orderId": 7, "status": "NEW", "transactTime": NOW_MS},
    "bybit": bybit({"orderId": "7", "orderLinkId": "x"}),
    "okx": okx([{"ordId": "7", "clOrdId": "x", "sCode": "0", "sMsg": ""}]),
    "kraken": kraken({"descr": {"order": "buy 0.001 XBTUSDT @ market"}, "txid": ["7"]}),
}
VENUES = sorted(CREATE)


def path(name: str) -> str:
    return name.strip("/").replace("/", "__")


def connected(stub: VenueStub, venue: str) -> VenueClient:
    client = VenueClient(stub.client(venue))
    client.load()
    return client


@pytest.mark.parametrize("venue", VENUES)
def test_market_buy_carries_our_id_and_its_quantity_in_base(venue: str) -> None:
    """D-19, D-36: 0.001 BTC is bought on every venue, never 0.001 USDT worth of it."""
    intent = make_intent(quantity="0.001")
    with venue_stub(venue, **{path(CREATE[venue]): TAKEN[venue]}) as stub:
        answer = connected(stub, venue).send(intent)
        (sent,) = stub.to(CREATE[venue])
    assert isinstance(answer, OrderState)
    assert answer.venue_order_id == "7"
    id_name, quantity_name, also = {
        "binance": ("newClientOrderId", "quantity", {"type": "MARKET", "side": "BUY"}),
        "bybit": ("orderLinkId", "qty", {"marketUnit": "baseCoin", "category": "spot"}),
        "okx": ("clOrdId", "sz", {"tgtCcy": "base_ccy", "tdMode": "cash", "ordType": "market"}),
        "kraken": ("cl_ord_id", "volume", {"oflags": "fciq", "ordertype": "market"}),
    }[venue]
    assert sent.params[id_name] == intent.client_order_id
    assert Decimal(sent.params[quantity_name]) == Decimal("0.001")
    assert {name: sent.params.get(name) for name in also} == also


@pytest.mark.parametrize("venue", VENUES)
def test_cancel_names_the_order_by_our_id_alone(venue: str) -> None:
    """D-19: the venue's own id may never have reached us."""
    intent = make_intent()
    with venue_stub(venue, **{path(CANCEL[venue]): TAKEN[venue]}) as stub:
        assert connected(stub, venue).cancel(BTC, intent.client_order_id) is None
        (sent,) = stub.to(CANCEL[venue])
    name = {"binance": "origClientOrderId", "bybit": "orderLinkId", "okx": "clOrdId"}
    assert sent.params[name.get(venue, "cl_ord_id")] == intent.client_order_id
    assert not {"orderId", "ordId", "txid", "clientOrderId"} & set(sent.params)


@pytest.mark.parametrize("venue", VENUES)
def test_stop_order_is_sent_as_what_the_venue_calls_one(venue: str) -> None:
    intent = make_intent(kind=OrderType.STOP, side=Side.SELL, quantity="0.001")
    intent = dataclasses.replace(intent, stop_price=Decimal(40_000))
    where = "/api/v5/trade/order-algo" if venue == "okx" else CREATE[venue]
    taken = okx([{"algoId": "7", "sCode": "0"}]) if venue == "okx" else TAKEN[venue]
    with venue_stub(venue, **{path(where): taken}) as stub:
        assert isinstance(connected(stub, venue).send(intent), OrderState)
        (sent,) = stub.to(where)
    wanted = {
        "binance": {"type": "STOP_LOSS", "stopPrice": "40000"},
        "bybit": {"orderFilter": "StopOrder", "triggerPrice": "40000", "marketUnit": "baseCoin"},
        "okx": {"ordType": "trigger", "triggerPx": "40000", "orderPx": "-1", "tdMode": "cash"},
        "kraken": {"ordertype": "stop-loss", "price": "40000"},
    }[venue]
    assert {name: sent.params.get(name) for name in wanted} == wanted
    our_id = {"binance": "newClientOrderId", "bybit": "orderLinkId", "okx": "algoClOrdId"}
    assert sent.params[our_id.get(venue, "cl_ord_id")] == intent.client_order_id


def bybit_row(client_id: str, **changes: Any) -> dict[str, Any]:
    row = {
        "orderId": "7",
        "orderLinkId": client_id,
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Market",
        "marketUnit": "baseCoin",
        "orderStatus": "Filled",
        "qty": "0.001",
        "cumExecQty": "0.001",
        "cumExecValue": "50",
        "avgPrice": "50000",
        "leavesQty": "0",
        "createdTime": str(NOW_MS),
        "updatedTime": str(NOW_MS + 5),
    }
    return {**row, **changes}


def kraken_row(client_id: str | None) -> dict[str, Any]:
    return {
        "userref": 0,
        "cl_ord_id": client_id,
        "status": "closed",
        "opentm": NOW_MS / 1000,
        "closetm": NOW_MS / 1000 + 1,
        "descr": {"pair": "XBTUSDT", "type": "buy", "ordertype": "market", "price": "0"},
        "vol": "0.001",
        "vol_exec": "0.001",
        "cost": "50",
        "fee": "0.2",
        "price": "50000",
        "oflags": "fciq",
        "misc": "",
    }


def test_bybit_order_is_looked_up_in_both_lists_by_our_id() -> None:
    """F-045: a filled market order is in the history only, and the id goes as orderLinkId."""
    ours = make_intent().client_order_id
    nobody = bybit({"list": [], "category": "spot"})
    rows = bybit({"list": [bybit_row(ours)], "category": "spot"})
    with venue_stub("bybit", v5__order__realtime=nobody, v5__order__history=rows) as stub:
        word = connected(stub, "bybit").order_by_client_id(BTC, ours)
        asked = [one.params for one in stub.asked if one.path.startswith("/v5/order/")]
    assert word is not None
    assert (word.status, word.filled_base) == (OrderStatus.FILLED, Decimal("0.001"))
    assert word.client_order_id == ours
    assert [params["orderLinkId"] for params in asked] == [ours, ours]
    assert all(params["symbol"] == "BTCUSDT" for params in asked)


def test_kraken_order_is_looked_up_in_both_lists_by_our_id() -> None:
    """F-045: QueryOrders knows the txid only; the lists take cl_ord_id."""
    ours = make_intent().client_order_id
    closed = kraken({"closed": {"OTHER": kraken_row(None), "OURS": kraken_row(ours)}, "count": 2})
    replies = {"0__private__OpenOrders": kraken({"open": {}}), "0__private__ClosedOrders": closed}
    with venue_stub("kraken", **replies) as stub:
        word = connected(stub, "kraken").order_by_client_id(BTC, ours)
        asked = [one.params for one in stub.asked if "Orders" in one.path]
    assert word is not None
    assert (word.venue_order_id, word.status) == ("OURS", OrderStatus.FILLED)
    assert [params["cl_ord_id"] for params in asked] == [ours, ours]


@pytest.mark.parametrize("venue", VENUES)
def test_order_nobody_knows_is_none_and_not_an_error(venue: str) -> None:
    """F-046, F-047: the reconciler counts misses; an error would hide them."""
    empty_bybit = bybit({"list": [], "category": "spot"})
    replies: dict[str, Any] = {
        "binance": {"api__v3__order": {"code": -2013, "msg": "Order does not exist."}},
        "okx": {"api__v5__trade__order": okx([], "51603", "Order does not exist")},
        "bybit": {"v5__order__realtime": empty_bybit, "v5__order__history": empty_bybit},
        "kraken": {
            "0__private__OpenOrders": kraken({"open": {}}),
            "0__private__ClosedOrders": kraken({"closed": {}, "count": 0}),
        },
    }
    with venue_stub(venue, **replies[venue]) as stub:
        client = connected(stub, venue)
        if venue == "binance":
            stub.status = 400
        assert client.order_by_client_id(BTC, make_intent().client_order_id) is None


def test_foreign_kraken_order_does_not_pass_its_userref_off_as_our_id() -> None:
    """F-012: ccxt fills clientOrderId with the userref, 0 for everybody."""
    rows = kraken({"open": {"A": {**kraken_row(None), "status": "open", "vol_exec": "0"}}})
    with venue_stub("kraken", **{"0__private__OpenOrders": rows}) as stub:
        (found,) = connected(stub, "kraken").open_orders(BTC)
    assert found.word.client_order_id == ""
    assert found.word.venue_order_id == "A"


DUPLICATES: list[tuple[str, int, Any]] = [
    ("binance", 400, {"code": -2010, "msg": "Duplicate order sent."}),
    ("bybit", 200, bybit({}, 170141, "Duplicate clientOrderId.")),
    ("okx", 200, okx([{"sCode": "51016", "sMsg": "Client order ID already exists"}], "1")),
    ("kraken", 200, kraken(None, "EOrder:Duplicate cl_ord_id")),
]
UNKNOWN: list[tuple[str, int, Any]] = [
    ("binance", 400, {"code": -1007, "msg": "Timeout waiting for response from backend server."}),
    ("bybit", 200, bybit({}, 10016, "System error. Please try again later.")),
    ("bybit", 200, bybit({}, 170146, "Order creation timeout.")),
    ("okx", 200, okx([{"sCode": "51054", "sMsg": "Request timed out."}], "1")),
    ("okx", 200, okx([], "50004", "Endpoint request timeout")),
    ("kraken", 200, kraken(None, "EService:Unavailable")),
    ("kraken", 200, kraken(None, "EGeneral:Internal error")),
]
REFUSED: list[tuple[str, int, Any, str]] = [
    ("binance", 400, {"code": -2010, "msg": "Account has insufficient balance."}, "-2010"),
    ("bybit", 200, bybit({}, 170131, "Balance insufficient."), "170131"),
    ("okx", 200, okx([{"sCode": "51008", "sMsg": "Insufficient balance"}], "1"), "51008"),
    ("kraken", 200, kraken(None, "EOrder:Insufficient funds"), "EOrder:Insufficient funds"),
]
BAD_KEYS: list[tuple[str, int, Any]] = [
    ("binance", 401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}),
    ("bybit", 200, bybit({}, 10003, "API key is invalid.")),
    ("bybit", 200, bybit({}, 10010, "Unmatched IP.")),
    ("okx", 401, okx([], "50111", "Invalid OK-ACCESS-KEY")),
    ("kraken", 200, kraken(None, "EAPI:Invalid key")),
    ("kraken", 200, kraken(None, "EGeneral:Permission denied")),
]


def sent_and_answered(venue: str, status: int, body: Any) -> Any:
    with venue_stub(venue, **{path(CREATE[venue]): body}) as stub:
        client = connected(stub, venue)
        stub.status = status
        answer = client.send(make_intent())
        assert len(stub.to(CREATE[venue])) == 1, "a write is never repeated by itself"
        return answer


@pytest.mark.parametrize(("venue", "status", "body"), DUPLICATES)
def test_duplicate_id_means_already_there_on_every_venue(
    venue: str, status: int, body: Any
) -> None:
    """F-063: a "duplicate" is looked up, never called refused."""
    assert isinstance(sent_and_answered(venue, status, body), Unanswered)


@pytest.mark.parametrize(("venue", "status", "body"), UNKNOWN)
def test_venue_that_does_not_know_itself_leaves_the_order_unknown(
    venue: str, status: int, body: Any
) -> None:
    """F-048, F-051: each venue's own words for "perhaps"."""
    assert isinstance(sent_and_answered(venue, status, body), Unanswered)


@pytest.mark.parametrize(("venue", "status", "body", "code"), REFUSED)
def test_explicit_refusal_carries_the_venues_own_code(
    venue: str, status: int, body: Any, code: str
) -> None:
    """F-053: and it is no refusal of the keys."""
    answer = sent_and_answered(venue, status, body)
    assert isinstance(answer, Rejection)
    assert answer.code == code
    assert not refuses_keys(answer.code, answer.message)


@pytest.mark.parametrize(("venue", "status", "body"), BAD_KEYS)
def test_refused_keys_are_told_from_a_refused_order(venue: str, status: int, body: Any) -> None:
    """F-052: the broker halts on these and on nothing else."""
    answer = sent_and_answered(venue, status, body)
    assert isinstance(answer, Rejection)
    assert refuses_keys(answer.code, answer.message)


def test_classic_bybit_account_is_refused_before_its_first_order() -> None:
    """There a market buy's quantity is money to spend, whatever unit is named."""
    classic = {
        "v5__user__query-api": bybit({"uta": 0, "unified": 0}),
        "v5__account__info": bybit({"unifiedMarginStatus": 1}),
    }
    with venue_stub("bybit", **classic) as stub, pytest.raises(VenueRefused, match="unified"):
        connected(stub, "bybit")


def test_no_write_hides_a_read_on_bybit() -> None:
    """ccxt asks for the kind of account before the first order unless it is known."""
    with venue_stub("bybit", **{path(CREATE["bybit"]): TAKEN["bybit"]}) as stub:
        client = connected(stub, "bybit")
        stub.asked.clear()
        client.send(make_intent())
        assert [one.path for one in stub.asked] == [CREATE["bybit"]]


def bybit_fills(count: int, page: int) -> Callable[[Asked], Any]:
    """Serve ``count`` fills one second apart, newest first, at most ``page`` a request."""

    def reply(asked: Asked) -> Any:
        start, end = int(asked.params["startTime"]), int(asked.params.get("endTime", 1 << 60))
        assert end == 1 << 60 or end - start <= 7 * 86_400_000, "longer spans are refused"
        end = min(end, start + 7 * 86_400_000)
        times = [NOW_MS + 1000 * number for number in range(count)]
        rows = [
            {
                "execId": str(at),
                "orderId": "7",
                "symbol": "BTCUSDT",
                "side": "Buy",
                "execPrice": "50000",
                "execQty": "0.001",
                "execFee": "0.000001",
                "feeCurrency": "BTC",
                "execTime": str(at),
                "isMaker": False,
            }
            for at in times
            if start <= at <= end
        ]
        return bybit({"category": "spot", "list": rows[::-1][:page]})

    return reply


def test_bybit_trades_older_than_the_newest_page_are_not_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F-060: a page is the newest hundred of at most seven days."""
    with venue_stub("bybit", v5__execution__list=bybit_fills(250, 100)) as stub:
        ccxt_client = stub.client("bybit")
        monkeypatch.setattr(ccxt_client, "milliseconds", lambda: NOW_MS + 20 * 86_400_000)
        trades = VenueClient(ccxt_client).trades_since(BTC, NOW_MS - 10 * 86_400_000)
    assert [t.ts_ms for t in trades] == [NOW_MS + 1000 * n for n in range(250)]
    assert {t.fee_asset for t in trades} == {"BTC"}


def test_okx_trades_older_than_the_newest_page_are_not_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F-060: several trades of one millisecond across a page's edge are all there."""

    def reply(asked: Asked) -> Any:
        begin, end = int(asked.params["begin"]), int(asked.params.get("end", 1 << 60))
        rows = [
            {
                "tradeId": str(n),
                "ordId": "7",
                "instId": "BTC-USDT",
                "instType": "SPOT",
                "side": "buy",
                "fillPx": "50000",
                "fillSz": "0.001",
                "fee": "-0.000001",
                "feeCcy": "BTC",
                "execType": "T",
                "ts": str(NOW_MS + n // 3),
            }
            for n in range(150)
        ]
        kept = [row for row in rows if begin <= int(row["ts"]) <= end]
        return okx(kept[::-1][:100])

    with venue_stub("okx", **{"api__v5__trade__fills-history": reply}) as stub:
        ccxt_client = stub.client("okx")
        monkeypatch.setattr(ccxt_client, "milliseconds", lambda: NOW_MS + 60_000)
        trades = VenueClient(ccxt_client).trades_since(BTC, NOW_MS - 1000)
    assert {t.trade_id for t in trades} == {str(n) for n in range(150)}
    assert {t.fee for t in trades} == {Decimal("0.000001")}, "a cost is positive"


def test_kraken_trades_are_paged_by_the_venues_own_count() -> None:
    """F-060: fifty a page, all symbols together, so a short page proves nothing."""

    def reply(asked: Asked) -> Any:
        offset = int(asked.params.get("ofs", 0))
        rows = {
            f"T{n}": {
                "ordertxid": "O1",
                "pair": "XBTUSDT" if n % 2 else "ETHUSDT",
                "time": (NOW_MS - 1000 * n) / 1000,
                "type": "buy",
                "ordertype": "market",
                "price": "50000",
                "cost": "50",
                "fee": "0.2",
                "vol": "0.001",
                "maker": False,
            }
            for n in range(offset, min(120, offset + 50))
        }
        return kraken({"trades": rows, "count": 120})

    with venue_stub("kraken", **{"0__private__TradesHistory": reply}) as stub:
        trades = VenueClient(stub.client("kraken")).trades_since(BTC, NOW_MS - 1_000_000)
        offsets = [one.params.get("ofs", "0") for one in stub.to("/0/private/TradesHistory")]
    assert offsets == ["0", "50", "100"]
    assert {t.trade_id for t in trades} == {f"T{n}" for n in range(1, 120, 2)}
    assert {(t.fee, t.fee_asset) for t in trades} == {(Decimal("0.2"), "USDT")}


def test_clock_refusal_measures_the_difference_before_it_asks_again() -> None:
    """F-058: the same clock would be refused for ever."""
    refusals = iter([True])

    def balance(asked: Asked) -> Any:
        if next(refusals, False):
            stub.status = 400
            return {
                "code": -1021,
                "msg": "Timestamp is outside of the recvWindow.",
            }
        stub.status = 200
        return {"balances": [{"asset": "BTC", "free": "1", "locked": "0"}]}

    with venue_stub("binance", api__v3__account=balance) as stub:

        def clock(asked: Asked) -> Any:
            stub.status = 200
            return {"serverTime": NOW_MS}

        stub.replies["/api/v3/time"] = clock
        client = connected(stub, "binance")
        assert client.balances() == {"BTC": Decimal("1.0")}
        stamps = [int(one.params["timestamp"]) for one in stub.to("/api/v3/account")]
    assert len(stamps) == 2
    assert abs(stamps[1] - NOW_MS) < 60_000 < abs(stamps[0] - NOW_MS)


def sent_for(venue: str, **fields: Any) -> tuple[Any, str]:
    """Send one sell order of 0.001 and return the request and our id."""
    changes = {n: Decimal(fields.pop(n)) for n in ("stop_price", "target_price") if n in fields}
    intent = make_intent(side=Side.SELL, quantity="0.001", **fields)
    intent = dataclasses.replace(intent, **changes)
    is_algo = venue == "okx" and intent.order_type.has_trigger
    where = "/api/v5/trade/order-algo" if is_algo else CREATE[venue]
    taken = okx([{"algoId": "7", "sCode": "0"}]) if is_algo else TAKEN[venue]
    with venue_stub(venue, **{path(where): taken}) as stub:
        assert isinstance(connected(stub, venue).send(intent), OrderState)
        (sent,) = stub.to(where)
    return sent, intent.client_order_id


@pytest.mark.parametrize("venue", VENUES)
def test_stop_limit_order_waits_for_its_stop_and_then_rests_at_its_limit(venue: str) -> None:
    """CTL-15, D-36: both prices, no unit of a market order, and our id in place."""
    fields = {"kind": OrderType.STOP_LIMIT, "limit": "39800", "stop_price": "40000"}
    sent, ours = sent_for(venue, **fields)
    wanted = {
        "binance": {"type": "STOP_LOSS_LIMIT", "stopPrice": "40000", "price": "39800"}
        | {"timeInForce": "GTC"},
        "bybit": {"orderFilter": "StopOrder", "triggerPrice": "40000", "price": "39800"}
        | {"orderType": "Limit", "marketUnit": None},
        "okx": {"ordType": "trigger", "triggerPx": "40000", "orderPx": "39800"},
        "kraken": {"ordertype": "stop-loss-limit", "price": "40000", "price2": "39800"},
    }[venue]
    assert {name: sent.params.get(name) for name in wanted} == wanted
    our_id = {"binance": "newClientOrderId", "bybit": "orderLinkId", "okx": "algoClOrdId"}
    assert sent.params[our_id.get(venue, "cl_ord_id")] == ours


@pytest.mark.parametrize("venue", VENUES)
def test_take_profit_order_is_sent_as_what_the_venue_calls_one(venue: str) -> None:
    """D-36"""
    sent, _ = sent_for(venue, kind=OrderType.TAKE_PROFIT, target_price="60000")
    wanted = {
        "binance": {"type": "TAKE_PROFIT", "stopPrice": "60000"},
        "bybit": {"orderFilter": "StopOrder", "triggerPrice": "60000", "orderType": "Market"},
        "okx": {"ordType": "trigger", "triggerPx": "60000", "orderPx": "-1"},
        "kraken": {"ordertype": "take-profit", "price": "60000"},
    }[venue]
    assert {name: sent.params.get(name) for name in wanted} == wanted


@pytest.mark.parametrize("venue", VENUES)
def test_ioc_limit_order_says_that_it_may_not_rest(venue: str) -> None:
    """CTL-3: an entry that would rest would be filled later, at a price nobody decided on."""
    sent, _ = sent_for(venue, kind=OrderType.IOC_LIMIT, limit="50100")
    wanted = {
        "binance": {"type": "LIMIT", "timeInForce": "IOC", "price": "50100"},
        "bybit": {"orderType": "Limit", "timeInForce": "IOC", "price": "50100"},
        "okx": {"ordType": "ioc", "px": "50100"},
        "kraken": {"ordertype": "limit", "timeinforce": "IOC", "price": "50100"},
    }[venue]
    assert {name: sent.params.get(name) for name in wanted} == wanted
