"""What people ask of a running book is carried out once, by what the book holds then."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.ports import TradingState
from engine.requests import exits_refusal, widens
from engine.types.opinions import Side
from engine.types.orders import Cause, Purpose
from engine.types.requests import Adjust, ClosePosition, MoveExits, Verdict
from tests.engine.asking import desk, entry_on_its_way
from tests.engine.books import BTC, D, instrument

CLOSE = ClosePosition("7", "ema-trend", BTC, "anna")


def test_a_close_sells_what_is_held_and_says_who_asked() -> None:
    """CTL-23, I-21: a market exit of the whole position, its order on disk before it leaves."""
    room = desk()
    room.hold("1")
    outcome = room.tick(CLOSE)
    ((order, _),) = outcome.submitted
    assert (order.side, order.purpose, order.quantity_base) == (Side.SELL, Purpose.EXIT, D("1"))
    assert (order.cause, order.actor, order.reason_code) == (Cause.REQUEST, "anna", "MANUAL_CLOSE")
    assert room.journal.intents == [order]
    assert room.journal.log.index("intent") < room.journal.log.index("commit")
    assert room.verdict()[0] is Verdict.DONE
    assert room.asked.settled[-1].intents == (order,)


def test_a_close_is_carried_out_once() -> None:
    """SEC-44: what is settled is not due again, and a second one finds the exit on its way."""
    room = desk()
    room.hold("1")
    room.tick(CLOSE)
    assert room.tick().submitted == []
    room.tick(ClosePosition("8", "ema-trend", BTC, "anna"))
    assert room.verdict() == (Verdict.REFUSED, "an exit of all 1 BTC/USDT is on its way")
    assert len(room.journal.intents) == 1


@pytest.mark.parametrize(
    ("asked", "sold"),
    [({"fraction": D("0.5")}, "0.5000"), ({"quantity_base": D("0.25")}, "0.25"), ({}, "1.0001")],
)
def test_part_of_a_position_can_be_closed(asked: dict[str, Decimal], sold: str) -> None:
    """Half of what is held at that moment, on the lot grid."""
    room = desk()
    room.hold("1.0001")
    room.tick(ClosePosition("7", "ema-trend", BTC, "anna", **asked))
    ((order, _),) = [*room.tick().submitted, *zip(room.journal.intents, [None], strict=True)]
    assert order.quantity_base == D(sold)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"quantity_base": D("1.5")}, "quantity was 1.5, allowed: at most 1, which is held"),
        ({"quantity_base": D("0.01")}, "the venue takes at least 0.0001 and 5 USDT"),
        ({"quantity_base": D("0.97")}, "0.03 BTC would be left, which no order could close"),
        ({"strategy": "breakout"}, "breakout holds no BTC/USDT"),
    ],
)
def test_a_close_that_cannot_be_is_refused_with_its_numbers(
    asked: dict[str, Decimal], text: str
) -> None:
    """I-21, F-019: nothing is oversold and no dust is made."""
    room = desk()
    room.hold("1")
    given = {"strategy": "ema-trend"} | asked
    outcome = room.tick(ClosePosition(request_id="7", symbol=BTC, actor="anna", **given))  # type: ignore[arg-type]
    verdict, said = room.verdict()
    assert verdict is Verdict.REFUSED
    assert text in said
    assert outcome.submitted == []


def test_a_halted_symbol_keeps_its_position_and_reduced_trading_lets_it_go() -> None:
    """D-28, CTL-13: HALTED allows cancels only; a flatten is the way out of it."""
    room = desk()
    room.hold("1")
    room.gate.state, room.gate.reason = TradingState.HALTED, "by hand"
    room.tick(CLOSE)
    assert room.verdict()[0] is Verdict.REFUSED
    assert "by hand; only a flatten" in room.verdict()[1]
    room.gate.state = TradingState.REDUCING
    assert len(room.tick(CLOSE).submitted) == 1


def test_two_requests_of_one_event_sell_a_position_once() -> None:
    """I-21: the second sees the first one's order although it has not left yet."""
    room = desk()
    room.hold("1")
    outcome = room.tick(CLOSE, ClosePosition("8", "ema-trend", BTC, "bert"))
    assert [i.quantity_base for i, _ in outcome.submitted] == [D("1")]


def test_a_crash_before_the_commit_repeats_the_very_same_order() -> None:
    """F-002, D-19: the request is still due, and its order has the same name."""
    ids = []
    for _ in range(2):
        room = desk()
        room.hold("1")
        ids.append(room.tick(CLOSE).submitted[0][0].client_order_id)
    assert ids[0] == ids[1]


