"""What the trading loop tells a person, and what it takes back."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from engine.announce import EventOutcome, Finding
from engine.ports import TradingState
from engine.types.bars import EventKind, MarketEvent
from engine.types.decisions import JsonValue, Reason
from market.errors import SourceUnavailable
from monitoring.models import Alert
from monitoring.services import alert_acknowledge
from tests.trades.order_factory import make_run
from tradeplatform.watch import RunWatch
from trades import alerts
from trades.models import ControlState

pytestmark = pytest.mark.django_db


class Loudspeaker:
    def publish(self, topic: str, data: Mapping[str, JsonValue]) -> None:
        return None


@pytest.fixture
def watch() -> RunWatch:
    return RunWatch(make_run(), Loudspeaker())


def still_open() -> list[str]:
    return list(Alert.objects.filter(resolved_at__isnull=True).values_list("code", flat=True))


def fills_unavailable(watch: RunWatch) -> alerts.Alert:
    return alerts.Alert("FILLS_UNAVAILABLE", str(watch._run.pk), "no answer in 5 s")


def test_fills_that_come_again_close_their_alert_and_no_other(watch: RunWatch) -> None:
    """ORC-78"""
    watch.alarm(fills_unavailable(watch))
    watch.source_failed(SourceUnavailable("no answer"))
    watch.fills_answered()
    assert still_open() == ["VENUE_UNAVAILABLE"]
    watch.source_answered()
    assert still_open() == []


def test_market_data_that_comes_says_nothing_of_fills(watch: RunWatch) -> None:
    """A venue may answer for candles and not for the account."""
    watch.alarm(fills_unavailable(watch))
    watch.source_answered()
    assert still_open() == ["FILLS_UNAVAILABLE"]


def test_fills_that_fail_again_after_an_answer_are_told_again(watch: RunWatch) -> None:
    for _ in range(2):
        watch.alarm(fills_unavailable(watch))
        watch.fills_answered()
    assert (Alert.objects.count(), still_open()) == (2, [])


def test_a_restarted_process_closes_what_the_last_one_opened(watch: RunWatch) -> None:
    watch.alarm(fills_unavailable(watch))
    RunWatch(watch._run, Loudspeaker()).fills_answered()
    assert still_open() == []


def test_a_brake_is_pulled_with_its_alert_and_closed_when_the_scope_trades_again(
    watch: RunWatch,
) -> None:
    """CTL-21"""
    watch.alarm(alerts.Alert("OVERSOLD", "global", "sold 2 of 1", brake=TradingState.REDUCING))
    assert ControlState.objects.get().state == "REDUCING"
    (alert,) = Alert.objects.all()
    assert (alert.severity, still_open()) == ("critical", ["OVERSOLD"])
    watch.control_changed("global", TradingState.ACTIVE, "looked at")
    assert still_open() == []


def test_refused_keys_halt_everything_with_one_alert_however_often_they_are_refused(
    watch: RunWatch,
) -> None:
    """F-052, I-9: the row is latched, the alert counts, and the next send is refused."""
    refused = alerts.Alert("AUTH", "1", "the venue refused our keys", brake=TradingState.HALTED)
    for _ in range(3):
        watch.alarm(refused)
    (alert,) = Alert.objects.filter(resolved_at__isnull=True)
    assert (alert.code, alert.severity, alert.count) == ("AUTH", "critical", 3)
    row = ControlState.objects.get(scope="global")
    assert (row.state, row.epoch, row.actor) == ("HALTED", 1, "breaker")


def test_a_position_without_its_stop_is_told_until_it_has_one(watch: RunWatch) -> None:
    """I-20: one alert a position, closed by itself, also by the process after a restart."""
    both = {("ema-trend", "BTC/USDT"): "halted", ("breakout", "ETH/USDT"): "refused"}
    watch.unprotected(both)
    watch.unprotected({("breakout", "ETH/USDT"): "refused"})
    assert still_open() == ["UNPROTECTED"]
    text = Alert.objects.get(resolved_at__isnull=True).text
    assert text == "breakout ETH/USDT has no stop at the venue: refused"
    other_run = RunWatch(make_run(), Loudspeaker())
    other_run.unprotected({})
    assert still_open() == ["UNPROTECTED"], "another run's is not ours to close"
    RunWatch(watch._run, Loudspeaker()).unprotected({})
    assert still_open() == []


def test_a_refused_stop_is_told_until_its_position_is_protected_or_gone(watch: RunWatch) -> None:
    """CTL-15: the refusal ends with its cause, and only that of its own position."""
    for subject in ("ema-trend BTC/USDT", "breakout ETH/USDT"):
        watch.alarm(alerts.Alert("STOP_REFUSED", subject, f"the venue refused {subject}"))
    watch.unprotected({("breakout", "ETH/USDT"): "refused"})
    (left,) = Alert.objects.filter(code="STOP_REFUSED", resolved_at__isnull=True)
    assert left.dedupe_key == "STOP_REFUSED:breakout ETH/USDT"


def test_a_countdown_that_works_again_closes_its_alert(watch: RunWatch) -> None:
    """CTL-14"""
    watch.no_countdown("EAPI: no permission")
    assert still_open() == ["NO_COUNTDOWN"]
    watch.no_countdown("")
    assert still_open() == []


def test_a_balance_that_agrees_again_ends_its_alert_and_the_next_one_is_new(
    watch: RunWatch,
) -> None:
    """CTL-16, ORC-78: what was seen and mended must not swallow what comes weeks later."""
    differs = [alerts.Alert("BALANCE_DIFFERENCE", asset, "-5") for asset in ("USDT", "BTC")]
    for found in differs:
        watch.alarm(found)
    watch.balances_agree({"USDT", "ETH"})
    assert [a.dedupe_key for a in Alert.objects.filter(resolved_at__isnull=True)] == [
        "BALANCE_DIFFERENCE:BTC"
    ]
    watch.alarm(differs[0])
    assert Alert.objects.filter(dedupe_key="BALANCE_DIFFERENCE:USDT").count() == 2


def test_a_balance_that_stopped_entries_is_told_until_they_go_on(watch: RunWatch) -> None:
    """CTL-16: agreement lifts no brake, so it does not take back the word of it either."""
    watch.alarm(alerts.Alert("BALANCE_DIFFERENCE", "USDT", "-5", brake=TradingState.REDUCING))
    watch.balances_agree({"USDT"})
    assert still_open() == ["BALANCE_DIFFERENCE"]
    ControlState.objects.update(state="ACTIVE")
    watch.balances_agree({"USDT"})
    assert still_open() == []


def test_a_flatten_that_left_something_open_again_is_told_again(watch: RunWatch) -> None:
    """CTL-13, ORC-78: another request is another alert, and an acknowledged one is over."""
    outcome = EventOutcome(MarketEvent(EventKind.CLOCK, "", 0, 0))
    for opened, request in ((1, "7"), (1, "7"), (2, "8")):
        outcome.alerts = [Finding("FLATTEN_LEFT_OPEN", "left open: 1 BTC/USDT", subject=request)]
        watch.took(outcome, 0.01)
        assert Alert.objects.count() == opened
    alert_acknowledge(alert_id=Alert.objects.latest("pk").pk, actor="ann")
    assert Alert.objects.filter(resolved_at__isnull=True).count() == 1


def test_a_venue_that_takes_no_stops_is_a_standing_alert(watch: RunWatch) -> None:
    """CTL-15: whoever relies on resting stops hears that there are none."""
    watch.stops_can_rest(False, "unknownex")
    assert still_open() == ["NO_RESTING_STOPS"]
    watch.stops_can_rest(True, "binance")
    assert still_open() == []


def test_what_booking_found_odd_is_told_and_breakers_are_told_once(watch: RunWatch) -> None:
    """F-019, F-020: a fee without a price is counted as nothing, so a person must hear of it."""
    outcome = EventOutcome(MarketEvent(EventKind.CLOCK, "", 0, 0))
    outcome.alerts = [
        Reason("FEE_UNVALUED", "a fee of 0.01 BNB has no price"),
        Reason("OVERSOLD", "ema-trend sold more than it held"),
    ]
    watch.took(outcome, 0.01)
    assert still_open() == ["FEE_UNVALUED"]


@pytest.mark.parametrize(
    ("code", "scope"), [("REJECTIONS_HALT", "global"), ("SYMBOL_CLOSED", "symbol:BTC/USDT")]
)
def test_a_halt_that_waits_for_a_person_is_told_until_the_scope_trades_again(
    watch: RunWatch, code: str, scope: str
) -> None:
    """CTL-17, CTL-21, F-056: REDUCING is no leave, and the next process closes it as well."""
    brake = TradingState.HALTED
    for _ in range(2):
        watch.alarm(alerts.Alert(code, "by any name", "refused", scope, brake))
    assert Alert.objects.get().count == 2
    for other in ("symbol:ETH/USDT", "strategy:ema-trend"):
        watch.control_changed(other, TradingState.ACTIVE, "looked at")
    for state in (TradingState.HALTED, TradingState.REDUCING):
        watch.control_changed(scope, state, "looked at")
    assert still_open() == [code]
    RunWatch(watch._run, Loudspeaker()).control_changed(scope, TradingState.ACTIVE, "mended")
    assert still_open() == []


def test_a_halt_of_one_account_ends_with_that_accounts_scope_alone(watch: RunWatch) -> None:
    """CTL-17: an account beside main stops its own scope, and that one has to be resumed."""
    halted = alerts.Alert("REJECTIONS_HALT", "1", "refused", brake=TradingState.HALTED)
    beside = make_run(config={"accounts": {"beside": {}}}, venue="kraken")
    watch.alarm(halted)
    (row,) = ControlState.objects.all()
    assert row.scope == f"account:{watch._run.account}"
    RunWatch(beside, Loudspeaker()).alarm(halted)
    assert len(still_open()) == 2
    watch.control_changed(f"account:{beside.account}", TradingState.ACTIVE, "mended")
    (left,) = Alert.objects.filter(resolved_at__isnull=True)
    assert left.run_code == str(watch._run.code)
    watch.control_changed(row.scope, TradingState.ACTIVE, "mended")
    assert still_open() == []


def test_what_is_over_is_closed_for_all_runs_of_the_account_that_were_looked_at(
    watch: RunWatch,
) -> None:
    """F-012, ORC-78: never for another account's, nor for a symbol that nobody looks at now."""
    account, symbols = watch._run.account, watch._run.symbols
    earlier = make_run(account=account, ended_at=watch._run.started_at)
    wider = make_run(account=account, symbols=[*symbols, "X/Y"], ended_at=earlier.started_at)
    other = make_run()
    told = {earlier: "gone", wider: "maybe", other: "theirs", watch._run: "there"}
    for run, name in told.items():
        RunWatch(run, Loudspeaker()).alarm(alerts.Alert("OTHER_DEPLOYMENT", name, name))
    watch.alarm(alerts.Alert("UNKNOWN_OWN_ORDER", "gone", "another code"))
    watch.over("OTHER_DEPLOYMENT", {"there"})
    texts = set(Alert.objects.filter(resolved_at__isnull=True).values_list("text", flat=True))
    assert texts == {"maybe", "theirs", "there", "another code"}
    watch.over("OTHER_DEPLOYMENT", set())
    assert not Alert.objects.filter(text="there", resolved_at__isnull=True).exists()
