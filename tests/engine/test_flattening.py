"""Flatten leaves nothing open in its scope, sends nothing twice, and says what it could not."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from engine.announce import Finding
from engine.flattening import MAX_MISSES, PAUSES_S
from engine.ports import TradingState
from engine.types.orders import OrderIntent, OrderType
from engine.types.requests import Flatten, Verdict
from tests.engine.asking import Desk, desk, entry_on_its_way
from tests.engine.books import BTC, D

ALL = Flatten("3", "global", "anna", "weekend")


def room_with(*positions: tuple[str, str, str]) -> Desk:
    room = desk()
    room.gate.state = TradingState.REDUCING
    for strategy, symbol, quantity in positions:
        room.hold(quantity, strategy=strategy, symbol=symbol)
    return room


def _after(count: dict[tuple[str, str], int], missed: dict[tuple[str, str], int]) -> Flatten:
    """The flatten once each position had so many exits, none of which took anything."""
    return replace(ALL, legs=dict(count), misses=dict(count), missed_ms=dict(missed))


def sent(outcome: object) -> list[OrderIntent]:
    return [intent for intent, _ in outcome.submitted]  # type: ignore[attr-defined]


def test_flatten_closes_every_position_of_its_scope_and_then_is_done() -> None:
    """CTL-13, D-28: exits first; only a flat scope is done, for its halt to follow."""
    room = room_with(("ema-trend", BTC, "1"), ("breakout", "ETH/USDT", "2"))
    orders = sent(room.tick(ALL))
    assert {(o.strategy, o.symbol, o.quantity_base) for o in orders} == {
        ("ema-trend", BTC, D("1")),
        ("breakout", "ETH/USDT", D("2")),
    }
    assert {(o.reason_code, o.actor) for o in orders} == {("FLATTEN", "anna")}
    assert room.verdict()[0] is Verdict.WORKING
    assert sent(room.tick()) == [], "what is on its way is not sent again"
    for order in orders:
        room.fill(order, "99")
    room.tick()
    assert room.verdict() == (Verdict.DONE, "global is flat")
    assert room.ledger.positions() == ()


def test_flatten_of_one_strategy_or_symbol_leaves_the_others_alone() -> None:
    """CTL-13: three scopes."""
    for scope, wanted in (("strategy:breakout", "ETH/USDT"), (f"symbol:{BTC}", BTC)):
        room = room_with(("ema-trend", BTC, "1"), ("breakout", "ETH/USDT", "2"))
        assert [o.symbol for o in sent(room.tick(replace(ALL, scope=scope)))] == [wanted]


def test_an_exit_that_ends_unfilled_is_followed_by_the_next_leg_five_times_at_most() -> None:
    """I-21: never two at once, and a venue that keeps refusing is not asked for ever."""
    room = room_with(("ema-trend", BTC, "1"))
    count: dict[tuple[str, str], int] = {}
    seen = set()
    for turn in range(5):
        room.asked.asked = [replace(ALL, legs=dict(count), misses=dict(count))]
        (order,) = sent(room.tick())
        assert order.leg == turn
        seen.add(order.client_order_id)
        count["ema-trend", BTC] = turn + 1
        room.end(order)
    assert len(seen) == 5
    room.asked.asked = [replace(ALL, legs=count, misses=count)]
    assert sent(room.tick()) == []
    assert room.verdict()[0] is Verdict.REFUSED
    assert "left open: 1 BTC/USDT of ema-trend: 5 exits in a row" in room.verdict()[1]


def test_a_venue_that_refuses_is_asked_again_after_pauses_that_grow() -> None:
    """CTL-13, D-28: five exits within five seconds outlast nothing; the last word is an alert."""
    room = room_with(("ema-trend", BTC, "1"))
    at_s: list[float] = []
    count: dict[tuple[str, str], int] = {}
    missed: dict[tuple[str, str], int] = {}
    while not at_s or room.verdict()[0] is Verdict.WORKING:
        room.asked.asked = [_after(count, missed)]
        outcome = room.tick()
        for order in sent(outcome):
            at_s.append(room.now_ms / 1_000)
            count["ema-trend", BTC], missed["ema-trend", BTC] = len(at_s), room.now_ms
            room.end(order)
    waits = [after - before for before, after in pairwise(at_s)]
    assert waits == list(PAUSES_S)
    assert waits == sorted(waits) and waits[0] > 1, "they grow, and no event is the next at once"
    text = room.verdict()[1]
    assert "5 exits in a row took nothing, at least 2, 5, 15, 45 s apart" in text
    (alert,) = outcome.alerts
    assert alert.code == "FLATTEN_LEFT_OPEN" and text in alert.text
    assert isinstance(alert, Finding) and alert.subject == ALL.request_id
    assert any("the next exit in 44 s" in settled.text for settled in room.asked.settled)


def test_a_position_that_waits_for_its_next_exit_has_its_stop_again() -> None:
    """I-20: the pause is no moment without a stop."""
    room = desk(protected=True)
    room.gate.state = TradingState.REDUCING
    room.hold("1")
    room.scene.account.ledger.mark(BTC, 99.0)
    missed = {("ema-trend", BTC): room.now_ms}
    (stop,) = sent(room.tick(_after({("ema-trend", BTC): 4}, missed)))
    assert (stop.order_type, stop.quantity_base) == (OrderType.STOP, D("1"))


def test_a_part_fill_is_followed_by_the_rest_only() -> None:
    """F-018, I-21: what has filled is not sold again."""
    room = room_with(("ema-trend", BTC, "1"))
    (order,) = sent(room.tick(ALL))
    room.fill(order, "99", "0.4")
    (rest,) = sent(room.tick())
    assert rest.quantity_base == D("0.6")


def test_a_flatten_that_makes_progress_goes_on_until_it_is_flat() -> None:
    """CTL-13, D-28: a thin book takes 15 % an exit and the rest of each expires; no exit after one
    that took something waits, and their number alone leaves nothing open."""
    room = room_with(("ema-trend", BTC, "1"))
    key, n_legs = ("ema-trend", BTC), 0
    room.asked.asked = [ALL]
    (order,) = sent(room.tick())
    while order.quantity_base > D("0.1"):
        n_legs += 1
        room.fill(order, "99", str((order.quantity_base * D("0.15")).quantize(D("0.001"))))
        room.asked.asked = [replace(ALL, legs={key: n_legs})]
        (order,) = sent(room.tick())
        assert order.leg == n_legs
    assert n_legs > MAX_MISSES
    room.fill(order, "99")
    room.tick()
    assert room.verdict() == (Verdict.DONE, "global is flat")


def test_dust_does_not_keep_a_flatten_from_its_end() -> None:
    """F-019: what no order can close is named."""
    room = room_with(("ema-trend", BTC, "0.00001"))
    assert sent(room.tick(ALL)) == []
    assert room.verdict()[0] is Verdict.DONE
    assert "too small to sell: 0.00001 BTC/USDT of ema-trend" in room.verdict()[1]


def test_an_entry_that_may_still_fill_keeps_it_at_work() -> None:
    """CTL-13: a position that opens while it works is closed too."""
    room = room_with()
    entry = entry_on_its_way("1")
    room.broker.submit(entry, room.tick().event)
    assert sent(room.tick(ALL)) == []
    assert room.verdict()[0] is Verdict.WORKING
    room.fill(entry, "100")
    assert [o.quantity_base for o in sent(room.tick())] == [D("1")]


def test_a_halted_symbol_is_left_open_and_named() -> None:
    """F-013: a symbol that somebody traded by hand is not sold on a guess."""
    room = room_with(("ema-trend", BTC, "1"))
    room.gate.state, room.gate.reason = TradingState.HALTED, "traded by hand"
    room.tick(ALL)
    assert room.verdict()[0] is Verdict.REFUSED
    assert "traded by hand" in room.verdict()[1]


def test_a_scope_that_was_resumed_is_not_flattened_any_more() -> None:
    room = room_with(("ema-trend", BTC, "1"))
    room.gate.state = TradingState.ACTIVE
    assert sent(room.tick(ALL)) == []
    assert room.verdict() == (Verdict.REFUSED, "global was resumed before it was flat")
