"""A position's stop rests at the broker from its fill to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import pytest

from engine.announce import EventOutcome
from engine.client_ids import RunIdentity
from engine.kill_switch import barred_by
from engine.limits import RiskLimits
from engine.matching import FeeIn
from engine.paper import PaperBroker
from engine.phases.config import Readiness
from engine.phases.pipeline import Pipeline
from engine.policy import BasePolicy
from engine.ports import StrategyStatus, TradingState
from engine.protection import Guard, Protection
from engine.side_books import COUNTERFACTUAL, SideBooks, SideMarket, SidePlan
from engine.side_gates import CounterfactualGate
from engine.simulated_operator import SimulatedOperator
from engine.types.bars import EventKind, MarketEvent
from engine.types.orders import Cause, OrderIntent, OrderType, Purpose, Rejection
from engine.types.requests import Adjustment
from tests.bar_factory import random_walk
from tests.engine.books import BTC, instrument
from tests.engine.phases.scene import CONFIG, Gate, Incidents, Rule, book_at, fail_safe, pipeline
from tests.engine.sessions import MANY_ENTRIES, Scene, event_at, scene
from trades.side_book_state import JsonCodec

BARS = random_walk(7, 900)
EAGER = replace(CONFIG, ensemble_trades=False, required_readiness=Readiness.NOT_READY)
ROWS = range(650, 800)
IDENTITY = RunIdentity("0a1b2c", "main", "run", BARS.timeframe_ms)


def phases(max_holding_bars: int = 9) -> Pipeline:
    """A rule that proposes on every bar, and leaves what it holds after some."""
    rules = [Rule("one", 0.6, side=1, stop_fraction=0.004)]
    return pipeline(rules, config=replace(EAGER, max_holding_bars=max_holding_bars))


def room(**changes: Any) -> Scene:
    protection = Protection(IDENTITY, {BTC: instrument()})
    fields = {"first_row": ROWS.start, "protection": protection, **changes}
    return scene(BARS, fields.pop("phases", phases()), **fields)


def walk(of: Scene, rows: range, *, book: Any = book_at) -> None:
    """Feed bars as the loop and the replay do: what filled at once is booked before the next."""
    for row in rows:
        event = event_at(BARS, row, book)
        of.session.on_event(event)
        if of.session.has_news():
            clock = MarketEvent(EventKind.CLOCK, "", event.ts_ms, event.now_ms)
            of.session.on_event(clock)


def resting(of: Scene) -> list[OrderIntent]:
    return [i for i in of.broker.open_intents() if i.cause is Cause.PROTECTION]


def test_the_stop_rests_before_the_bar_after_the_entry() -> None:
    """CTL-15, I-20: of the whole position, from the moment its fill is booked."""
    of = room()
    walk(of, range(ROWS.start, ROWS.start + 1))
    (held,) = of.account.ledger.positions()
    (stop,) = resting(of)
    assert (stop.quantity_base, stop.stop_price) == (held.quantity_base, held.stop_price)
    assert of.journal.intents == [stop], "written ahead of the wire"


def test_at_every_bar_each_position_has_exactly_its_stop() -> None:
    """I-20, I-21, F-007: through entries, exits and stops of 150 bars."""
    of = room()
    for row in ROWS:
        walk(of, range(row, row + 1))
        held = {p.quantity_base for p in of.account.ledger.positions()}
        assert {s.quantity_base for s in resting(of)} == held
        assert len(resting(of)) == len(of.account.ledger.positions()) <= 1
    reasons = {t.exit_reason for t in of.journal.trades}
    assert reasons >= {"STOP", "MAX_HOLDING"}


def test_a_stop_fills_within_the_bar_at_its_own_price() -> None:
    """CTL-15: not at the close of the bar, nor at the next one's open."""
    of = room()
    walk(of, ROWS)
    stopped = [(f, i) for f, i in of.journal.fills if i.cause is Cause.PROTECTION]
    assert len(stopped) >= 2
    for fill, intent in stopped:
        assert intent.stop_price is not None and fill.price <= intent.stop_price
    assert any(fill.price == intent.stop_price for fill, intent in stopped)


def test_a_resting_stop_denies_no_exit_of_its_position() -> None:
    """ORC-17: the stop is cancelled for the exit, which leaves on the same event."""
    of = room(phases=phases(max_holding_bars=2))
    walk(of, range(ROWS.start, ROWS.start + 4))
    assert "MAX_HOLDING" in {t.exit_reason for t in of.journal.trades}
    assert not any(d.reason_code == "DUPLICATE" for d in of.journal.decisions)


