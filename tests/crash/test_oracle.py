"""The judge sees each kind of difference: planted in either ledger, one at a time."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from tests.crash.oracle import Books, judge

BTC = "BTC/USDT"


def books(**changes: Any) -> Books:
    """One entry of 0.1 at 100 with a fee of 0.01, known to both sides."""
    healthy = Books(
        orders={"a": Decimal("0.1")},
        decision_keys=[("ema-trend", BTC, "12:00", 0)],
        fills=[(BTC, "1", "BUY", Decimal(100), Decimal("0.1"), Decimal("0.01"), "USDT")],
        external=frozenset(),
        starting_cash=Decimal(1_000),
        quote="USDT",
        in_flight={},
    )
    return replace(healthy, **changes)


def ledger(**changes: Any) -> dict[str, Any]:
    return {
        "orders": [{"client_id": "a", "quantity": "0.1"}],
        "fills": [{"symbol": BTC, "trade_id": 1}],
        "balances": {
            "USDT": {"free": "989.99", "locked": "0"},
            "BTC": {"free": "0.05", "locked": "0.05"},
        },
        **changes,
    }


def test_ledgers_that_agree_are_clean() -> None:
    verdict = judge(books(), ledger())
    assert verdict.is_clean
    assert (verdict.orders, verdict.fills, verdict.equity_error) == (1, 1, 0)


def test_id_accepted_twice_is_a_double() -> None:
    """I-2."""
    twice = [{"client_id": "a", "quantity": "0.1"}] * 2
    assert judge(books(), ledger(orders=twice)).doubled == 1


def test_decision_with_two_orders_is_a_double() -> None:
    """I-1, I-2: ids that differ do not hide it."""
    keys = [("ema-trend", BTC, "12:00", 0)] * 2
    assert judge(books(decision_keys=keys), ledger()).doubled == 1


def test_order_without_a_row_is_named() -> None:
    """F-002: the orphan of place first, record second."""
    orders = [{"client_id": "a", "quantity": "0.1"}, {"client_id": "b", "quantity": "1"}]
    assert judge(books(), ledger(orders=orders)).unknown_orders == 1


def test_order_larger_than_meant_is_named() -> None:
    """I-2."""
    assert judge(books(), ledger(orders=[{"client_id": "a", "quantity": "0.2"}])).oversized == 1


def test_unbooked_trade_is_lost_even_where_it_is_booked_as_a_strangers() -> None:
    """I-3."""
    fills = [{"symbol": BTC, "trade_id": 1}, {"symbol": BTC, "trade_id": 2}]
    strange = frozenset({(BTC, "2")})
    assert judge(books(), ledger(fills=fills)).lost_fills == 1
    assert judge(books(external=strange), ledger(fills=fills)).lost_fills == 1


def test_fill_booked_twice_or_from_nowhere_is_invented() -> None:
    """I-3."""
    twice = books().fills * 2  # type: ignore[operator]
    assert judge(books(fills=twice), ledger()).invented_fills == 1
    assert judge(books(), ledger(fills=[])).invented_fills == 1


def test_missing_cash_and_coins_are_an_equity_error_in_quote() -> None:
    """I-5, I-6: coins at their last price."""
    balances = {"USDT": {"free": "989", "locked": "0"}, "BTC": {"free": "0.2", "locked": "0"}}
    assert judge(books(), ledger(balances=balances)).equity_error == Decimal("10.99")


def test_order_still_on_its_way_after_the_quiet_time_is_named() -> None:
    """I-23: whatever the venue says of one that we have not decided on."""
    filled = [{"client_id": "a", "quantity": "0.1", "status": "FILLED"}]
    for status in ("INTENT", "SENDING", "UNKNOWN", "PENDING_CANCEL", "OPEN", "PARTIAL"):
        verdict = judge(books(in_flight={"a": status}), ledger(orders=filled))
        assert verdict.unsettled == 1
        assert not verdict.is_clean
    undecided = [{"client_id": "a", "quantity": "0.1", "status": "NEW"}]
    assert judge(books(in_flight={"a": "UNKNOWN"}), ledger(orders=undecided)).unsettled == 1


def test_order_that_rests_on_both_sides_is_settled() -> None:
    """I-20: a protective stop waits at the venue."""
    resting = [{"client_id": "a", "quantity": "0.1", "status": "NEW"}]
    assert judge(books(in_flight={"a": "OPEN"}), ledger(orders=resting)).is_clean
