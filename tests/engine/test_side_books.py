"""Virtual books beside a run: the same bars and opinions, another account (D-07, D-60)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from engine.client_ids import RunIdentity
from engine.paper import PaperBroker
from engine.phases.config import Readiness
from engine.phases.pipeline import Pipeline
from engine.policy import BasePolicy
from engine.ports import Assessment, StrategyStatus, TradingState
from engine.side_books import COUNTERFACTUAL, SHADOW, SideBooks, SideMarket, SidePlan
from engine.side_gates import CounterfactualGate, ShadowGate
from engine.types.bars import MarketEvent
from engine.window import HistoryWindow
from tests.bar_factory import random_walk
from tests.engine.books import BTC, D, instrument
from tests.engine.phases.scene import CONFIG, Gate, Incidents, Rule, book_at, fail_safe, pipeline
from tests.engine.phases.sizing import Layer
from tests.engine.sessions import MANY_ENTRIES, Scene, play, scene
from trades.side_book_state import JsonCodec

BARS = random_walk(7, 900)
EAGER = replace(CONFIG, ensemble_trades=False, required_readiness=Readiness.NOT_READY)
ROWS = range(650, 760)
IDENTITY = RunIdentity("0a1b2c", "main", "run", BARS.timeframe_ms)


def phases() -> Pipeline:
    """A rule that proposes on every bar, and leaves what it holds after nine."""
    return pipeline([Rule("one", 0.6, side=1)], config=replace(EAGER, max_holding_bars=9))


def market(**changes: Any) -> SideMarket:
    fields: dict[str, Any] = {
        "identity": IDENTITY,
        "instruments": {BTC: instrument()},
        "limits": MANY_ENTRIES,
    }
    return SideMarket(**{**fields, **changes})


def shadow(gate: Any, **changes: Any) -> SidePlan:
    fields: dict[str, Any] = {
        "name": SHADOW,
        "wanted": lambda: True,
        "may_enter": lambda code: gate.strategy_status(code) is StrategyStatus.SUSPENDED,
        "copies_account": False,
        "gatekeeper": ShadowGate(gate),
        "policy": BasePolicy(),
    }
    return SidePlan(**{**fields, **changes})


def counterfactual(gate: Any, **changes: Any) -> SidePlan:
    fields: dict[str, Any] = {
        "name": COUNTERFACTUAL,
        "wanted": lambda: True,
        "may_enter": lambda code: True,
        "copies_account": True,
        "gatekeeper": CounterfactualGate(gate, lambda code: StrategyStatus.ACTIVE),
        "policy": BasePolicy(),
    }
    return SidePlan(**{**fields, **changes})


def beside(
    plan: Callable[..., SidePlan],
    *,
    gate: Any = None,
    incidents: Incidents | None = None,
    stored: Any = None,
    of_plan: dict[str, Any] | None = None,
    **changes: Any,
) -> Scene:
    gate = gate or Gate()
    books = SideBooks(
        [plan(gate, **(of_plan or {}))],
        market(),
        fail_safe(incidents or Incidents()),
        JsonCodec(),
        stored,
    )
    return scene(BARS, phases(), first_row=650, gatekeeper=gate, side_books=books, **changes)


def test_a_suspended_strategy_trades_on_in_the_shadow_book_and_nowhere_else() -> None:
    """D-07: virtual fills, never orders; the run's own book stays empty."""
    room = beside(shadow, gate=Gate(status=StrategyStatus.SUSPENDED))
    play(room, BARS, ROWS)
    assert room.journal.trades == [] and room.broker.open_intents() == ()
    assert room.journal.side_trades
    assert {name for name, _ in room.journal.side_trades} == {SHADOW}


def test_a_strategy_that_may_trade_stays_out_of_the_shadow_book() -> None:
    """D-07"""
    room = beside(shadow)
    play(room, BARS, ROWS)
    assert room.journal.trades
    assert room.journal.side_trades == []


