"""One stop rests for each position, of its size and at its price; none for what is not held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest

from engine.client_ids import RunIdentity
from engine.lots import Position
from engine.protection import PATIENCE_MS, Guard, Key, Protection, Standing, StopPlan
from engine.types.bars import EventKind, MarketEvent
from engine.types.opinions import Side
from engine.types.orders import Cause, OrderIntent, OrderType, Purpose, Rejection
from tests.engine.books import BTC, D, instrument

IDENTITY = RunIdentity("0a1b2c", "main", "run", 60_000)
HELD = Position("ema-trend", BTC, D("0.002"), D("50000"), D("49500"), regime="TRENDING")


@dataclass
class Told:
    """A watch that remembers what it heard last."""

    found: dict[Key, str] | None = None
    times: int = 0

    def unprotected(self, found: Mapping[Key, str]) -> None:
        self.found, self.times = dict(found), self.times + 1


@dataclass
class Room:
    """Positions and orders of one book, planned for at the given time."""

    positions: list[Position] = field(default_factory=lambda: [HELD])
    orders: list[OrderIntent] = field(default_factory=list)
    mark: Decimal | None = Decimal(50_000)
    halted: bool = False
    jumped: list[str] = field(default_factory=list)
    told: Told = field(default_factory=Told)

    def __post_init__(self) -> None:
        self.protection = Protection(IDENTITY, {BTC: instrument()}, watch=self.told)

    def plan(self, at_ms: int = 60_000, kind: EventKind = EventKind.BAR) -> StopPlan:
        standing = Standing(
            positions=self.positions,
            orders=self.orders,
            mark=lambda symbol: self.mark,
            is_halted=lambda symbol, strategy: self.halted,
            jumped=self.jumped,
        )
        symbol = BTC if kind is EventKind.BAR else ""
        return self.protection.plan(standing, MarketEvent(kind, symbol, at_ms, at_ms))

    def settled(self) -> OrderIntent:
        """Plan, and let what was planned rest."""
        (stop,) = self.plan().new
        self.orders.append(stop)
        return stop


def leaving(quantity: str = "0.002", **changes: Any) -> OrderIntent:
    room = Room()
    (stop,) = room.plan().new
    return replace(
        stop,
        **{
            "client_order_id": "exit",
            "cause": Cause.DECISION,
            "order_type": OrderType.MARKET,
            "stop_price": None,
            "quantity_base": D(quantity),
            **changes,
        },
    )


def test_a_position_gets_one_stop_of_its_size_at_its_price() -> None:
    """CTL-15, I-20."""
    (stop,) = Room().plan().new
    assert (stop.stop_price, stop.quantity_base) == (D("49500"), D("0.002"))
    assert (stop.side, stop.purpose, stop.order_type) == (Side.SELL, Purpose.EXIT, OrderType.STOP)
    assert (stop.cause, stop.reason_code) == (Cause.PROTECTION, "STOP")


def test_a_stop_that_rests_as_it_should_is_left_alone() -> None:
    """CTL-15: nothing is cancelled and sent again for nothing."""
    room = Room()
    room.settled()
    assert room.plan(120_000) == StopPlan()


def test_what_the_lot_does_not_take_is_left_out() -> None:
    """F-020: after a fee in base the net balance is sold, floored to the lot."""
    (stop,) = Room([replace(HELD, quantity_base=D("0.0019985"))]).plan().new
    assert stop.quantity_base == D("0.0019")


@pytest.mark.parametrize(
    "changed",
    [{"stop_price": D("49800")}, {"quantity_base": D("0.003")}, {"quantity_base": D("0.001")}],
    ids=["price moved", "position grew", "position shrank"],
)
def test_a_stop_that_does_not_fit_any_more_is_replaced(changed: dict[str, Any]) -> None:
    """F-006, F-018: one ends, one of the present size and price comes."""
    room = Room()
    old = room.settled()
    room.positions = [replace(HELD, **changed)]
    plan = room.plan()
    assert plan.cancels == (old,)
    (new,) = plan.new
    assert (new.stop_price, new.quantity_base) == (
        room.positions[0].stop_price,
        room.positions[0].quantity_base,
    )
    assert new.client_order_id != old.client_order_id and new.leg == 1


def test_a_crash_between_cancel_and_replacement_heals_at_the_next_event() -> None:
    """F-006: the old one is gone, the new one was never sent, and the plan is made anew."""
    room = Room()
    room.settled()
    room.orders.clear()
    assert len(room.plan(120_000).new) == 1


def test_old_and_new_side_by_side_leave_the_new_one() -> None:
    """F-006: the cancel of the old one got lost."""
    room = Room()
    old = room.settled()
    room.positions = [replace(HELD, stop_price=D("49800"))]
    (new,) = room.plan().new
    room.orders.append(new)
    assert room.plan(120_000) == StopPlan(cancels=(old,))


def test_a_flat_position_has_no_stop() -> None:
    """F-007: an orphan would open a position, or sell what is somebody else's."""
    room = Room()
    stop = room.settled()
    room.positions = []
    assert room.plan() == StopPlan(cancels=(stop,))


