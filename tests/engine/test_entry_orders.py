"""Entries that wait with a limit: how long, at what price, for how much, and when they end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest

from engine.client_ids import RunIdentity, client_order_id
from engine.entry_orders import Entering, EntryDesk, EntryPlan, EntryRules, EntryType
from engine.matching import FeeIn
from engine.paper import PaperBroker
from engine.phases.config import Readiness
from engine.ports import TradingState
from engine.protection import Guard, Protection
from engine.types.bars import EventKind, MarketEvent
from engine.types.opinions import Side
from engine.types.orders import Cause, OrderIntent, OrderType, Purpose
from tests.bar_factory import random_walk
from tests.engine.books import BTC, D, instrument, intent
from tests.engine.phases.scene import CONFIG, Rule, book_at, pipeline
from tests.engine.sessions import Scene, event_at, scene

IDENTITY = RunIdentity("0a1b2c", "main", "run", 60_000)
TRADED = {BTC: instrument()}
LIMIT = EntryRules(
    entry_type=EntryType.LIMIT, limit_offset_bps=D("10"), timeout_bars=2, reprice_times=1
)
WANTED = intent(
    quantity="0.01",
    reference_price=D("50000"),
    stop_price=D("49500"),
    decided_at_ms=60_000,
    client_order_id=client_order_id("0a1b2c", "main", "run", "ema-trend", BTC, 60_000, 0),
)


@dataclass
class Room:
    rules: EntryRules = LIMIT
    orders: list[OrderIntent] = field(default_factory=list)
    filled: dict[str, Decimal] = field(default_factory=dict)
    mark: Decimal = Decimal(50_000)
    may_enter: bool = True

    def __post_init__(self) -> None:
        self.desk = EntryDesk(self.rules, IDENTITY, TRADED)

    def plan(self, bars: int, kind: EventKind = EventKind.BAR) -> EntryPlan:
        """Plan so many bars after the decision."""
        at_ms = 60_000 * (1 + bars)
        entering = Entering(
            orders=self.orders,
            filled_base=lambda name: self.filled.get(name, Decimal(0)),
            mark=lambda symbol: self.mark,
            may_enter=lambda symbol, strategy: self.may_enter,
        )
        return self.desk.plan(entering, MarketEvent(kind, BTC, at_ms, at_ms))

    def waiting(self, filled: str = "0") -> OrderIntent:
        """Let the first leg rest, filled in part."""
        first = self.desk.shape(WANTED)
        self.filled[first.client_order_id] = D(filled)
        self.orders = [first.remainder(D(filled))]
        return first


def test_a_limit_entry_waits_on_the_better_side_of_the_close() -> None:
    shaped = EntryDesk(LIMIT, IDENTITY, TRADED).shape(WANTED)
    assert (shaped.order_type, shaped.limit_price) == (OrderType.LIMIT, D("49950.00"))
    assert shaped.quantity_base == WANTED.quantity_base
    assert shaped.client_order_id == WANTED.client_order_id
    short = replace(WANTED, side=Side.SELL, stop_price=D("50500"))
    assert EntryDesk(LIMIT, IDENTITY, TRADED).shape(short).limit_price == D("50050.00")


def test_exits_and_market_entries_go_as_they_are() -> None:
    leaving = replace(WANTED, purpose=Purpose.EXIT)
    assert EntryDesk(LIMIT, IDENTITY, TRADED).shape(leaving) is leaving
    assert EntryDesk(EntryRules(), IDENTITY, TRADED).shape(WANTED) is WANTED


def test_a_limit_beyond_the_entrys_own_stop_is_none() -> None:
    """It would be stopped by the move that fills it."""
    wide = replace(LIMIT, limit_offset_bps=D("100"))
    assert EntryDesk(wide, IDENTITY, TRADED).shape(WANTED) is WANTED


def test_what_is_left_after_the_time_out_is_priced_anew_once_the_order_has_ended() -> None:
    """F-018: the rest is the target less the fills, and never the full size again."""
    room = Room(mark=D("49800"))
    first = room.waiting("0.004")
    assert room.plan(1) == EntryPlan()
    ((cancelled, reason),) = room.plan(2).cancels
    assert cancelled.client_order_id == first.client_order_id
    assert reason == "not filled within 2 bars, to be priced anew"
    assert room.plan(3) == EntryPlan(), "it has not ended: more of it may have filled"
    room.filled[first.client_order_id] = D("0.007")
    room.orders = []
    assert room.plan(4, EventKind.CLOCK) == EntryPlan()
    (second,) = room.plan(4).new
    assert second.quantity_base == D("0.003")
    assert (second.leg, second.limit_price) == (1, D("49750.20"))
    assert second.client_order_id == client_order_id(
        "0a1b2c", "main", "run", "ema-trend", BTC, 60_000, 1
    )
    assert (second.stop_price, second.decided_at_ms) == (WANTED.stop_price, 60_000)
    room.orders = [second]
    assert room.plan(4, EventKind.CLOCK) == EntryPlan(), "it has its whole time from here"
    assert room.plan(5, EventKind.CLOCK) == EntryPlan(), "time is judged at bars"
    ((_, reason),) = room.plan(5).cancels
    assert reason.endswith("given up")


def test_an_order_that_filled_while_it_was_cancelled_has_no_next_leg() -> None:
    """F-015, F-018"""
    room = Room()
    first = room.waiting()
    room.plan(2)
    room.orders, room.filled = [], {first.client_order_id: D("0.01")}
    assert room.plan(3) == EntryPlan()


def test_a_higher_price_never_costs_or_risks_more_than_was_decided() -> None:
    """ORC-14: caps were applied to the first price."""
    room = Room(mark=D("50600"))
    room.waiting()
    room.plan(2)
    room.orders = []
    (second,) = room.plan(3).new
    assert second.limit_price == D("50549.40")
    risk = second.quantity_base * (second.limit_price - D("49500"))
    assert risk <= D("0.01") * D("500")
    assert second.quantity_base == D("0.0047")


@pytest.mark.parametrize(
    "change",
    [{"mark": D("49490")}, {"mark": D("49540")}, {"may_enter": False}],
    ids=["stop passed", "limit beyond the stop", "not allowed"],
)
def test_a_next_leg_that_makes_no_sense_any_more_is_not_sent(change: dict[str, Any]) -> None:
    room = Room()
    room.waiting()
    room.plan(2)
    room.orders = []
    for name, value in change.items():
        setattr(room, name, value)
    assert room.plan(3).new == ()


def test_the_last_leg_is_given_up_with_a_reason() -> None:
    room = Room(rules=replace(LIMIT, reprice_times=0))
    room.waiting()
    ((_, reason),) = room.plan(2).cancels
    assert reason == "not filled within 2 bars at the last of 1 prices: given up"
    room.orders = []
    assert room.plan(3) == EntryPlan()


def test_a_halt_ends_entries_that_wait_at_once() -> None:
    """CTL-13: the kill switch cancels entries."""
    room = Room(may_enter=False)
    room.waiting()
    ((_, reason),) = room.plan(0, EventKind.CLOCK).cancels
    assert reason == "no entry may be made any more"
    room.orders, room.may_enter = [], True
    assert room.plan(3).new == ()


@pytest.mark.parametrize(
    "wrong", [{"limit_offset_bps": D("-1")}, {"timeout_bars": 0}, {"reprice_times": -1}]
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        EntryRules(**wrong)


BARS = random_walk(7, 900)
ROWS = range(650, 800)


def session(rules: EntryRules = LIMIT, **changes: Any) -> Scene:
    eager = replace(
        CONFIG, ensemble_trades=False, required_readiness=Readiness.NOT_READY, max_holding_bars=9
    )
    proposing = [Rule("one", 0.6, side=1, stop_fraction=0.004)]
    identity = RunIdentity("0a1b2c", "main", "run", BARS.timeframe_ms)
    return scene(
        BARS,
        pipeline(proposing, config=eager),
        first_row=ROWS.start,
        broker=PaperBroker(TRADED, FeeIn.QUOTE),
        instruments=TRADED,
        **{
            "protection": Protection(identity, TRADED),
            "entries": EntryDesk(rules, identity, TRADED),
            **changes,
        },
    )


def test_through_a_session_limit_entries_fill_at_their_price_or_are_priced_anew() -> None:
    """F-018, I-20: legs of one decision together never exceed it, and fills are protected."""
    room = session()
    for row in ROWS:
        event = event_at(BARS, row, book_at)
        room.session.on_event(event)
        if room.session.has_news():
            room.session.on_event(MarketEvent(EventKind.CLOCK, "", event.ts_ms, event.now_ms))
        stops = [i for i in room.broker.open_intents() if i.cause is Cause.PROTECTION]
        assert len(stops) == len(room.account.ledger.positions())
    decided = {d.bar_close_ms: d.quantity_base for d in room.journal.decisions if d.intent}
    entries = [(f, i) for f, i in room.journal.fills if i.purpose is Purpose.ENTRY]
    assert len(entries) >= 2
    assert all(i.limit_price is not None and f.price <= i.limit_price for f, i in entries)
    bought: dict[int, Decimal] = {}
    for fill, order in entries:
        bought[order.decided_at_ms] = bought.get(order.decided_at_ms, D("0")) + fill.quantity_base
    assert all(quantity <= decided[at_ms] for at_ms, quantity in bought.items())
    assert any(i.leg == 1 for i in room.journal.intents), "some leg was priced anew"


def test_a_halt_in_a_session_leaves_no_entry_waiting() -> None:
    """CTL-13"""
    room = session()
    for row in ROWS:
        room.session.on_event(event_at(BARS, row, book_at))
        if room.broker.open_intents():
            break
    room.gate.state = TradingState.HALTED
    room.session.on_event(event_at(BARS, row + 1, book_at))
    waiting = [i for i in room.broker.open_intents() if i.purpose is Purpose.ENTRY]
    assert waiting == []


IOC = EntryRules(entry_type=EntryType.IOC_LIMIT, max_slippage_bps=D("20"))


def test_an_ioc_entry_pays_at_most_its_slippage_and_is_never_priced_anew() -> None:
    """CTL-3: the limit is rounded to the side that pays less; an exit goes to the market."""
    room = Room(IOC)
    shaped = room.desk.shape(WANTED)
    assert (shaped.order_type, shaped.limit_price) == (OrderType.IOC_LIMIT, D("50100.00"))
    odd = replace(WANTED, reference_price=D("33.33"))
    assert room.desk.shape(odd).limit_price == D("33.39")
    short = replace(odd, side=Side.SELL, stop_price=None)
    assert room.desk.shape(short).limit_price == D("33.27")
    leaving = replace(WANTED, purpose=Purpose.EXIT, side=Side.SELL)
    assert room.desk.shape(leaving) == leaving
    room.orders = [shaped]
    assert room.plan(50) == EntryPlan()
    with pytest.raises(ValueError, match="max_slippage_bps must be 0 or more, was -1"):
        EntryRules(max_slippage_bps=D("-1"))


def test_through_a_session_ioc_entries_never_pay_more_and_are_protected_by_what_filled() -> None:
    """CTL-3, I-20: partial fills and expiries leave nothing on its way."""
    room = session(rules=replace(IOC, max_slippage_bps=D("2")))
    for row in ROWS:
        event = event_at(BARS, row, book_at)
        room.session.on_event(event)
        if room.session.has_news():
            room.session.on_event(MarketEvent(EventKind.CLOCK, "", event.ts_ms, event.now_ms))
        assert all(i.cause is Cause.PROTECTION for i in room.broker.open_intents())
        held = sum(abs(p.quantity_base) for p in room.account.ledger.positions())
        assert sum(i.quantity_base for i in room.broker.open_intents()) == held
    entries = [(f, i) for f, i in room.journal.fills if i.purpose is Purpose.ENTRY]
    assert len(entries) >= 2
    assert all(i.limit_price is not None and f.price <= i.limit_price for f, i in entries)
    sent = [d for d in room.journal.decisions if d.intent and d.intent.purpose is Purpose.ENTRY]
    assert len({i.client_order_id for _, i in entries}) <= len(sent)


def test_a_session_leaves_by_market_what_its_stop_limit_left_behind() -> None:
    """F-057, I-21: after a gap through stop and limit the position is sold once, at the market."""
    identity = RunIdentity("0a1b2c", "main", "run", BARS.timeframe_ms)
    guard = Guard(order_type=OrderType.STOP_LIMIT, limit_offset_bps=D("1"))
    room = session(protection=Protection(identity, TRADED, guard=guard))
    for row in ROWS:
        room.session.on_event(event_at(BARS, row, book_at))
        resting = [i for i in room.broker.open_intents() if i.is_resting_protection]
        if resting:
            break
    (stop,) = resting
    event = event_at(BARS, row + 1, book_at)
    assert event.bar is not None and stop.limit_price is not None
    fallen = round(float(stop.limit_price) * 0.99, 2)
    gap = replace(event.bar, open=fallen, high=fallen, low=fallen * 0.999, close=fallen)
    room.session.on_event(replace(event, bar=gap, book=None))
    assert not room.broker.jumped(), "it was triggered, left behind, and then taken back"
    after = event_at(BARS, row + 2, book_at)
    assert after.bar is not None
    room.session.on_event(replace(after, bar=replace(after.bar, open=fallen), book=None))
    sold = [f for f, i in room.journal.fills if i.purpose is Purpose.EXIT]
    assert [f.price for f in sold] == [instrument().price(fallen)]
    assert sold[0].quantity_base == stop.quantity_base
    assert not room.account.ledger.positions()
