"""Signed requests: the account, its orders and its trades."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import uuid4

from market.practice.exchange import Report
from market.practice.ledger import Balance, Transfer, VenueOrder
from market.practice.problems import VenueError, cancel_rejected, missing, no_such_order
from market.practice.public import Params, instrument_of, limit_of, whole
from market.practice.request import read_order
from market.practice.venue import Venue
from market.practice.wire import (
    Json,
    account,
    cancel_row,
    deposit,
    my_trade,
    order_row,
    placed_row,
    withdrawal,
)

_PHANTOM_ID = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Acted:
    """A write's answer and what must be told on the user stream once it is committed; with
    ``refusal`` the answer is that error, though something happened to the account."""

    answer: Json
    reports: tuple[Report, ...]
    refusal: VenueError | None = None


def create_order(venue: Venue, params: Params) -> Acted:
    order = read_order(params, instrument_of(venue, params), uuid4().hex)
    placed = venue.exchange.place(order, close_ms=venue.clock.close_ms, now_ms=venue.clock.now_ms())
    venue.note_born(placed.order.order_id)
    default = "FULL" if order.kind in ("MARKET", "LIMIT") else "ACK"
    detail = params.get("newOrderRespType", default).upper()
    return Acted(placed_row(placed.order, placed.fills, detail), placed.reports)


def check_order(venue: Venue, params: Params) -> Json:
    """Check an order's form and filters without placing it."""
    read_order(params, instrument_of(venue, params), uuid4().hex)
    return {}


def query_order(venue: Venue, params: Params) -> Json:
    order = venue.exchange.query(*_which(venue, params))
    if venue.is_hidden(order.order_id, "order.query"):
        raise no_such_order()
    return order_row(order)


def cancel_order(venue: Venue, params: Params) -> Acted:
    symbol, order_id, client_id = _which(venue, params)
    now_ms = venue.clock.now_ms()
    fault = venue.faults.fire("order.cancel", {"fill_on_cancel"})
    filled: tuple[Report, ...] = ()
    if fault is not None:
        fraction = Decimal(fault.text("fraction", "1"))
        filled = venue.exchange.fill_resting(symbol, order_id, client_id, fraction, now_ms)
    try:
        order = venue.exchange.cancel(symbol, order_id, client_id, now_ms)
    except VenueError as error:
        return Acted(None, filled, error)
    cancel_id = params.get("newClientOrderId") or uuid4().hex
    return Acted(cancel_row(order, cancel_id), (*filled, Report("CANCELED", order)))


def cancel_open_orders(venue: Venue, params: Params) -> Acted:
    symbol = instrument_of(venue, params).symbol
    found = venue.ledger.open_orders(symbol)
    if not found:
        raise cancel_rejected()
    now_ms = venue.clock.now_ms()
    closed = [venue.exchange.cancel(symbol, order.order_id, "", now_ms) for order in found]
    rows: list[Json] = [cancel_row(order, uuid4().hex) for order in closed]
    return Acted(rows, tuple(Report("CANCELED", order) for order in closed))


def open_orders(venue: Venue, params: Params) -> Json:
    symbol = instrument_of(venue, params).symbol if params.get("symbol") else None
    return _rows(venue, venue.ledger.open_orders(symbol), "openOrders")


def all_orders(venue: Venue, params: Params) -> Json:
    symbol = instrument_of(venue, params).symbol
    found = venue.ledger.orders(symbol, since_id=whole(params, "orderId") or 0)
    start_ms, end_ms = whole(params, "startTime"), whole(params, "endTime")
    kept = [
        order
        for order in found
        if (start_ms is None or order.created_ms >= start_ms)
        and (end_ms is None or order.created_ms <= end_ms)
    ]
    from_start = start_ms is not None or params.get("orderId")
    limit = limit_of(params)
    return _rows(venue, kept[:limit] if from_start else kept[-limit:], "allOrders")


def my_trades(venue: Venue, params: Params) -> Json:
    """The account's fills: from ``fromId`` or ``startTime`` on, else the newest."""
    found = venue.ledger.fills(
        symbol=instrument_of(venue, params).symbol,
        order_id=whole(params, "orderId"),
        since_id=whole(params, "fromId") or 0,
    )
    start_ms, end_ms = whole(params, "startTime"), whole(params, "endTime")
    kept = [
        fill
        for fill in found
        if (start_ms is None or fill.ts_ms >= start_ms)
        and (end_ms is None or fill.ts_ms <= end_ms)
        and not venue.is_hidden(fill.order_id, "myTrades")
    ]
    from_start = start_ms is not None or params.get("fromId")
    limit = limit_of(params)
    kept = kept[:limit] if from_start else kept[-limit:]
    if kept and venue.faults.fire("myTrades", {"phantom_fill"}):
        kept = [*kept, replace(kept[-1], trade_id=kept[-1].trade_id + _PHANTOM_ID)]
    return [my_trade(fill) for fill in kept]


def deposits(venue: Venue, params: Params) -> Json:
    """What came to the account from ``startTime`` on, newest first."""
    return [deposit(t) for t in _transfers(venue, params) if t.amount > 0]


def withdrawals(venue: Venue, params: Params) -> Json:
    return [withdrawal(t) for t in _transfers(venue, params) if t.amount < 0]


def _transfers(venue: Venue, params: Params) -> list[Transfer]:
    start_ms, end_ms = whole(params, "startTime"), whole(params, "endTime")
    coin = params.get("coin", "")
    found = [
        t
        for t in venue.ledger.transfers()
        if (start_ms is None or t.ts_ms >= start_ms)
        and (end_ms is None or t.ts_ms <= end_ms)
        and coin in ("", t.asset)
    ]
    return found[::-1][: limit_of(params)]


def account_info(venue: Venue, params: Params) -> Json:
    balances = venue.ledger.balances()
    fault = venue.faults.fire("account", {"stale_balance"})
    if fault is not None:
        frozen = fault.memory.get("balances")
        balances = frozen.get(venue.account, balances) if isinstance(frozen, dict) else balances
    answer = account(balances, venue.exchange.instruments.values(), venue.clock.now_ms())
    return {
        **answer,
        "canTrade": venue.rights.trading,
        "canWithdraw": venue.rights.withdrawals,
    }


def key_rights(venue: Venue, params: Params) -> Json:
    rights = venue.rights
    return {
        "ipRestrict": rights.bound_to_addresses,
        "createTime": 0,
        "enableReading": rights.reading,
        "enableSpotAndMarginTrading": rights.trading,
        "enableWithdrawals": rights.withdrawals,
        "enableInternalTransfer": False,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFutures": False,
        "enableMargin": False,
    }


def freeze_balances(venue: Venue) -> dict[str, dict[str, Balance]]:
    """Return each account's balances as a ``stale_balance`` fault will go on showing them."""
    return {account: ledger.balances() for account, ledger in venue.ledgers().items()}


def _rows(venue: Venue, orders: list[VenueOrder], op: str) -> Json:
    return [order_row(order) for order in orders if not venue.is_hidden(order.order_id, op)]


def _which(venue: Venue, params: Params) -> tuple[str, int | None, str]:
    symbol = instrument_of(venue, params).symbol
    order_id, client_id = whole(params, "orderId"), params.get("origClientOrderId", "")
    if order_id is None and not client_id:
        raise missing("orderId")
    return symbol, order_id, client_id
