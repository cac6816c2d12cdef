"""The decision stream and "why not?"."""

from decimal import Decimal

import pytest

from engine.types.decisions import PHASES
from tests.trades.rows import MINUTE, START, make_decision, make_order, make_run, record
from trades.selectors import decision_detail, decision_get, decision_list, decision_why_not

pytestmark = pytest.mark.django_db


def reload(decision):
    return decision_get(decision.code)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, [2, 1, 0]),
        ({"symbol": "ETH/USDT"}, [1]),
        ({"strategy": "breakout"}, [2]),
        ({"action": "BUY"}, [1]),
        ({"blocking_phase": 7}, [2]),
        ({"reason_code": "CAP"}, [2]),
        ({"since": START + MINUTE}, [2, 1]),
        ({"action": "SELL"}, []),
    ],
)
def test_decisions_are_filtered_and_newest_first(filters, found):
    run = make_run()
    made = [
        make_decision(run),
        make_decision(run, minute=1, symbol="ETH/USDT", action="BUY"),
        make_decision(run, minute=2, strategy="breakout", blocking_phase=7, reason_code="CAP"),
    ]
    make_decision(make_run(account="other"))
    assert list(decision_list(run=run, **filters)) == [made[n] for n in found]


def test_the_list_never_loads_payloads(django_assert_num_queries):
    run = make_run()
    for minute in range(10):
        make_decision(run, minute=minute)
    with django_assert_num_queries(1):
        rows = list(decision_list(run=run))
        assert all(row.run.code == run.code for row in rows)
    assert all("payload" in row.get_deferred_fields() for row in rows)


def test_the_detail_merges_ten_phases_in_order(django_assert_num_queries):
    decision = make_decision(make_run())
    with django_assert_num_queries(2):
        detail = decision_detail(decision_get(decision.code))
    assert [phase["number"] for phase in detail.phases] == list(range(1, 11))
    assert {phase["status"] for phase in detail.phases} == {"passed"}
    assert detail.opinions[0]["source"] == "ema-trend"


def test_a_phase_without_a_record_is_named_and_says_so():
    decision = make_decision(make_run(), payload={"records": [record(7)]})
    missing = decision_detail(reload(decision)).phases[7]
    assert (missing["number"], missing["name"]) == (8, PHASES[7])
    assert missing["status"] == "skipped"
    assert missing["reasons"][0]["code"] == "NOT_RECORDED"


def test_a_blocked_decision_names_its_first_gate_and_every_gate_that_failed():
    blocked = record(
        7, "blocked", ("CAP", "size 3 above cap, cap was 1"), ("NOT_READY", "12 bars, needs 60")
    )
    decision = make_decision(
        make_run(),
        blocking_phase=7,
        reason_code="CAP",
        reason="size 3 above cap, cap was 1",
        payload={"records": [blocked, record(8)]},
    )
    answer = decision_why_not(reload(decision))
    assert answer.traded is False
    assert answer.phase_name == "risk_and_sizing"
    assert answer.summary == "Phase 7 (risk and sizing) stopped it: size 3 above cap, cap was 1"
    assert [gate["code"] for gate in answer.failing] == ["CAP", "NOT_READY"]
    assert {gate["phase"] for gate in answer.failing} == {7}


def test_a_quiet_bar_says_that_nobody_proposed():
    answer = decision_why_not(reload(make_decision(make_run())))
    assert answer.summary == "Nobody proposed a trade."
    assert answer.failing == []


def test_a_decision_whose_order_was_refused_says_so():
    run = make_run()
    decision = make_decision(run, action="BUY", quantity_base=Decimal("0.5"))
    make_order(
        run, decision, status="DENIED", refusal_code="HALTED", refusal_text="the state was HALTED"
    )
    answer = decision_why_not(reload(decision))
    assert answer.traded is False
    assert answer.summary == "The decision was BUY, but the state was HALTED."
    assert answer.failing[0]["code"] == "HALTED"


def test_a_decision_without_a_stored_order_was_not_traded():
    decision = make_decision(make_run(), action="BUY", quantity_base=Decimal("0.5"))
    answer = decision_why_not(reload(decision))
    assert answer.traded is False
    assert "no order was stored" in answer.summary


def test_a_traded_decision_says_what_was_traded():
    run = make_run()
    decision = make_decision(run, action="BUY", quantity_base=Decimal("0.5"))
    make_order(run, decision, status="FILLED")
    answer = decision_why_not(reload(decision))
    assert answer.traded is True
    assert answer.summary == "It was traded: BUY 0.5 BTC/USDT."
