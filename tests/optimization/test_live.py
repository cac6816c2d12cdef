"""The policy of a stored run: follows the switch and the state by version, and may fail."""

from __future__ import annotations

import logging
from decimal import Decimal
from threading import Event
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from engine.failsafe import FailSafe, FailSafePolicy
from engine.policy import BasePolicy
from engine.types.opinions import Regime
from engine.types.orders import Purpose
from optimization.core.actions import ActionKind
from optimization.core.layer import AdaptivePolicy
from optimization.live import (
    LayerAnnouncer,
    StoredStateReader,
    SwitchedPolicy,
    sizing_fields,
    tell_without_sizes,
)
from optimization.models import StoredLayerState
from optimization.services import optimization_update
from optimization.switches import Effective
from optimization.wiring import POLICY_DEADLINE_S, Wiring
from tests.engine.phases.scene import Incidents, entry, market
from tests.optimization.scene import Watch, make_book, make_trades, switch
from trades.records import trade_value

pytestmark = pytest.mark.django_db
WINS = [1.5, -0.5] * 15
BASE = {"ema-trend": 1.0, "fair-value-gap": 1.0}


def policy_of(run: Any, reporter: Any = None) -> FailSafePolicy:
    fail_safe = FailSafe((reporter or Incidents()).incident, lambda: 0.0)
    made = Wiring().live_policy(base_weights=BASE, favourable={}, run=run, fail_safe=fail_safe)
    assert isinstance(made, FailSafePolicy)
    return made


def quality(policy: Any) -> float | None:
    found: float | None = policy.assess(entry(), market(), 3).quality
    return found


def test_the_switch_is_followed_at_the_next_event() -> None:
    """OPT-55: on and off while the session lives, and not before an event asks."""
    run = make_book()
    switch(enabled=False)
    policy = policy_of(run)
    policy.refresh(1)
    assert quality(policy) is None
    switch(enabled=True)
    assert quality(policy) is None
    policy.refresh(2)
    assert quality(policy) is not None
    switch(enabled=False)
    policy.refresh(3)
    assert quality(policy) is None


def test_a_threshold_changed_at_run_time_decides_the_next_signal() -> None:
    """OPT-12, OPT-55"""
    run = make_book()
    policy = policy_of(run)
    for threshold, accepted in ((0.0, True), (1.0, False)):
        switch(quality_threshold=threshold)
        policy.refresh(1)
        assert policy.assess(entry(), market(), 3).accepted is accepted


def test_the_first_change_ever_is_followed_too() -> None:
    """OPT-55: a platform whose settings nobody has touched trades on the file's until then."""
    fail_safe = FailSafe(Incidents().incident, lambda: 0.0)
    seen: list[bool] = []

    def build(settings: Effective) -> BasePolicy:
        seen.append(settings.is_enabled)
        return BasePolicy(BASE)

    policy = SwitchedPolicy(build, BasePolicy(BASE), fail_safe)
    policy.refresh(1)
    policy.refresh(2)
    assert seen == [False], "built once, and not again while nothing changed"
    switch(enabled=True)
    policy.refresh(3)
    assert seen == [False, True]


def test_updated_weights_size_from_the_next_event_on() -> None:
    """OPT-33: the session reads a newer state by its version."""
    run = make_book()
    policy = policy_of(run)
    policy.refresh(1)
    make_trades(run, "ema-trend", WINS)
    optimization_update(watch=Watch())
    assert policy.weights(Regime.TRENDING)["ema-trend"] == 1.0
    policy.refresh(2)
    assert policy.weights(Regime.TRENDING)["ema-trend"] == pytest.approx(1.15)


def test_looking_for_news_costs_two_small_reads_an_event() -> None:
    """OPT-30: nothing is written, the payload is read where its version changed."""
    run = make_book()
    make_trades(run, "ema-trend", WINS)
    optimization_update(watch=Watch())
    policy = policy_of(run)
    policy.refresh(1)
    with CaptureQueriesContext(connection) as seen:
        policy.refresh(2)
    reads = [q["sql"] for q in seen.captured_queries if q["sql"].startswith("SELECT")]
    assert len(reads) == 2
    assert not any("payload" in sql or "values" in sql.split("FROM")[0] for sql in reads)
    assert not any(q["sql"].startswith(("INSERT", "UPDATE")) for q in seen.captured_queries)