def test_a_run_with_a_shadow_book_decides_as_one_without() -> None:
    """D-07, I-14: a virtual book never changes what the run does."""
    alone, with_books = scene(BARS, phases(), first_row=650), beside(counterfactual)
    play(alone, BARS, ROWS)
    play(with_books, BARS, ROWS)
    assert alone.journal.lines() == with_books.journal.lines()


def test_without_a_layer_the_counterfactual_book_earns_what_the_run_earns() -> None:
    """OPT-01: the same phases trade in both books, to the last digit."""
    room = beside(counterfactual)
    play(room, BARS, ROWS)
    assert len(room.journal.trades) > 3
    assert [t for _, t in room.journal.side_trades] == room.journal.trades
    assert [p for _, p in room.journal.side_points] == room.journal.points


def test_the_counterfactual_book_takes_what_the_layer_filters() -> None:
    """D-60: the same events with the layer off."""
    refuses = Layer(assessment=lambda: Assessment(False, 0.1, "FILTERED", "quality 0.1"))
    room = beside(counterfactual, policy=refuses)
    play(room, BARS, ROWS)
    off = scene(BARS, phases(), first_row=650)
    play(off, BARS, ROWS)
    assert room.journal.trades == []
    assert [t for _, t in room.journal.side_trades] == off.journal.trades


@dataclass
class Slow(PaperBroker):
    """Tells of every fill one event late: the order is on the way meanwhile."""

    def __init__(self) -> None:
        super().__init__({BTC: instrument()})
        self.late: list[Any] = []

    def fills_at(self, event: MarketEvent) -> Any:
        told, self.late = self.late, list(super().fills_at(event))
        return told

    def open_intents(self) -> Any:
        return (*super().open_intents(), *(intent for _, intent in self.late))


def test_a_copy_waits_until_nothing_of_the_run_is_on_the_way() -> None:
    """A copied account knows nothing of orders that fill later: it would lack their positions."""
    wanted = [False]
    room = beside(counterfactual, of_plan={"wanted": lambda: wanted[0]}, broker=Slow())
    rows = iter(ROWS)
    while not room.broker.open_intents():
        play(room, BARS, range(row := next(rows), row + 1))
    wanted[0] = True
    while room.broker.open_intents():
        assert room.journal.side_points == []
        play(room, BARS, range(row := next(rows), row + 1))
    play(room, BARS, range(row + 1, row + 2))
    assert room.account.ledger.lots
    at = room.journal.side_points[-1][1]
    assert at.equity_quote == room.journal.points[-1].equity_quote
    assert at.exposure_quote == room.journal.points[-1].exposure_quote > 0


@pytest.mark.parametrize("book", [lambda close: None, book_at], ids=["next open", "book"])
def test_a_side_book_goes_on_after_a_restart_as_if_nothing_had_been(book: Any) -> None:
    """Everything it is goes through JSON between any two events."""
    whole = beside(shadow, gate=Gate(status=StrategyStatus.SUSPENDED))
    play(whole, BARS, ROWS, book)
    assert len(whole.journal.side_trades) > 3
    for cut in range(ROWS.start + 1, ROWS.stop - 1, 7):
        first = beside(shadow, gate=Gate(status=StrategyStatus.SUSPENDED))
        play(first, BARS, range(ROWS.start, cut), book)
        stored = json.loads(json.dumps(first.session.state()["side_books"]))
        second = beside(
            shadow, gate=Gate(status=StrategyStatus.SUSPENDED), stored=stored, **_from(cut)
        )
        assert json.loads(json.dumps(second.session.state()["side_books"])) == stored
        play(second, BARS, range(cut, ROWS.stop), book)
        got = first.journal.side_trades + second.journal.side_trades
        assert got == whole.journal.side_trades


def test_losses_and_entries_are_remembered_through_a_restart() -> None:
    """Streaks and throttles would else begin anew with every deployment."""
    room = beside(shadow, gate=Gate(status=StrategyStatus.SUSPENDED))
    play(room, BARS, ROWS)
    stored: Any = room.session.state()["side_books"]
    assert stored[SHADOW]["entries_ms"] and "one" in stored[SHADOW]["streaks"]


