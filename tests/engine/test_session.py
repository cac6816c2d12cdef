"""The walk of an event: fills, bars, decisions on disk, then orders, then screens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_UP
from typing import Any

import pytest

from engine.announce import EventOutcome
from engine.limits import RiskLimits
from engine.paper import PaperBroker
from engine.phases.config import Readiness
from engine.policy import BasePolicy
from engine.ports import StrategyStatus, TradingState
from engine.types.bars import EventKind, MarketEvent
from engine.types.decisions import Action
from engine.types.opinions import Side
from engine.types.orders import Fill, OrderIntent, Purpose, SubmitResult
from strategies.core.registry import rule_sources
from tests.bar_factory import flat, from_close, random_walk
from tests.engine.books import BTC, D, fill, instrument, intent
from tests.engine.phases.scene import BARS, CONFIG, Gate, Incidents, Rule, book_at, pipeline
from tests.engine.sessions import Recording, Scene, event_at, play, scene

EAGER = replace(CONFIG, ensemble_trades=False, required_readiness=Readiness.NOT_READY)
BUYER = Rule("one", 0.6, side=1)
FIRST = 600


@dataclass
class Watched(PaperBroker):
    """A paper broker that writes into the journal's log what it was asked, and may invent fills."""

    def __init__(self, log: list[str]) -> None:
        super().__init__({BTC: instrument()})
        self.log = log
        self.sent: list[OrderIntent] = []
        self.invented: list[tuple[Fill, OrderIntent]] = []

    def fills_at(self, event: MarketEvent) -> Sequence[tuple[Fill, OrderIntent]]:
        self.log.append("fetch")
        invented, self.invented = self.invented, []
        return [*super().fills_at(event), *invented]

    def submit(self, intent: OrderIntent, event: MarketEvent) -> SubmitResult:
        self.log.append("submit")
        self.sent.append(intent)
        return super().submit(intent, event)


@dataclass
class Screens:
    log: list[str]

    def announce(self, outcome: EventOutcome) -> None:
        self.log.append("announce")


def opened(
    rules: Any = (BUYER,), *, bars: Any = BARS, config: Any = EAGER, **changes: Any
) -> Scene:
    """A session that stands before bar FIRST, everything writing into one log."""
    journal = Recording()
    plugged = {
        "journal": journal,
        "broker": Watched(journal.log),
        "announcer": Screens(journal.log),
        **changes,
    }
    return scene(bars, pipeline(rules, config=config), first_row=FIRST, **plugged)


def test_one_event_walks_in_the_stated_order() -> None:
    """ORC-56, I-3: fills are fetched before the transaction, intents are sent after its commit."""
    session = opened()
    play(session, BARS, range(FIRST, FIRST + 1))
    assert session.journal.log == [
        "fetch",
        "begin",
        "bar",
        "analysis",
        "decision",
        "learning",
        "equity",
        "state",
        "commit",
        "submit",
        "announce",
    ]


def test_data_becomes_a_decision_an_order_a_fill_and_a_closed_trade() -> None:
    """ORC-71, ORC-64: bought, filled at the next open, and out after the longest holding time."""
    session = opened(config=replace(EAGER, max_holding_bars=5))
    play(session, BARS, range(FIRST, FIRST + 12))
    journal = session.journal
    actions = [decision.action for decision in journal.decisions]
    assert actions[0] is Action.BUY and Action.EXIT in actions
    first_fill, first_intent = journal.fills[0]
    assert first_intent == journal.decisions[0].intent
    assert first_fill.price == instrument().price(float(BARS.open[FIRST + 1]), ROUND_UP)
    assert journal.trades[0].exit_reason == "MAX_HOLDING"
    assert journal.trades[0].entry_order_id == first_intent.client_order_id