def test_halted_keeps_the_stop_and_it_still_closes_the_position() -> None:
    """CTL-13: the kill switch stops what we send, not what protects."""
    of = room(phases=phases(max_holding_bars=500))
    row = ROWS.start
    walk(of, range(row, row + 1))
    (stop,) = resting(of)
    of.gate.state = TradingState.HALTED
    while of.account.ledger.positions():
        assert resting(of) == [stop]
        row += 1
        walk(of, range(row, row + 1))
    assert [t.exit_reason for t in of.journal.trades] == ["STOP"]
    assert resting(of) == []


class OnDisk(PaperBroker):
    """Knows what is written and not sent yet, as a broker with rows does."""

    written: list[OrderIntent]

    def waiting(self) -> Sequence[OrderIntent]:
        return self.written


def test_a_breaker_that_halts_after_an_exit_was_decided_leaves_the_stop() -> None:
    """CTL-13, I-20: the exit will be denied, so the stop does not give way to it."""
    broker = OnDisk({BTC: instrument()})
    broker.written = []
    of = room(phases=phases(max_holding_bars=500), broker=broker)
    walk(of, range(ROWS.start, ROWS.start + 1))
    (stop,) = resting(of)
    way_out = replace(
        stop,
        client_order_id="exit",
        cause=Cause.DECISION,
        order_type=OrderType.MARKET,
        stop_price=None,
    )
    broker.written = [way_out]
    event = event_at(BARS, ROWS.start)
    for state, cancelled in ((TradingState.ACTIVE, [stop]), (TradingState.HALTED, [])):
        of.gate.state = state
        outcome = EventOutcome(event)
        outcome.intents.append(way_out)
        of.session._book.protect((), event, outcome)
        assert [order for order, _ in outcome.cancels] == cancelled


class Patient(SimulatedOperator):
    """Looks away while it has patience."""

    has_patience = True

    def escalate(self, *breach: Any, **scope: Any) -> None:
        if not self.has_patience:
            super().escalate(*breach, **scope)


def test_the_exit_of_a_bar_that_halts_leaves_neither_in_replay_nor_in_a_side_book() -> None:
    """CTL-13, D-60: as in a live run, where the claim denies it; the stop stays."""
    operator = Patient({"one": StrategyStatus.ACTIVE}, resume_after_days=2)
    market = SideMarket(
        identity=IDENTITY, instruments={BTC: instrument()}, limits=MANY_ENTRIES, guard=Guard()
    )
    plan = SidePlan(
        name=COUNTERFACTUAL,
        wanted=lambda: True,
        may_enter=lambda code: True,
        copies_account=True,
        gatekeeper=CounterfactualGate(operator, lambda code: StrategyStatus.ACTIVE),
        policy=BasePolicy(),
    )
    of = room(
        phases=phases(max_holding_bars=1),
        broker=PaperBroker({BTC: instrument()}, barred=barred_by(operator)),
        gatekeeper=operator,
        limits=replace(MANY_ENTRIES, max_drawdown=D("0.00001")),
        side_books=SideBooks([plan], market, fail_safe(Incidents()), JsonCodec(), None),
    )
    walk(of, range(ROWS.start, ROWS.start + 1))
    assert len(resting(of)) == 1
    operator.has_patience = False
    outcome = of.session.on_event(event_at(BARS, ROWS.start + 1, book_at))
    (halt,) = operator.interventions
    assert halt.reason_code == "MAX_DRAWDOWN"
    (exit_,) = (d.intent for d in outcome.decisions if d.intent is not None)
    assert exit_.purpose is Purpose.EXIT, "decided before the breaker looked"
    assert [(i, r.code) for i, r in outcome.submitted if isinstance(r, Rejection)] == [
        (exit_, "HALTED")
    ]
    (held,) = of.account.ledger.positions()
    (stop,) = resting(of)
    assert stop.quantity_base == held.quantity_base and not outcome.cancels
    side: Any = of.session.state()["side_books"]
    (waiting,) = side[COUNTERFACTUAL]["resting"]
    assert waiting["intent"]["cause"] == Cause.PROTECTION.value
    assert not side[COUNTERFACTUAL]["due"], "the side book's exit has not filled either"


def test_the_stop_goes_on_after_a_restart() -> None:
    """A broker on paper remembers what rests, and the plan finds nothing to add."""
    of = room()
    walk(of, range(ROWS.start, ROWS.start + 1))
    (stop,) = resting(of)
    again = PaperBroker({BTC: instrument()}, resting=of.broker.resting())
    later = room(broker=again, account=of.account, first_row=ROWS.start + 1)
    walk(later, range(ROWS.start + 1, ROWS.start + 2))
    assert later.journal.intents == [] or later.journal.trades
    assert resting(later) == ([] if later.journal.trades else [stop])