def _from(row: int) -> dict[str, Any]:
    return {"windows": {BTC: HistoryWindow(BARS, row)}}


def test_a_side_book_that_fails_is_left_out_and_the_run_goes_on() -> None:
    """D-03: told as an incident; the run decides as if the book had never been."""
    incidents = Incidents()

    def broken(code: str) -> bool:
        raise RuntimeError("no rows today")

    room = beside(counterfactual, incidents=incidents, of_plan={"may_enter": broken})
    alone = scene(BARS, phases(), first_row=650)
    play(room, BARS, ROWS)
    play(alone, BARS, ROWS)
    assert room.journal.lines() == alone.journal.lines()
    assert incidents.places == [f"side book {COUNTERFACTUAL}"]
    assert room.journal.side_trades == []


def test_a_failed_write_of_a_side_book_is_the_events_failure() -> None:
    """One transaction: what is not on disk did not happen, in any book."""
    room = beside(shadow, gate=Gate(status=StrategyStatus.SUSPENDED))
    room.journal.fails_at = "side equity"
    with pytest.raises(OSError, match="side equity"):
        play(room, BARS, ROWS)


def test_a_book_that_is_not_wanted_any_more_closes_what_it_holds_and_goes() -> None:
    gate = Gate(status=StrategyStatus.SUSPENDED)
    wanted = [True]
    room = beside(shadow, gate=gate, of_plan={"wanted": lambda: wanted[0]})
    rows = iter(ROWS)
    while not room.session.state()["side_books"] or not _lots(room):
        play(room, BARS, range(row := next(rows), row + 1))
    wanted[0] = False
    play(room, BARS, range(next(rows), ROWS.stop))
    assert room.session.state()["side_books"] == {}
    assert len(room.journal.side_trades) == 1


def _lots(room: Scene) -> Any:
    books: Any = room.session.state()["side_books"]
    return books[SHADOW]["ledger"]["lots"]


def test_a_stored_state_of_another_shape_is_told_and_begun_anew() -> None:
    incidents = Incidents()
    room = beside(
        shadow,
        gate=Gate(status=StrategyStatus.SUSPENDED),
        incidents=incidents,
        stored={SHADOW: {"since_ms": "yesterday"}},
    )
    play(room, BARS, ROWS)
    assert incidents.places == [f"side book {SHADOW}"]
    assert room.journal.side_trades


def test_the_shadow_gate_lets_a_stopped_strategy_show_that_it_has_recovered() -> None:
    """D-07: the run's breakers and statuses do not bind a book in which nothing is at stake."""
    gate = ShadowGate(Gate(state=TradingState.HALTED, status=StrategyStatus.SUSPENDED))
    assert gate.trading_state(BTC, "one") is TradingState.ACTIVE
    assert gate.strategy_status("one") is StrategyStatus.ACTIVE
    gate.escalate(TradingState.HALTED, "DRAWDOWN", "lost", 0)
    assert gate.trading_state(BTC, "one") is TradingState.ACTIVE


def test_the_counterfactual_gate_stands_still_with_the_run_and_by_its_own_losses() -> None:
    stopped = CounterfactualGate(Gate(state=TradingState.REDUCING), lambda c: StrategyStatus.ACTIVE)
    assert stopped.trading_state(BTC, "one") is TradingState.REDUCING
    run = Gate()
    own = CounterfactualGate(run, lambda c: StrategyStatus.ACTIVE)
    own.escalate(TradingState.REDUCING, "DAY_LOSS", "lost 3 %", 0)
    assert own.trading_state(BTC, "one") is TradingState.REDUCING
    assert run.trading_state(BTC, "one") is TradingState.ACTIVE
    own.observe(86_400_000)
    assert own.trading_state(BTC, "one") is TradingState.ACTIVE


def test_side_books_without_their_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="need a market"):
        SideBooks([shadow(Gate())])


def test_the_copied_account_starts_with_what_the_run_holds() -> None:
    room = beside(counterfactual, cash="5000")
    play(room, BARS, range(ROWS.start, ROWS.start + 1))
    assert room.journal.side_points[0][1].equity_quote == D("5000")
