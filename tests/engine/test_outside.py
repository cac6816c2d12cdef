"""What came and went on the account without us is no gain and no loss."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.types.opinions import Side
from engine.types.requests import Adjust, BookExternal, Verdict
from tests.engine.asking import Desk, desk
from tests.engine.books import BTC, D


def by_hand(side: Side, quantity: str, price: str = "110", **changes: object) -> BookExternal:
    given: dict[str, object] = {
        "request_id": "9",
        "symbol": BTC,
        "trade_id": "77",
        "side": side,
        "price": D(price),
        "quantity_base": D(quantity),
        "fee": D("0.3"),
        "fee_asset": "USDT",
        "ts_ms": 500,
        "actor": "anna",
        "as_lots": True,
    }
    return BookExternal(**given | changes)  # type: ignore[arg-type]


def identity_holds(room: Desk) -> bool:
    books = room.ledger
    gain = books.realised_quote + books.unrealised_quote - books.fees_quote
    return bool(books.equity_quote - books.deposits_quote == gain)


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["cash", "coins", "price"]), st.integers(-900, 900)), max_size=12
    )
)
def test_deposits_and_withdrawals_leave_drawdown_and_day_result_as_they_were(
    steps: list[tuple[str, int]],
) -> None:
    """D-59: a property over any course of deposits, withdrawals and prices, to the last digit
    for the day's result and within rounding of the peak for the drawdown."""
    room = desk()
    room.hold("1", "100")
    room.ledger.mark(BTC, 100.0)
    room.ledger.equity_point(room.now_ms)
    for number, (what, size) in enumerate(steps):
        if what == "price":
            room.ledger.mark(BTC, 100.0 + size / 10)
            continue
        before = room.ledger.equity_point(room.now_ms)
        asset = "USDT" if what == "cash" else "BTC"
        outcome = room.tick(Adjust(str(number), asset, D(size) / 10, "anna"))
        after = room.ledger.equity_point(room.now_ms)
        assert after.day_pnl_quote == before.day_pnl_quote
        assert after.drawdown_fraction == pytest.approx(before.drawdown_fraction, abs=1e-9)
        assert identity_holds(room)
        assert (outcome.equity is not None) == bool(outcome.adjustments)


def test_a_deposit_takes_an_equity_point_so_that_a_restart_starts_from_it() -> None:
    """I-26: peak and day of a rebuilt book come from the last point."""
    room = desk()
    outcome = room.tick(Adjust("1", "USDT", D("500"), "anna"))
    assert outcome.equity is not None
    assert outcome.equity.equity_quote == D("10500")
    (made,) = outcome.adjustments
    assert (made.value_quote, made.equity_before_quote) == (D("500"), D("10000"))


@pytest.mark.parametrize(
    ("asset", "amount", "text"),
    [
        ("USDT", "-10000.01", "of which 10000 belong to no strategy"),
        ("BTC", "-0.1", "of which 0 belong to no strategy"),
        ("SOL", "1", "SOL has no price here"),
        ("USDT", "0", "amount was 0"),
    ],
)
def test_what_is_not_there_cannot_be_withdrawn(asset: str, amount: str, text: str) -> None:
    room = desk()
    room.tick(Adjust("1", asset, D(amount), "anna"))
    assert room.verdict()[0] is Verdict.REFUSED
    assert text in room.verdict()[1]


def test_coins_of_before_the_run_leave_without_touching_a_book() -> None:
    """D-59, F-013: they never counted; what counts goes first, a strategy's coins never."""
    room = desk()
    room.hold("1", "100")
    room.ledger.mark(BTC, 100.0)
    before = room.ledger.equity_quote
    outcome = room.tick(Adjust("1", "BTC", D("-0.4"), "anna", own_base=D("0.5")))
    assert room.verdict()[0] is Verdict.DONE
    assert (outcome.adjustments, room.ledger.equity_quote) == ([], before)
    room.tick(Adjust("2", "BTC", D("0.2"), "anna", own_base=D("0.1")))
    outcome = room.tick(Adjust("3", "BTC", D("-0.3"), "anna", own_base=D("0.3")))
    assert [made.amount for made in outcome.adjustments] == [D("-0.2")]
    assert "-0.1 were there before the run" in room.verdict()[1]
    assert room.ledger.equity_quote == before
    room.tick(Adjust("4", "BTC", D("-0.1"), "anna"))
    assert room.verdict()[0] is Verdict.REFUSED
    assert identity_holds(room)