def test_recording_an_outcome_asks_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """OPT-30, OPT-31: the trade is a row already; a store that is down delays nothing."""
    run = make_book()
    policy = policy_of(run)
    policy.refresh(1)
    make_trades(run, "ema-trend", [1.0])
    trade = trade_value(run.trades.get())
    # on this thread: what the fail-safe's executor would ask elsewhere is not captured here
    inner = policy._policy
    with CaptureQueriesContext(connection) as seen:
        inner.record_outcome(trade)
    assert len(seen.captured_queries) == 0
    assert optimization_update(watch=Watch()).taken == 1


def test_a_damaged_state_leaves_the_platform_trading_at_base(caplog: Any) -> None:
    """OPT-76, OPT-07: told, and the base policy's weights."""
    run = make_book()
    reporter = Incidents()
    policy = policy_of(run, reporter)
    optimization_update(watch=Watch())
    StoredLayerState.objects.update(payload={"state_version": 99}, version=7)
    policy.refresh(1)
    assert reporter.places == ["policy.state"]
    assert policy.weights(Regime.TRENDING) == BASE


def test_a_state_that_stays_damaged_keeps_nobody_from_switching_off() -> None:
    """OPT-55, OPT-76: effective at the next event, cool-off or not."""
    run = make_book()
    policy = policy_of(run)
    optimization_update(watch=Watch())
    StoredLayerState.objects.update(payload={"state_version": 99}, version=7)
    for at_ms in range(10):
        policy.refresh(at_ms)
    assert quality(policy) is not None
    switch(enabled=False)
    policy.refresh(11)
    assert quality(policy) is None


def test_a_policy_that_hangs_answers_as_the_base_policy_in_time() -> None:
    """OPT-76, D-03: late is failed; the entry keeps its base size and trading goes on."""
    run = make_book()
    reporter = Incidents()
    policy = policy_of(run, reporter)
    policy.refresh(1)
    release = Event()
    hanging = SimpleNamespace(
        assess=lambda *_: release.wait(30),
        size_multiplier=lambda *_: release.wait(30),
        record_outcome=lambda *_: release.wait(30),
    )
    policy._policy._policy = hanging  # type: ignore[attr-defined]
    started_s = monotonic()
    assessment = policy.assess(entry(), market(), 3)
    assert (assessment.accepted, assessment.quality) == (True, None)
    assert policy.size_multiplier(entry(), assessment, market()) == 1.0
    policy.record_outcome(SimpleNamespace())  # type: ignore[arg-type]
    assert monotonic() - started_s < 10 * POLICY_DEADLINE_S
    assert reporter.places == ["policy.assess", "policy.size_multiplier", "policy.record_outcome"]
    release.set()


def test_a_layer_that_cannot_be_built_leaves_the_base_policy_and_is_tried_again() -> None:
    """OPT-07"""
    make_book()
    made: list[Any] = [RuntimeError("init was on fire"), BasePolicy({"ema-trend": 0.5})]

    def build(settings: Any) -> Any:
        found = made.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    base = BasePolicy(BASE)
    reporter = Incidents()
    fail_safe = FailSafe(reporter.incident, lambda: 0.0)
    policy = FailSafePolicy(SwitchedPolicy(build, base, fail_safe), fail_safe, base)
    policy.refresh(1)
    assert reporter.places == ["policy.refresh"]
    assert policy.weights(Regime.TRENDING) == BASE
    policy.refresh(2)
    assert policy.weights(Regime.TRENDING) == {"ema-trend": 0.5}


def test_a_read_that_fails_does_not_spoil_the_events_transaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """OPT-76: what the event writes after it still commits."""
    run = make_book()
    policy = policy_of(run)

    def broken() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT no_such_column FROM optimization_updateperiod")
        raise DatabaseError("unreachable")

    monkeypatch.setattr("optimization.live._newest_version", broken)
    policy.refresh(1)
    make_trades(run, "ema-trend", [1.0])
    assert run.trades.count() == 1


