from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from monitoring import charts, decisions, selectors
from monitoring.models import Heartbeat
from tests.monitoring import factories as make
from tests.monitoring import scene
from trades.models import Analysis, ControlState, Decision, RejectedEvent

pytestmark = pytest.mark.django_db


def halt(reason: str = "odd prices", scope: str = "global") -> None:
    ControlState.objects.create(
        scope=scope, state="HALTED", reason=reason, actor="olga", changed_at=timezone.now()
    )


def why(run) -> str:
    return decisions.why_no_trade(run, decisions.funnel(run), selectors.control_status())


def test_the_overview_of_a_working_run_fits_into_json_and_a_budget_of_queries(
    django_assert_max_num_queries,
):
    run = scene.build(n_bars=60)
    with django_assert_max_num_queries(45):
        data = selectors.overview(run)
    again = json.loads(json.dumps(data, cls=DjangoJSONEncoder, allow_nan=False))
    assert again["run"]["badge"] == "SIMULATED"
    assert len(again["price"]["bars"]["ts_ms"]) == 60
    assert len(again["strategies"]) == 6


def test_the_number_of_queries_does_not_grow_with_the_run():
    run = scene.build(n_bars=30)

    def queries_with_more(n: int) -> int:
        for _ in range(n):
            make.make_trade(run)
            make.make_lot(run)
            at = Decision.objects.latest("bar_close_at").bar_close_at + timedelta(days=1)
            make.make_decision(run, at=at)
        with CaptureQueriesContext(connection) as captured:
            selectors.overview(run)
        return len(captured)

    assert queries_with_more(2) == queries_with_more(60)


def test_an_installation_without_a_run_has_an_overview():
    assert selectors.overview(None)["run"] is None


def test_the_run_shown_is_the_newest_open_one_and_never_a_replay():
    ended = make.make_run(ended_at=timezone.now(), account="a")
    make.make_run(mode="replay", account="b")
    assert selectors.run_shown() == ended
    current = make.make_run(account="c", started_at=timezone.now() - timedelta(days=9))
    assert selectors.run_shown() == current


@pytest.mark.parametrize(
    ("mode", "badge"),
    [("live", "LIVE"), ("paper", "PAPER"), ("practice", "SIMULATED"), ("replay", "SIMULATED")],
)
def test_every_mode_has_its_badge(mode, badge):
    assert selectors.run_head(make.make_run(mode=mode))["badge"] == badge


def test_limits_are_shown_against_the_runs_own_configuration():
    """D-27: the numbers come from the run, not from this page."""
    run = make.make_run(config={"risk": {"max_day_loss": 0.04}})
    make.make_equity(run, [10_000.0, 9_900.0])
    limits = selectors.strip(run)["limits"]
    assert limits["day_pnl_fraction"] == pytest.approx(-0.01)
    assert limits["day_loss_limit_fraction"] == 0.04
    assert limits["drawdown_fraction"] == pytest.approx(0.01)
    assert limits["drawdown_limit_fraction"] is None


def test_the_strip_names_every_scope_that_is_not_active():
    halt(scope="strategy:breakout", reason="slippage")
    control = selectors.strip(make.make_run())["control"]
    assert control["state"] == "ACTIVE"
    assert control["scopes"] == [
        {
            "scope": "strategy:breakout",
            "state": "HALTED",
            "reason": "slippage",
            "reason_code": "",
            "actor": "olga",
            "releases_at_ms": None,
        }
    ]


def test_the_board_counts_only_this_runs_trades():
    make.make_strategies()
    run, other = make.make_run(account="a"), make.make_run(account="b")
    make.make_trade(run, pnl_quote=Decimal("2.5"), r_multiple=0.5)
    make.make_trade(run, pnl_quote=Decimal("-1"), r_multiple=-0.2)
    make.make_trade(other, pnl_quote=Decimal("100"))
    row = next(r for r in selectors.strategy_board(run) if r["strategy"] == "ema-trend")
    assert (row["trades"], row["wins"], row["win_rate_fraction"]) == (2, 1, 0.5)
    assert row["pnl_quote"] == pytest.approx(1.5)
    assert row["expectancy_r"] == pytest.approx(0.15)
    idle = next(r for r in selectors.strategy_board(run) if r["strategy"] == "breakout")
    assert (idle["trades"], idle["win_rate_fraction"], idle["pnl_quote"]) == (0, None, None)


def test_the_equity_curve_is_thinned_and_ends_with_the_newest_point():
    run = make.make_run()
    make.make_equity(run, [10_000.0 + i for i in range(1_200)])
    curve = charts.equity_curve(run, limit=100)
    assert 90 <= len(curve["equity"]) <= 100
    assert curve["equity"][-1] == 11_199.0
    assert curve["ts_ms"] == sorted(curve["ts_ms"])


