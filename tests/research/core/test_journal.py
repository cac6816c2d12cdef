"""The journal of a replay: counts, caps checked anew, one digest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.limits import RiskLimits
from engine.phases.final_decision import hold
from engine.types.bars import EventKind, MarketEvent
from engine.types.decisions import Action, Decision, Reason
from engine.types.ledger import EquityPoint
from engine.types.orders import Purpose
from research.core.journal import MemoryJournal
from tests.engine.books import BTC, D, fill, intent
from tests.engine.phases.scene import CONFIG, entry, snapshot

ETH = "ETH/USDT"
HOLD = hold("one", snapshot(), Reason("WHY", "because"), CONFIG)


def journal() -> MemoryJournal:
    return MemoryJournal([BTC, ETH], RiskLimits())


def at(ts_ms: int, symbol: str = BTC) -> MarketEvent:
    return MarketEvent(EventKind.CLOCK, symbol, ts_ms, ts_ms)


def point(exposure: str = "0") -> EquityPoint:
    return EquityPoint(1, D("10000"), D("10000"), D(exposure), D("10000"), 0.0, D(0))


def bought(quantity: str = "1", stop: str | None = "99", **changes: Any) -> Decision:
    order = intent(quantity=quantity, stop_price=None if stop is None else D(stop), **changes)
    return replace(
        HOLD,
        action=Action.BUY,
        quantity_base=order.quantity_base,
        intent=order,
        proposal=entry(),
        strategy=order.strategy,
    )


def counted(*decisions: Decision, exposure: str = "0") -> MemoryJournal:
    made = journal()
    with made.event(at(1)):
        for decision in decisions:
            made.record_decision(decision)
        made.record_equity(point(exposure), at(1))
    return made


def test_decisions_proposals_and_orders_are_counted() -> None:
    """ORC-19: a proposal that ended in HOLD was filtered; a silent bar is no proposal."""
    counts = counted(HOLD, replace(HOLD, proposal=entry()), bought()).counts
    assert (counts.decisions, counts.proposals, counts.filtered, counts.orders) == (3, 2, 1, 1)


def test_events_bars_and_fills_are_counted() -> None:
    made = journal()
    made.record_bar(at(1))
    made.record_rejected_event(at(2), "bad")
    made.record_fill(fill(intent(), "100"), intent())
    counts = made.counts
    assert (counts.bars, counts.rejected_events, counts.fills) == (1, 1, 1)


@pytest.mark.parametrize(
    ("decision", "exposure", "breaches"),
    [
        (bought("10"), "0", 0),
        (bought("10.1"), "0", 1),
        (bought("2", stop=None), "0", 0),
        (bought("2.1", stop=None), "0", 1),
        (bought("4", stop="49"), "0", 1),
        (bought("1"), "5900", 0),
        (bought("1.1"), "5900", 1),
        (bought("500", purpose=Purpose.EXIT), "0", 0),
    ],
    ids=["cap", "size", "no stop", "all at risk", "stop far", "room", "gross", "exit"],
)
def test_every_entry_is_held_against_the_caps_once_more(
    decision: Decision, exposure: str, breaches: int
) -> None:
    """D-01, OPT-23: position size, stop risk and gross exposure, whatever sizing did."""
    assert counted(decision, exposure=exposure).counts.cap_breaches == breaches


def digest_of(*lines: tuple[int, str]) -> str:
    """Fills delivered in this order: (time, symbol)."""
    made = journal()
    with made.event(at(0)):
        for ts_ms, symbol in lines:
            order = intent(symbol=symbol)
            made.record_fill(fill(order, "100", ts_ms=ts_ms, symbol=symbol), order)
    return made.hexdigest()


def test_fills_are_digested_in_the_order_of_their_own_time() -> None:
    """I-26, D-24: however late one is delivered; symbols at a tie in declared order."""
    assert digest_of((5, BTC), (3, BTC)) == digest_of((3, BTC), (5, BTC))
    assert digest_of((5, ETH), (5, BTC)) == digest_of((5, BTC), (5, ETH))
    assert digest_of((5, BTC), (3, BTC)) != digest_of((5, BTC), (4, BTC))


def test_decisions_of_one_bar_are_digested_in_the_order_of_strategies() -> None:
    """I-26"""
    a, b = replace(HOLD, strategy="a"), replace(HOLD, strategy="b")
    assert counted(a, b).hexdigest() == counted(b, a).hexdigest()
    assert counted(a, b).hexdigest() != counted(a, a).hexdigest()


def test_a_fill_waits_until_its_time_has_passed_and_none_is_lost() -> None:
    """I-26: two events or one, the same digest."""
    one, two = journal(), journal()
    orders = [intent(), intent()]
    for order, ts_ms in zip(orders, (5, 3), strict=True):
        one.record_fill(fill(order, "100", ts_ms=ts_ms), order)
    two.record_fill(fill(orders[0], "100", ts_ms=5), orders[0])
    two.event(at(5))
    two.record_fill(fill(orders[1], "100", ts_ms=3), orders[1])
    two.event(at(6))
    assert one.hexdigest() == two.hexdigest() != journal().hexdigest()


def test_memory_does_not_grow_with_the_run() -> None:
    """ORC-20: after a thousand events nothing waits."""
    made = journal()
    for ts_ms in range(1, 1_001):
        with made.event(at(ts_ms)):
            made.record_decision(HOLD)
            order = intent()
            made.record_fill(fill(order, "100", ts_ms=ts_ms - 1), order)
            made.record_equity(point(), at(ts_ms))
    made.event(at(2_000))
    assert made._waiting_fills == [] and made._event_decisions == []
    assert made.counts.fills == made.counts.decisions == 1_000


def test_an_exception_inside_an_event_is_not_swallowed() -> None:
    with pytest.raises(OSError, match="disk full"), journal().event(at(1)):
        raise OSError("disk full")