@pytest.mark.parametrize("place", ["begin", "bar", "analysis", "decision", "learning", "commit"])
def test_a_failed_write_is_never_swallowed_and_nothing_is_sent(place: str) -> None:
    """I-3: no intent leaves that is not on disk; nothing is told either."""
    session = opened()
    session.journal.fails_at = place
    with pytest.raises(OSError, match=f"disk full at {place}"):
        session.session.on_event(event_at(BARS, FIRST))
    assert session.broker.sent == []
    assert "announce" not in session.journal.log


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"low": -1.0}, "above 0"),
        ({"high": 1.0}, "high 1.0 below low"),
        ({"close": float("nan")}, "finite"),
        ({"volume": -1.0}, "volume"),
    ],
)
def test_an_invalid_bar_is_refused_with_its_reason_and_nobody_decides(
    change: dict[str, float], word: str
) -> None:
    """ORC-55: on record, equity is still marked, and the next bar is traded on."""
    session = opened()
    event = event_at(BARS, FIRST)
    assert event.bar is not None
    outcome = session.session.on_event(replace(event, bar=replace(event.bar, **change)))
    assert word in outcome.rejected
    assert session.journal.rejected == [outcome.rejected]
    assert list(outcome.decisions) == [] and session.journal.bars == 0


def test_a_bar_seen_before_is_refused() -> None:
    """ORC-55, F-068: a bar that comes again triggers no second decision."""
    session = opened()
    play(session, BARS, range(FIRST, FIRST + 1))
    outcome = session.session.on_event(event_at(BARS, FIRST))
    assert "seen before" in outcome.rejected
    assert len(session.journal.decisions) == 1


def test_a_bar_event_without_a_bar_is_an_error_of_the_caller() -> None:
    session = opened()
    with pytest.raises(ValueError, match="carried no bar"):
        session.session.on_event(MarketEvent(EventKind.BAR, BTC, 60_000, 60_000))


def test_a_clock_event_books_fills_and_decides_nothing() -> None:
    """ORC-56"""
    session = opened()
    sent = intent(strategy="one", quantity="1")
    session.broker.invented = [(fill(sent, "100"), sent)]
    now = int(BARS.ts_ms[FIRST])
    outcome = session.session.on_event(MarketEvent(EventKind.CLOCK, BTC, now, now))
    assert len(outcome.fills) == 1 and outcome.decisions == ()
    assert session.journal.log.count("equity") == 1
    session.session.on_event(MarketEvent(EventKind.CLOCK, BTC, now + 1, now + 1))
    assert session.journal.log.count("equity") == 1


def test_a_fill_that_was_booked_is_not_booked_again() -> None:
    """I-1: a venue may tell twice."""
    session = opened()
    sent = intent(strategy="one", quantity="1")
    once = fill(sent, "100")
    session.broker.invented = [(once, sent), (once, sent)]
    play(session, BARS, range(FIRST, FIRST + 1))
    session.broker.invented = [(once, sent)]
    play(session, BARS, range(FIRST + 1, FIRST + 2))
    assert len(session.journal.fills) == 1
    assert session.account.ledger.position("one", BTC).quantity_base == 1


def test_a_late_bar_opens_nothing_and_still_closes() -> None:
    """I-15: the same late bar, without and with a position."""
    flat = opened(config=replace(EAGER, max_holding_bars=1))
    late = replace(event_at(BARS, FIRST), now_ms=event_at(BARS, FIRST).ts_ms + 130_001)
    (held_back,) = flat.session.on_event(late).decisions
    assert (held_back.action, held_back.reason_code) == (Action.HOLD, "STALE_BAR")
    assert flat.broker.sent == [] and flat.journal.bars == 1
    play(flat, BARS, range(FIRST + 1, FIRST + 2))
    later = event_at(BARS, FIRST + 2)
    (left,) = flat.session.on_event(replace(later, now_ms=later.ts_ms + 130_001)).decisions
    assert left.action is Action.EXIT


def test_the_second_proposal_of_a_bar_sees_what_the_first_takes() -> None:
    """D-21: three strategies, room for two orders."""
    rules = [Rule(code, 0.6, side=1) for code in ("one", "two", "three")]
    limits = RiskLimits(max_open_orders_per_symbol=2)
    session = opened(rules, limits=limits)
    play(session, BARS, range(FIRST, FIRST + 1))
    decided = [(d.strategy, d.action.value, d.reason_code) for d in session.journal.decisions]
    assert decided == [
        ("one", "BUY", "RULE_ENTRY"),
        ("two", "BUY", "RULE_ENTRY"),
        ("three", "HOLD", "OPEN_ORDERS_SYMBOL"),
    ]