def test_a_sale_by_hand_closes_the_oldest_lots_at_its_price() -> None:
    """F-013: booked as EXTERNAL, never sent, the fee divided by quantity; nothing is oversized."""
    room = desk()
    room.hold("1", "100", strategy="breakout", at_ms=20)
    room.hold("1", "100", strategy="ema-trend", at_ms=10)
    outcome = room.tick(by_hand(Side.SELL, "1.5"))
    assert outcome.submitted == []
    assert [(t.strategy, t.quantity_base, t.exit_reason) for t in outcome.trades] == [
        ("ema-trend", D("1"), "EXTERNAL"),
        ("breakout", D("0.5"), "EXTERNAL"),
    ]
    assert [t.exit_price for t in outcome.trades] == [D("110"), D("110")]
    assert sum(t.fees_quote for t in outcome.trades) == D("0.3")
    assert room.ledger.position("breakout", BTC).quantity_base == D("0.5")
    assert room.ledger.cash_quote == D("10000") - 200 + D("1.5") * 110 - D("0.3")
    assert len(room.asked.settled[-1].filled) == 2
    assert identity_holds(room)


def test_a_sale_of_more_than_strategies_held_is_not_theirs() -> None:
    """F-013, I-21."""
    room = desk()
    room.hold("1")
    outcome = room.tick(by_hand(Side.SELL, "1.5"))
    assert room.verdict()[0] is Verdict.REFUSED
    assert "closes more than strategies held, which was 1" in room.verdict()[1]
    assert outcome.trades == []
    assert room.journal.intents == []


def test_coins_bought_by_hand_are_held_beside_every_strategy() -> None:
    """F-013: cash went, coins came, and neither is a strategy's."""
    room = desk()
    room.hold("1", "100")
    room.ledger.mark(BTC, 110.0)
    before = room.ledger.equity_point(room.now_ms)
    room.tick(by_hand(Side.BUY, "2", as_lots=False))
    after = room.ledger.equity_point(room.now_ms)
    assert room.ledger.balances() == {"USDT": D("10000") - 100 - 220 - D("0.3"), "BTC": D("3")}
    assert room.ledger.position("ema-trend", BTC).quantity_base == D("1")
    assert after.day_pnl_quote == before.day_pnl_quote
    assert identity_holds(room)


def test_own_coins_sold_by_hand_bring_their_proceeds_in() -> None:
    """F-013: coins of before the run never counted; a strategy's coins are not the owner's."""
    room = desk()
    room.hold("1", "100")
    room.tick(by_hand(Side.SELL, "0.5", as_lots=False, own_base=D("0.2")))
    assert "of which 0.2 were the owner's own" in room.verdict()[1]
    room.tick(by_hand(Side.SELL, "0.5", as_lots=False, own_base=D("0.75")))
    assert room.verdict()[0] is Verdict.DONE
    assert room.ledger.balances() == {"USDT": D("9900") + 55 - D("0.3"), "BTC": D("1")}
    assert identity_holds(room)


@settings(max_examples=25, deadline=None)
@given(held=st.lists(st.integers(1, 50), min_size=1, max_size=4), sold=st.integers(1, 120))
def test_whatever_is_sold_by_hand_the_books_lose_exactly_that(held: list[int], sold: int) -> None:
    """F-013, I-5: either all of it is booked or nothing is."""
    room = desk("1000000")
    for number, quantity in enumerate(held):
        room.hold(str(quantity), "100", strategy=f"s{number}", at_ms=number)
    room.tick(by_hand(Side.SELL, str(sold)))
    left = sum((p.quantity_base for p in room.ledger.positions()), Decimal(0))
    assert left == sum(held) - (sold if sold <= sum(held) else 0)
    assert identity_holds(room)