def test_without_protection_stops_are_judged_at_closes_alone() -> None:
    """The way back: one setting."""
    of = room(protection=None)
    walk(of, ROWS)
    assert of.journal.intents == []
    assert "STOP" in {t.exit_reason for t in of.journal.trades}


def test_the_counterfactual_book_protects_as_the_run_does() -> None:
    """OPT-01, D-60: without a layer both earn the same, stops included, to the last digit."""
    gate = Gate()
    plan = SidePlan(
        name=COUNTERFACTUAL,
        wanted=lambda: True,
        may_enter=lambda code: True,
        copies_account=True,
        gatekeeper=CounterfactualGate(gate, lambda code: StrategyStatus.ACTIVE),
        policy=BasePolicy(),
    )
    market = SideMarket(
        identity=IDENTITY,
        instruments={BTC: instrument()},
        limits=RiskLimits(),
        guard=Guard(),
    )
    books = SideBooks([plan], market, fail_safe(Incidents()), JsonCodec(), None)
    of = room(gatekeeper=gate, side_books=books)
    walk(of, ROWS)
    assert "STOP" in {t.exit_reason for t in of.journal.trades}
    assert [t for _, t in of.journal.side_trades] == of.journal.trades
    assert [p for _, p in of.journal.side_points] == of.journal.points


@pytest.mark.parametrize("protected", [True, False])
def test_a_fee_in_base_leaves_dust_that_is_swept_and_no_exit_that_is_retried(
    protected: bool,
) -> None:
    """F-019, F-020: what is sold is the net balance floored to the lot, the rest leaves the books;
    the strategy can enter again."""
    traded = {BTC: instrument()}
    of = room(
        broker=PaperBroker(traded, FeeIn.RECEIVED),
        instruments=traded,
        **({} if protected else {"protection": None}),
    )
    walk(of, ROWS)
    trades = of.journal.trades
    dust = [t for t in trades if t.exit_reason == "dust"]
    assert len(dust) >= 3
    assert all(t.quantity_base < traded[BTC].lot_size for t in dust)
    exits = [(f, i) for f, i in of.journal.fills if i.purpose is Purpose.EXIT]
    assert len(trades) == len(exits) + len(dust)
    entries = [i for _, i in of.journal.fills if i.purpose is Purpose.ENTRY]
    names = {i.client_order_id for _, i in exits}
    still_open = len(of.account.ledger.positions())
    assert len(names) == len({i.client_order_id for i in entries}) - still_open, "no exit twice"
    assert all(f.quantity_base % traded[BTC].lot_size == 0 for f, _ in exits)
    assert of.account.losing_streak("one") <= len(exits)


class Listening:
    """A protection watch."""

    def __init__(self) -> None:
        self.found: list[Any] = []

    def unprotected(self, found: Any) -> None:
        self.found.append(dict(found))


def test_a_position_whose_stop_is_missing_makes_news_until_a_person_was_told() -> None:
    """I-20: the loop wakes for it between two bars."""
    gate, told = Gate(), Listening()
    protection = Protection(IDENTITY, {BTC: instrument()}, watch=told)
    of = room(gatekeeper=gate, protection=protection)
    assert of.session.has_news(), "the first event says what stands"
    row = ROWS.start
    of.session.on_event(event_at(BARS, row, book_at))
    gate.state = TradingState.HALTED
    event = event_at(BARS, row, book_at)
    seen = [of.session.has_news()]
    for seconds in (1, 2, 63, 64):
        at_ms = event.now_ms + seconds * 1_000
        of.session.on_event(MarketEvent(EventKind.CLOCK, "", at_ms, at_ms))
        seen.append(of.session.has_news())
    assert [list(found) for found in told.found] == [[], [("one", BTC)]]
    assert seen[1] is True and seen[-1] is False


def test_equity_points_never_go_back_in_time() -> None:
    """I-6: a bar that comes after a clock event may have closed before it."""
    of = room()
    walk(of, range(ROWS.start, ROWS.start + 1))
    bar = event_at(BARS, ROWS.start + 1, book_at)
    ahead = MarketEvent(EventKind.CLOCK, "", bar.ts_ms + 500, bar.ts_ms + 500)
    outcome = EventOutcome(ahead)
    outcome.adjustments.append(Adjustment("USDT", D(1), D(1), D(1), D(1), ahead.ts_ms))
    of.session._book.mark(ahead, outcome)
    of.session.on_event(bar)
    assert [point.ts_ms for point in of.journal.points][-2:] == [ahead.ts_ms, ahead.ts_ms]