def test_moved_exits_stand_in_the_books_and_on_disk() -> None:
    """D-59: stop and target follow what a person asked; what is not named stays."""
    room = desk()
    room.hold("1", stop="95", target="120")
    room.tick(MoveExits("7", "ema-trend", BTC, "anna", {"stop_price": D("98")}))
    held = room.ledger.position("ema-trend", BTC)
    assert (held.stop_price, held.target_price) == (D("98"), D("120"))
    assert "lots" in room.journal.log
    room.tick(MoveExits("8", "ema-trend", BTC, "anna", {"target_price": None}))
    assert room.ledger.position("ema-trend", BTC).target_price is None
    assert room.ledger.lots[0].risk_per_unit_quote == D("5"), "R keeps its first risk"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"stop_price": D("94")}, "stop_price was 94, which widens the stop of 95"),
        ({"stop_price": None}, "stop_price was none, which widens the stop of 95"),
        ({"stop_price": D("100")}, "allowed: below the price, which was 100"),
        ({"target_price": D("99")}, "allowed: above the price, which was 100"),
        ({"stop_price": D("96.005")}, "allowed: above 0 in steps of 0.01"),
        ({"stop_price": D("-1")}, "allowed: above 0"),
    ],
)
def test_exits_that_would_act_at_once_or_risk_more_are_refused(
    changes: dict[str, Decimal | None], text: str
) -> None:
    """SEC-19: a tighter stop needs nothing, a wider one a second look."""
    room = desk()
    room.hold("1", stop="95", target="120")
    room.tick(MoveExits("7", "ema-trend", BTC, "anna", changes))
    assert room.verdict()[0] is Verdict.REFUSED
    assert text in room.verdict()[1]
    assert room.ledger.position("ema-trend", BTC).stop_price == D("95")


def test_a_wider_stop_is_taken_from_who_may_widen() -> None:
    room = desk()
    room.hold("1", stop="95")
    room.tick(MoveExits("7", "ema-trend", BTC, "anna", {"stop_price": D("90")}, may_widen=True))
    assert room.ledger.position("ema-trend", BTC).stop_price == D("90")


def test_a_short_position_mirrors_the_sides() -> None:
    """Below the price is where a short's target lies, and its stop tightens downwards."""
    assert widens(Side.SELL, D("105"), D("106"))
    assert not widens(Side.SELL, D("105"), D("104"))
    given = {
        "side": Side.SELL,
        "stop_price": D("105"),
        "price": D("100"),
        "instrument": instrument(),
        "may_widen": False,
    }
    assert exits_refusal(changes={"stop_price": D("103")}, **given) == ""  # type: ignore[arg-type]
    assert "above the price" in exits_refusal(changes={"stop_price": D("99")}, **given)  # type: ignore[arg-type]


def test_what_cannot_be_booked_refuses_the_request_and_nothing_else() -> None:
    """One impossible request is no reason to stop the session."""
    room = desk()
    room.tick(Adjust("1", "USDT", D("NaN"), "anna"), Adjust("2", "USDT", D("5"), "anna"))
    assert [s.verdict for s in room.asked.settled] == [Verdict.REFUSED, Verdict.DONE]


def test_an_entry_on_its_way_is_no_exit() -> None:
    """Only exits take from what can be closed."""
    room = desk()
    room.hold("1")
    room.broker.submit(entry_on_its_way("0.5"), room.tick().event)
    assert room.tick(CLOSE).submitted[0][0].quantity_base == D("1")


def test_the_resting_stop_follows_what_people_ask() -> None:
    """CTL-15, I-20, I-21: a moved stop is replaced, half a close leaves the stop of the other half,
    and a whole close leaves none."""
    room = desk(protected=True)
    room.hold("1", stop="95")
    room.tick()

    def resting() -> list[tuple[Decimal, Decimal | None]]:
        orders = room.broker.open_intents()
        return [(i.quantity_base, i.stop_price) for i in orders if i.cause is Cause.PROTECTION]

    assert resting() == [(D("1"), D("95"))]
    room.tick(MoveExits("6", "ema-trend", BTC, "anna", {"stop_price": D("98")}))
    assert resting() == [(D("1"), D("98"))]
    room.tick(ClosePosition("7", "ema-trend", BTC, "anna", fraction=D("0.5")))
    assert resting() == [(D("0.5"), D("98"))]
    room.tick(ClosePosition("8", "ema-trend", BTC, "anna"))
    assert resting() == []