def test_candles_are_the_last_ones_oldest_first():
    run = make.make_run()
    rows = make.make_candles("BTC/USDT", 320)
    bars = charts.candles(run, "BTC/USDT")
    assert len(bars["close"]) == charts.BARS_SHOWN
    assert bars["close"][-1] == rows[-1].close
    assert bars["ts_ms"] == sorted(bars["ts_ms"])


def test_fills_are_drawn_on_the_candles_they_fall_on():
    run = make.make_run()
    early = make.make_decision(run, action="BUY", quantity="0.01")
    late = make.make_decision(run, at=make.START + timedelta(hours=1), action="EXIT", quantity="1")
    for decision in (early, late):
        make.make_fill(run, make.make_order(run, decision))
    since = charts.as_ms(make.START + timedelta(minutes=30))
    (marker,) = charts.fill_markers(run, "BTC/USDT", since)
    assert (marker["side"], marker["purpose"]) == ("SELL", "exit")


def test_the_stream_keeps_old_actions_behind_many_holds():
    run = make.make_run()
    make.make_decision(run, action="BUY", quantity="0.01")
    for i in range(1, decisions.STREAM_SHOWN + 20):
        make.make_decision(run, at=make.START + i * make.MINUTE)
    rows = decisions.decision_stream(run)
    assert rows[-1]["action"] == "BUY"
    assert len(rows) == decisions.STREAM_SHOWN + 1


def test_the_funnel_says_how_many_decisions_stopped_where():
    """ORC-19, ORC-59"""
    run = make.make_run()
    make.make_decision(run)
    make.make_decision(run, strategy="breakout", reason_code="CONFLUENCE", blocking_phase=7)
    make.make_decision(run, strategy="ensemble", action="BUY", quantity="0.01")
    long_ago = make.START - timedelta(minutes=decisions.LATELY_BARS + 1)
    make.make_decision(run, at=long_ago, action="BUY", quantity="0.01")
    counts = decisions.funnel(run)
    assert (counts["evaluated"], counts["acted"], counts["nobody_proposed"]) == (3, 1, 1)
    assert counts["blocked"] == [{"phase": 7, "title": "Risk and sizing", "n": 1}]


def test_bars_that_the_quality_gate_refused_are_counted_and_explained():
    run = make.make_run(last_event_at=make.START)
    for i in range(3):
        RejectedEvent.objects.create(
            run=run,
            symbol="BTC/USDT",
            event_at=make.START + i * make.MINUTE,
            reason=f"bar age {i} ms above 130000 ms",
            payload={},
            created_at=make.START,
        )
    assert why(run) == (
        "3 bars were refused by the quality gate, none was accepted."
        " Latest: bar age 2 ms above 130000 ms"
    )
    make.make_decision(run, at=make.START + 2 * make.MINUTE)
    assert decisions.funnel(run)["rejected"] == 3
    make.make_decision(run, at=make.START + timedelta(days=1))
    assert decisions.funnel(run)["rejected"] == 0


def test_why_no_trade_before_the_first_event():
    assert why(make.make_run()) == (
        "No bar has arrived yet. The indicators are warmed up from stored history, so the"
        " first decision follows the first closed bar."
    )


def test_why_no_trade_names_the_commonest_reasons_and_the_latest_words():
    """ORC-59: the answer is read from stored reasons."""
    run = make.make_run()
    for i in range(3):
        make.make_decision(
            run,
            at=make.START + i * make.MINUTE,
            reason_code="NOT_READY",
            reason=f"condition held for {i} bars, 10 needed",
            blocking_phase=7,
        )
    text = why(run)
    assert "not ready 3 times (phase 7, risk and sizing)" in text
    assert text.endswith("Latest: condition held for 2 bars, 10 needed")


def test_why_no_trade_tells_of_the_kill_switch_first():
    run = make.make_run()
    make.make_decision(run)
    halt("odd prices")
    assert why(run) == "Trading is HALTED: odd prices"


def test_why_no_trade_is_silent_where_there_was_an_entry():
    run = make.make_run()
    make.make_decision(run, action="BUY", quantity="0.01")
    assert why(run) == ""


def test_a_decision_is_shown_with_ten_phases_in_order():
    """ORC-06, ORC-59"""
    run = make.make_run()
    decision = make.make_decision(run, reason="confluence 1 of 2", blocking_phase=7)
    view = decisions.decision_view(decision.code)
    assert [phase["number"] for phase in view["phases"]] == list(range(1, 11))
    assert view["phases"][6]["status"] == "blocked"
    assert "confluence 1 of 2" in view["summary"]
    assert len(view["opinions"]) == 5