def test_a_position_that_is_leaving_gives_its_stop_up() -> None:
    """I-21: on a spot account the stop holds the coins that the exit needs."""
    room = Room()
    stop = room.settled()
    room.orders.append(leaving())
    assert room.plan() == StopPlan(cancels=(stop,))


def test_what_stays_of_a_position_that_is_leaving_in_part_stays_protected() -> None:
    """I-20, I-21: exit and stop together sell no more than is held."""
    room = Room()
    stop = room.settled()
    room.orders.append(leaving("0.0005", cause=Cause.REQUEST))
    plan = room.plan()
    assert plan.cancels == (stop,)
    assert [s.quantity_base for s in plan.new] == [D("0.0015")]


def test_dust_gets_no_stop_and_is_told() -> None:
    """F-019: the venue would refuse it again and again."""
    room = Room([replace(HELD, quantity_base=D("0.0001"))])
    assert room.plan().new == ()
    room.plan(60_001 + PATIENCE_MS)
    assert room.told.found is not None and "minimum was" in room.told.found["ema-trend", BTC]


def test_a_price_beyond_the_stop_is_left_to_the_bars_close() -> None:
    """CTL-15: a venue refuses a stop that would trigger at once; the old one stays meanwhile."""
    room = Room(mark=D("49500"))
    assert room.plan().new == ()
    room.mark = D("49500.01")
    stop = room.settled()
    room.positions, room.mark = [replace(HELD, stop_price=D("49900"))], D("49600")
    assert room.plan() == StopPlan()
    assert room.orders == [stop]


def test_halted_keeps_the_stops_that_rest_and_sends_none() -> None:
    """CTL-13, I-9: the old stop is kept even where it should be moved."""
    room = Room(halted=True)
    assert room.plan() == StopPlan()
    room.halted = False
    room.settled()
    room.halted, room.positions = True, [replace(HELD, stop_price=D("49800"))]
    assert room.plan() == StopPlan()


def test_a_stop_larger_than_the_position_goes_even_while_halted() -> None:
    """I-21: never more than is held."""
    room = Room()
    stop = room.settled()
    room.halted, room.positions = True, [replace(HELD, quantity_base=D("0.001"))]
    assert room.plan() == StopPlan(cancels=(stop,))


def test_a_refused_stop_is_asked_for_again_at_the_next_bar_only() -> None:
    """F-056: not at every event."""
    room = Room()
    (stop,) = room.plan().new
    room.protection.refused(stop, Rejection("-2010", "would trigger"))
    assert room.plan(61_000, EventKind.CLOCK).new == ()
    assert len(room.plan(120_000).new) == 1


def test_our_own_denial_of_a_stop_is_no_refusal_of_the_venue() -> None:
    room = Room()
    (stop,) = room.plan().new
    room.protection.refused(stop, Rejection("HALTED", "halted", by_venue=False))
    assert len(room.plan(61_000, EventKind.CLOCK).new) == 1


def test_two_stops_of_one_moment_have_two_names_also_after_a_restart() -> None:
    """I-1: the rows of the first would be in the way of the second."""
    room = Room()
    first, second = room.settled(), None
    room.orders.clear()
    (second,) = room.plan().new
    assert first.client_order_id != second.client_order_id
    again = Protection(IDENTITY, {BTC: instrument()}, named={("ema-trend", BTC): (60_000, 1)})
    room.protection = again
    (third,) = room.plan().new
    assert third.leg == 2
    assert third.client_order_id not in (first.client_order_id, second.client_order_id)


def test_a_position_without_its_stop_for_a_minute_is_told_and_untold() -> None:
    """I-20: 60 seconds, then an open alert, closed once the stop rests."""
    room = Room(halted=True)
    room.plan(0)
    room.plan(PATIENCE_MS, EventKind.CLOCK)
    assert room.told.found == {}
    room.plan(PATIENCE_MS + 1, EventKind.CLOCK)
    assert list(room.told.found) == [("ema-trend", BTC)]
    room.plan(PATIENCE_MS + 2, EventKind.CLOCK)
    assert room.told.times == 2, "one lasting state is told once"
    room.halted = False
    room.plan(PATIENCE_MS + 3)
    assert room.told.found == {}


def test_whoever_waits_to_be_told_is_not_left_until_the_next_bar() -> None:
    """I-20: bars may be hours apart, and a person hears of it after a minute all the same."""
    room = Room(halted=True)
    assert room.protection.is_counting, "what an earlier process told may be over"
    room.plan(0)
    assert room.protection.is_counting
    room.plan(PATIENCE_MS + 1, EventKind.CLOCK)
    assert not room.protection.is_counting, "told, nothing more to say before the next bar"
    room.halted = False
    room.settled()
    assert not room.protection.is_counting


def test_a_replay_counts_nothing_because_nobody_listens() -> None:
    """I-20: no event more than the bars bring."""
    assert not Protection(IDENTITY, {BTC: instrument()}).is_counting