def test_an_entry_that_waits_for_its_fill_is_not_repeated() -> None:
    """CTL-8, ORC-66: one position a strategy and symbol, one order at a time."""
    session = opened()
    play(session, BARS, range(FIRST, FIRST + 6))
    assert [i.purpose for i in session.broker.sent] == [Purpose.ENTRY]
    codes = {d.reason_code for d in session.journal.decisions[1:]}
    assert codes == {"ALREADY_IN_POSITION"}


def test_control_rows_are_read_once_an_event_and_before_any_decision() -> None:
    """F-085: whatever a person changes in between, one event is judged by one snapshot."""

    class Toggled(Gate):
        """Rows that are switched while the event is under way; observe takes the snapshot."""

        rows = TradingState.ACTIVE

        def observe(self, now_ms: int) -> None:
            super().observe(now_ms)
            self.state = self.rows

        def strategy_status(self, strategy: str) -> StrategyStatus:
            self.rows = TradingState.REDUCING
            return super().strategy_status(strategy)

    rules = [Rule("one", 0.6, side=1), Rule("two", 0.6, side=1)]
    session = opened(rules, gatekeeper=Toggled(), limits=RiskLimits(max_position_size=D("0.2")))
    play(session, BARS, range(FIRST, FIRST + 1))
    assert [d.action for d in session.journal.decisions] == [Action.BUY, Action.BUY]
    assert len(session.gate.observed) == 1
    play(session, BARS, range(FIRST + 1, FIRST + 2))
    assert {d.reason_code for d in session.journal.decisions[2:]} == {"REDUCING"}


def test_with_all_strategies_suspended_nothing_is_entered_and_what_is_held_gets_out() -> None:
    """F-082, D-02: every bar says why, nothing is divided by nothing."""
    rules = [Rule(code, 0.6, side=1) for code in ("one", "two")]
    config = replace(EAGER, max_holding_bars=4, ensemble_trades=True)
    session = opened(rules, config=config)
    play(session, BARS, range(FIRST, FIRST + 2))
    assert len(session.account.ledger.positions()) >= 1
    session.gate.status = StrategyStatus.SUSPENDED
    sent = len(session.broker.sent)
    play(session, BARS, range(FIRST + 2, FIRST + 20))
    assert {i.purpose for i in session.broker.sent[sent:]} == {Purpose.EXIT}
    assert session.account.ledger.positions() == ()
    last = session.journal.decisions[-3:]
    assert {(d.action, d.reason_code) for d in last} == {(Action.HOLD, "STRATEGY_SUSPENDED")}
    assert all("status was SUSPENDED" in d.reasons[0].text for d in last)


def test_a_fill_of_more_than_was_ordered_is_booked_told_and_stops_its_strategy() -> None:
    """F-017"""
    session = opened(())
    sent = intent(strategy="one", quantity="1")
    session.broker.invented = [(fill(sent, "100", "1.5"), sent)]
    outcome = session.session.on_event(event_at(BARS, FIRST))
    assert session.account.ledger.position("one", BTC).quantity_base == D("1.5")
    assert [reason.code for reason in outcome.alerts] == ["OVERFILL"]
    assert session.gate.escalations == [(TradingState.REDUCING, "OVERFILL", "strategy:one")]


def lose(session: Scene, times: int, row: int) -> None:
    """Round trips that lose, booked on one bar each."""
    for i in range(times):
        buy = intent(strategy="one", quantity="0.1")
        sell = intent(Side.SELL, "0.1", strategy="one", purpose=Purpose.EXIT)
        session.broker.invented = [(fill(buy, "100"), buy), (fill(sell, "99"), sell)]
        play(session, BARS, range(row + i, row + i + 1))


def test_a_losing_streak_stops_its_strategy_and_a_reset_forgives_it() -> None:
    """D-27, CTL-10: at the fifth, not the fourth."""
    session = opened(())
    lose(session, 4, FIRST)
    assert session.gate.escalations == []
    lose(session, 1, FIRST + 4)
    assert session.gate.escalations == [(TradingState.REDUCING, "LOSS_STREAK", "strategy:one")]
    session.gate.reset_counts = {"strategy:one": 1}
    lose(session, 1, FIRST + 5)
    assert session.account.losing_streak("one") == 1