def test_the_reader_gives_nothing_where_nothing_is_new() -> None:
    make_book()
    read = StoredStateReader("practice:practice-synthetic:main")
    assert read(None) is None
    make_trades(make_book(account="main", venue="x"), "ema-trend", [1.0])
    StoredLayerState.objects.all().delete()
    assert read(0) is None


def test_the_policy_built_for_a_run_is_the_adaptive_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """OPT-77: one coordinator, whose settings are those that hold."""
    run = make_book()
    switch(quality_threshold=0.7)
    policy = policy_of(run)
    policy.refresh(1)
    inner = policy._policy._policy  # type: ignore[attr-defined]
    assert isinstance(inner, AdaptivePolicy)
    assert inner._settings.quality_threshold == 0.7


def decision(**changes: Any) -> Any:
    sizing = SimpleNamespace(
        base_quantity=0.5,
        multiplier_applied=1.3,
        multiplier_raw=1.3,
        quantity_base=Decimal("0.6"),
        quality=0.845,
    )
    fields = {
        "strategy": "ema-trend",
        "symbol": "BTC/USDT",
        "sizing": sizing,
        "intent": SimpleNamespace(purpose=Purpose.ENTRY, client_order_id="c1"),
        "policy": {"signal_id": "ab12"},
    }
    return SimpleNamespace(**fields | changes)


def test_both_sizes_and_the_multiplier_are_logged_for_an_order(caplog: Any) -> None:
    """OPT-24, D-58: six decimals, two decimals, then key=value."""
    heard: list[Any] = []

    class Screens:
        def announce(self, outcome: Any) -> None:
            heard.append(outcome)

    outcome = SimpleNamespace(decisions=[decision(), decision(intent=None)])
    with caplog.at_level(logging.INFO, logger="optimization"):
        LayerAnnouncer(Screens(), Incidents()).announce(outcome)  # type: ignore[arg-type]
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "[OPTIMIZATION] Position size adjusted: 0.500000 → 0.650000 (1.30x multiplier) signal=ab12"
    )
    assert "after_caps=0.6" in record.getMessage()
    assert heard == [outcome]


def test_a_log_that_fails_stops_no_screen() -> None:
    """OPT-76"""
    reporter, heard = Incidents(), []

    class Screens:
        def announce(self, outcome: Any) -> None:
            heard.append(outcome)

    def broken(kind: ActionKind, fields: Any) -> None:
        raise OSError("disk full")

    outcome = SimpleNamespace(decisions=[decision()])
    LayerAnnouncer(Screens(), reporter, broken).announce(outcome)  # type: ignore[arg-type]
    assert (len(heard), reporter.places) == (1, ["layer.log"])


def test_an_order_the_layer_did_not_score_has_no_line() -> None:
    """OPT-06: while the layer is off it says nothing."""
    found = decision()
    found.sizing.quality = None
    assert sizing_fields(found) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"sizing": None},
        {"intent": None},
        {"sizing": None, "intent": None},
        {"intent": SimpleNamespace(purpose=Purpose.EXIT, client_order_id="c1")},
    ],
)
def test_what_is_no_sized_entry_has_no_line(changes: dict[str, Any]) -> None:
    """OPT-24: a signal that was refused, a bar without an order, an exit."""
    assert sizing_fields(decision(**changes)) is None


def test_a_size_is_told_once_by_the_announcer_and_the_rest_by_the_policy(caplog: Any) -> None:
    """OPT-24, OPT-68"""
    scored = {"signal": "s1", "strategy": "one", "outcome": "approved", "quality": 0.7}
    with caplog.at_level(logging.DEBUG, logger="optimization"):
        tell_without_sizes(ActionKind.SIZING, {"multiplier": 1.3})
        assert caplog.records == []
        tell_without_sizes(ActionKind.SCORING, {**scored, "symbol": "X", "threshold": 0.6})
    assert len(caplog.records) == 1