def test_a_short_is_protected_from_above() -> None:
    short = replace(HELD, quantity_base=D("-0.002"), stop_price=D("50500"))
    (stop,) = Room([short]).plan().new
    assert (stop.side, stop.quantity_base) == (Side.BUY, D("0.002"))
    assert Room([short], mark=D("50500")).plan().new == ()


TARGETED = replace(HELD, target_price=D("52000"))


def guarded(order_type: OrderType, held: Position = TARGETED, **fields: Any) -> Room:
    room = Room([held])
    guard = Guard(order_type=order_type, **fields)
    room.protection = Protection(IDENTITY, {BTC: instrument()}, watch=room.told, guard=guard)
    return room


def test_a_stop_limit_rests_with_a_limit_beyond_its_stop() -> None:
    """CTL-15: for a short position the limit lies above."""
    room = guarded(OrderType.STOP_LIMIT, limit_offset_bps=D("50"))
    stop = room.settled()
    assert (stop.order_type, stop.stop_price) == (OrderType.STOP_LIMIT, D("49500"))
    assert (stop.limit_price, stop.reason_code) == (D("49252.50"), "STOP")
    assert room.plan(120_000) == StopPlan()
    short = replace(HELD, quantity_base=D("-0.002"), stop_price=D("50500"))
    (above,) = guarded(OrderType.STOP_LIMIT, short, limit_offset_bps=D("50")).plan().new
    assert (above.side, above.limit_price) == (Side.BUY, D("50752.50"))


def test_an_order_of_another_guard_is_replaced_by_the_configured_one() -> None:
    """F-006: a changed configuration leaves no order of the former one behind."""
    plain = Room()
    old = plain.settled()
    room = guarded(OrderType.STOP_LIMIT, HELD, limit_offset_bps=D("50"))
    room.orders = [old]
    plan = room.plan(120_000)
    assert plan.cancels == (old,)
    assert [stop.order_type for stop in plan.new] == [OrderType.STOP_LIMIT]


def test_a_take_profit_rests_at_the_target_and_alone() -> None:
    """I-21: one order of the whole quantity; the stop is judged at bars' closes."""
    room = guarded(OrderType.TAKE_PROFIT)
    (order,) = room.plan().new
    assert (order.order_type, order.target_price) == (OrderType.TAKE_PROFIT, D("52000"))
    assert (order.stop_price, order.quantity_base) == (None, D("0.002"))
    assert order.reason_code == "TARGET"
    room.mark = D("52000")
    assert room.plan(120_000).new == ()
    room.positions = [HELD]
    assert room.plan(180_000).new == (), "no target, no order"


def test_a_position_leaves_at_the_market_where_its_stop_limit_was_jumped_over() -> None:
    """F-057, CTL-15: the untouched order ends, one market order of the same quantity comes, and
    neither is asked for twice."""
    room = guarded(OrderType.STOP_LIMIT, limit_offset_bps=D("50"))
    stop = room.settled()
    room.mark, room.jumped = D("49900"), [stop.client_order_id]
    plan = room.plan(120_000, EventKind.CLOCK)
    assert plan.cancels == (stop,)
    (way_out,) = plan.new
    assert (way_out.order_type, way_out.quantity_base) == (OrderType.MARKET, D("0.002"))
    assert (way_out.reason_code, way_out.cause) == ("STOP_JUMPED", Cause.PROTECTION)
    assert way_out.client_order_id != stop.client_order_id
    room.orders.append(way_out)
    again = room.plan(121_000, EventKind.CLOCK)
    assert again.new == () and again.cancels == (stop,)


def test_a_way_out_that_the_venue_refused_is_asked_for_again_at_the_next_bar() -> None:
    """F-053: not at every event. A halt sends nothing at all."""
    room = guarded(OrderType.STOP_LIMIT, limit_offset_bps=D("50"))
    stop = room.settled()
    room.jumped = [stop.client_order_id]
    (way_out,) = room.plan(120_000, EventKind.CLOCK).new
    room.protection.refused(way_out, Rejection("-2010", "refused"))
    assert room.plan(121_000, EventKind.CLOCK).new == ()
    assert [i.order_type for i in room.plan(180_000).new] == [OrderType.MARKET]
    room.halted = True
    assert room.plan(240_000).new == ()


def test_a_stop_limit_jumped_over_in_a_halt_is_told_because_it_guards_nothing() -> None:
    """I-20, F-057: the dead order stays, nothing is sent, and a person hears of it in a minute."""
    room = guarded(OrderType.STOP_LIMIT, limit_offset_bps=D("50"))
    stop = room.settled()
    room.jumped, room.halted = [stop.client_order_id], True
    assert room.plan(120_000, EventKind.CLOCK) == StopPlan()
    assert room.plan(121_000 + PATIENCE_MS, EventKind.CLOCK) == StopPlan()
    assert "jumped over" in (room.told.found or {})[HELD.strategy, BTC]


@pytest.mark.parametrize(
    "wrong", [{"order_type": OrderType.LIMIT}, {"limit_offset_bps": D("-1")}], ids=str
)
def test_a_guard_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="was"):
        Guard(**wrong)