def test_a_day_loss_and_a_drawdown_reach_the_gatekeeper() -> None:
    """D-27: marked on the bar on which they happen."""
    fallen = from_close(BARS.close.copy())
    fallen.close[FIRST + 2 :] *= 0.5
    fallen.low[FIRST + 2 :] *= 0.4
    session = opened((), bars=fallen)
    buy = intent(strategy="one", quantity="50")
    session.broker.invented = [(fill(buy, str(round(float(fallen.close[FIRST]), 2))), buy)]
    play(session, fallen, range(FIRST, FIRST + 2))
    assert session.gate.escalations == []
    play(session, fallen, range(FIRST + 2, FIRST + 3))
    assert [(s, code) for s, code, _ in session.gate.escalations] == [
        (TradingState.HALTED, "MAX_DRAWDOWN")
    ]


def test_outcomes_reach_the_policy_once_a_trade() -> None:
    """OPT-76: integration point of the layer."""
    seen: list[str] = []

    class Layer(BasePolicy):
        def record_outcome(self, trade: Any) -> None:
            seen.append(trade.trade_id)

    session = opened((), policy=Layer())
    lose(session, 2, FIRST)
    assert len(seen) == 2


def test_the_policy_is_refreshed_once_an_event_before_its_fills_are_booked() -> None:
    """OPT-02: integration point of weights and health; a trade of this event is not yet known."""
    seen: list[object] = []

    class Layer(BasePolicy):
        def refresh(self, now_ms: int) -> None:
            seen.append(now_ms)

        def record_outcome(self, trade: Any) -> None:
            seen.append(trade.trade_id)

    session = opened((), policy=Layer())
    lose(session, 2, FIRST)
    times = [one for one in seen if isinstance(one, int)]
    assert times == sorted(set(times)) and len(times) >= 2
    closed = next(index for index, one in enumerate(seen) if isinstance(one, str))
    assert isinstance(seen[closed - 1], int)


def test_the_same_bars_give_the_same_journal() -> None:
    """I-26, ORC-66"""
    bars = random_walk(21, 800, sigma=0.003)
    runs = []
    for _ in range(2):
        session = opened(
            (BUYER, Rule("two", 0.45)), bars=bars, config=replace(EAGER, max_holding_bars=9)
        )
        play(session, bars, range(FIRST, FIRST + 150), book_at)
        runs.append(session.journal.lines())
    assert runs[0] == runs[1]
    assert sum(line.startswith("T|") for line in runs[0]) > 5


def test_what_a_rebuilt_session_needs_is_in_its_state() -> None:
    """I-26"""
    session = opened()
    play(session, BARS, range(FIRST, FIRST + 3))
    state = session.session.state()
    assert set(state) == {"pipeline", "account", "regimes", "side_books"}
    assert state["pipeline"] == session.phases.state()
    assert state["regimes"] == {BTC: session.journal.analyses[-1].market.regime.value}  # type: ignore[union-attr]


@pytest.mark.parametrize("volume", [0.0, 3.0], ids=["no volume", "traded"])
def test_a_market_that_stands_still_is_held_without_a_failure(volume: float) -> None:
    """F-070: every rule and feature over flat bars, from the first bar on; no book, no range."""
    bars, incidents = flat(260, volume=volume), Incidents()
    phases = pipeline(rule_sources(), incidents=incidents)
    session = scene(bars, phases, first_row=0)
    play(session, bars, range(len(bars)))
    assert {decision.action for decision in session.journal.decisions} == {Action.HOLD}
    assert len(session.journal.decisions) >= len(bars)
    assert session.journal.rejected == [] and incidents.places == []
    assert session.journal.points[-1].equity_quote == D("10000")


def test_a_symbol_too_new_to_know_is_not_entered_and_says_how_far_it_is() -> None:
    """F-073: a rule that would buy every bar waits; the decision counts the bars."""
    session = opened(config=replace(EAGER, required_readiness=Readiness.READY))
    young = scene(BARS, session.phases, first_row=0)
    play(young, BARS, range(3))
    (first, *_) = young.journal.decisions
    assert (first.action, first.reason_code) == (Action.HOLD, "NOT_READY")
    assert "not warm" in " ".join(reason.text for reason in first.reasons)
    assert young.journal.fills == []
    play(session, BARS, range(FIRST, FIRST + 3))
    assert session.journal.fills != [], "warm, the same rule buys"