@pytest.mark.parametrize(("age_s", "state"), [(5, "up"), (35, "late"), (101, "down")])
def test_a_component_is_late_and_then_down(age_s, state):
    """F-025"""
    now = timezone.now()
    Heartbeat.objects.create(
        component="beat", at=now - timedelta(seconds=age_s), expected_every_s=10
    )
    assert selectors.components(now)[0]["state"] == state


def test_an_order_without_an_answer_holds_entries_by_itself():
    """I-19: the strip says REDUCING and why, although nobody changed the state."""
    run = make.make_run(reconciled_at=timezone.now())
    assert selectors.control_status(run)["effective_state"] == "ACTIVE"
    order = make.make_order(run, make.make_decision(run, action="BUY"))
    type(order).objects.filter(pk=order.pk).update(status="UNKNOWN")
    control = selectors.control_status(run)
    assert control["effective_state"] == "REDUCING"
    assert control["state"] == "ACTIVE"
    assert control["holds"] == ["1 order without an answer from the venue"]
    assert selectors.overview(run)["why_no_trade"] == (
        "Entries wait by themselves: 1 order without an answer from the venue."
    )


@pytest.mark.parametrize(("age_s", "n_holds"), [(0, 0), (60, 1)])
def test_an_order_on_its_way_is_a_hold_only_when_its_answer_is_overdue(age_s, n_holds):
    """I-19"""
    run = make.make_run(reconciled_at=timezone.now())
    order = make.make_order(run, make.make_decision(run, action="BUY"))
    since = timezone.now() - timedelta(seconds=age_s)
    type(order).objects.filter(pk=order.pk).update(status="SENDING", updated_at=since)
    assert len(selectors.control_status(run)["holds"]) == n_holds


def test_a_run_that_was_never_reconciled_waits_and_a_paper_run_does_not():
    """I-19"""
    waiting = selectors.control_status(make.make_run(reconciled_at=None))
    assert waiting["holds"] == ["not reconciled with the venue since the start"]
    paper = make.make_run(mode="paper", account="p", reconciled_at=None)
    assert selectors.control_status(paper)["holds"] == []


def test_a_position_tells_its_r_so_far():
    """R is the loss at the first stop: 0.02 base at 50 quote a base risks one quote."""
    run = make.make_run()
    make.make_candles("BTC/USDT", 3, seed=1)
    make.make_lot(run, quantity_base=Decimal("0.02"), risk_per_unit_quote=Decimal(50))
    row = charts.positions(run)[0]
    assert row["risk_quote"] == pytest.approx(1.0)
    assert row["r_so_far"] == pytest.approx(row["unrealised_pnl_quote"])


def test_a_bar_refused_twice_is_counted_once():
    run = make.make_run(last_event_at=make.START)
    for _ in range(2):
        RejectedEvent.objects.create(
            run=run,
            symbol="BTC/USDT",
            event_at=make.START,
            reason="high below low",
            payload={},
            created_at=timezone.now(),
        )
    assert decisions.funnel(run)["rejected"] == 1
    assert why(run).startswith("1 bar was refused by the quality gate")


def test_the_pace_is_that_of_one_symbol_and_unknown_at_first():
    run, first = make.make_run(), timezone.now()
    for i in range(6):
        for symbol in run.symbols:
            make.make_decision(run, at=make.START + i * make.MINUTE, symbol=symbol)
            begun = first + timedelta(seconds=2 * i)
            newest = Analysis.objects.filter(run=run, symbol=symbol).latest("id")
            Analysis.objects.filter(pk=newest.pk).update(created_at=begun)
        if i == 2:
            assert selectors.pace(run) == {"bars_seen": 3, "bars_per_s": None}
    pace = selectors.pace(run)
    assert pace["bars_seen"] == 6
    assert pace["bars_per_s"] == pytest.approx(0.5, rel=0.1)


def test_figures_of_too_few_trades_are_labelled_on_the_overview():
    """The rule of the Performance page: below 30 closed trades a win rate says nothing."""
    make.make_strategies()
    run = make.make_run()
    for n in range(30):
        if n == 29:
            assert selectors.overview(run)["trades_lack"] == "too few trades (29 of 30)"
        trade = make.make_trade(run)
    board = {row["strategy"]: row for row in selectors.overview(run)["strategies"]}
    assert selectors.overview(run)["trades_lack"] == ""
    assert board[trade.strategy]["lacks"] == ""
    others = [row["lacks"] for code, row in board.items() if code != trade.strategy]
    assert set(others) == {"too few trades (0 of 30)"}
