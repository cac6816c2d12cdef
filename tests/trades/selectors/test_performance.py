"""The document of an account against what a loop over its rows gives."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.trades.rows import (
    MINUTE,
    START,
    SYMBOL,
    make_candle,
    make_equity,
    make_fill,
    make_lot,
    make_order,
    make_run,
    make_trade,
)
from trades.models import LedgerAdjustment, OperatorRequest
from trades.selectors import decision_performance, performance, trade_list
from trades.selectors.performance import performance_document, trade_tables
from trades.selectors.requests import growth

pytestmark = pytest.mark.django_db


def figures(found):
    return {row["code"]: row for row in found["figures"]}


def deposit(run, minute, before, value):
    request = OperatorRequest.objects.create(
        run=run,
        kind="adjust",
        actor="ada",
        reason="more",
        idempotency_key=f"{run.pk}-{minute}",
        created_at=START,
    )
    return LedgerAdjustment.objects.create(
        run=run,
        request=request,
        asset="USDT",
        amount=Decimal(value),
        price_quote=Decimal(1),
        value_quote=Decimal(value),
        equity_before_quote=Decimal(before),
        after_fill_id=0,
        at=START + minute * MINUTE,
    )


def test_without_a_run_or_equity_the_document_says_why():
    assert performance_document(run=None)["empty"].startswith("No trading run yet")
    assert performance_document(run=make_run())["empty"].startswith("No equity yet")


def test_the_document_fits_into_json_without_a_number_that_is_none():
    run = make_run()
    for minute in range(4):
        make_equity(run, minute=minute, equity=10_000 + minute)
        make_candle(minute=minute)
    make_trade(run, 3)
    found = performance_document(run=run)
    assert json.loads(json.dumps(found, allow_nan=False))["empty"] == ""


def test_deposits_are_in_no_return_and_no_drawdown():
    """D-59: the whole return is that of the ledger's own rule, the drawdown that of the trading."""
    run = make_run()
    for minute, equity in enumerate((10_000, 10_100, 15_150, 14_847, 9_847)):
        make_equity(run, minute=minute, equity=equity)
    rows = [deposit(run, 2, 10_100, 5_000), deposit(run, 4, 14_847, -5_000)]
    expected = growth(start_quote=Decimal(10_000), equity_quote=Decimal(9_847), adjustments=rows)
    found = performance_document(run=run)
    assert figures(found)["return"]["value"] == pytest.approx(expected)
    curve = found["curve"]
    peak = 15_150 / 15_100
    assert curve["growth"][2] == pytest.approx(1.01 * peak)
    assert figures(found)["max_drawdown"]["value"] == pytest.approx(1 - 14_847 / 15_150)
    assert len(found["drawdowns"]) == 1


def test_holding_is_equal_parts_of_what_is_traded_from_the_first_bar_on():
    run = make_run(symbols=[SYMBOL, "ETH/USDT"])
    closes = {SYMBOL: (100, 110, 90), "ETH/USDT": (10, 10, 20)}
    for minute in range(3):
        make_equity(run, minute=minute + 1)
        for symbol, prices in closes.items():
            make_candle(prices[minute], minute=minute, symbol=symbol)
    curve = performance_document(run=run)["curve"]
    expected = [(closes[SYMBOL][i] / 100 + closes["ETH/USDT"][i] / 10) / 2 for i in range(3)]
    assert curve["hold_growth"] == pytest.approx(expected)
    assert curve["hold_missing"] == []


def test_a_symbol_without_a_price_at_the_start_is_named_and_left_out():
    run = make_run(symbols=[SYMBOL, "ETH/USDT"])
    make_candle(100, minute=0)
    make_equity(run, minute=1)
    curve = performance_document(run=run)["curve"]
    assert curve["hold_symbols"] == [SYMBOL]
    assert curve["hold_missing"] == ["ETH/USDT"]


def test_tables_are_what_sums_over_the_trades_give():
    run = make_run()
    entries = {
        "e1": make_order(run, client_order_id="e1", reason_code="RULE_ENTRY"),
        "e2": make_order(run, client_order_id="e2", reason_code="CONSENSUS"),
    }
    assert len(entries) == 2
    results = [(5, "e1", "STOP"), (-2, "e1", "TARGET"), (-3, "e2", "STOP"), (1, "gone", "STOP")]
    for minute, (pnl, entry, reason) in enumerate(results):
        make_trade(run, pnl, minute=minute, entry_order_id=entry, exit_reason=reason)
    tables = trade_tables(trade_list(run=run), ["entry_tag", "exit_reason", "mix_tag"])
    tags = {row["key"]: (row["trades"], row["wins"], row["pnl"]) for row in tables["entry_tag"]}
    assert tags == {"RULE_ENTRY": (2, 1, 3.0), "": (1, 1, 1.0), "CONSENSUS": (1, 0, -3.0)}
    exits = {row["key"]: (row["trades"], row["pnl"]) for row in tables["exit_reason"]}
    assert exits == {"STOP": (3, 3.0), "TARGET": (1, -2.0)}
    assert {row["key"] for row in tables["mix_tag"]} == {
        "RULE_ENTRY > STOP",
        "RULE_ENTRY > TARGET",
        "CONSENSUS > STOP",
        " > STOP",
    }
    only = trade_list(run=run, entry_tag="RULE_ENTRY", exit_reason="STOP")
    assert [float(row.pnl_quote) for row in only] == [5.0]


def test_shares_and_averages_of_few_trades_are_not_given():
    run = make_run()
    for minute in range(29):
        make_trade(run, 1 if minute % 2 else -1, minute=minute)
    (row,) = trade_tables(trade_list(run=run), ["strategy"])["strategy"]
    assert (row["trades"], row["win_rate_fraction"], row["expectancy"]) == (29, None, None)
    make_trade(run, 1, minute=40)
    (row,) = trade_tables(trade_list(run=run), ["strategy"])["strategy"]
    assert row["win_rate_fraction"] == pytest.approx(15 / 30)


def test_fees_hold_those_of_open_positions_and_turnover_is_of_the_mean_equity():
    run = make_run()
    for minute in range(3):
        make_equity(run, minute=minute, equity=10_000)
    make_trade(run, 1, fees_quote=Decimal("0.7"))
    make_lot(run, entry_fee_quote=Decimal("0.05"))
    make_fill(make_order(run), price=Decimal(100), quantity_base=Decimal(50))
    found = figures(performance_document(run=run))
    assert found["fees"]["value"] == pytest.approx(0.75)
    assert found["turnover"]["value"] == pytest.approx(0.5)


def test_totals_are_told_in_another_currency_at_the_last_close():
    """D-59"""
    run = make_run()
    make_equity(run, minute=1, equity=10_000)
    make_candle(100, minute=0)
    make_trade(run, 50)
    found = performance_document(run=run, quote="BTC")
    assert (found["told_in"], found["rate"]) == ("BTC", 100.0)
    assert figures(found)["equity"] | {"title": ""} == {
        "code": "equity",
        "title": "",
        "value": 100.0,
        "unit": "BTC",
        "why_not": "",
    }
    assert found["groups"]["strategy"][0]["pnl"] == 0.5
    assert figures(found)["return"]["value"] == 0.0, "a share has no currency"
    with pytest.raises(ValueError, match="quote was 'EUR', allowed: USDT, BTC"):
        performance_document(run=run, quote="EUR")


def test_more_points_than_are_read_are_thinned_and_said(monkeypatch):
    monkeypatch.setattr(performance, "POINTS_READ", 10)
    run = make_run()
    for minute in range(25):
        make_equity(run, minute=minute, equity=10_000 + minute)
    found = performance_document(run=run)
    assert found["points"]["stored"] == 25
    assert 3 <= found["points"]["used"] <= 10
    assert found["until_ms"] == round((START + timedelta(minutes=24)).timestamp() * 1000)


def test_the_deepest_drawdown_is_the_same_however_many_points_are_read(monkeypatch):
    """It may be of one minute, and it does not change with every minute that is added."""
    run = make_run()
    for minute in range(60):
        # from a peak of one minute to a trough of one minute
        make_equity(run, minute=minute, equity={31: 12_000, 34: 9_000}.get(minute, 10_000))
    whole = figures(performance_document(run=run))["max_drawdown"]["value"]
    assert whole == pytest.approx(0.25)
    monkeypatch.setattr(performance, "POINTS_READ", 12)
    for minute in range(60, 64):
        make_equity(run, minute=minute, equity=10_000)
        found = performance_document(run=run)
        assert found["points"]["used"] <= 12
        assert figures(found)["max_drawdown"]["value"] == whole


def test_the_newest_trades_are_looked_at_and_the_rest_is_counted(monkeypatch):
    monkeypatch.setattr(performance, "TRADES_READ", 2)
    run = make_run()
    make_equity(run)
    for minute, pnl in enumerate((9, -1, 2)):
        make_trade(run, pnl, minute=minute)
    found = performance_document(run=run)
    assert found["trades"] == {"used": 2, "stored": 3, "dust": 0}
    assert found["groups"]["strategy"][0]["pnl"] == 1.0


def test_swept_dust_is_in_the_profit_and_in_no_rate_and_the_page_is_told():
    """No win, no loss, no R, nothing in a distribution."""
    run = make_run()
    make_equity(run)
    for minute, (pnl, reason) in enumerate([(9, "TARGET"), ("-0.01", "dust"), (2, "TARGET")]):
        make_trade(run, pnl, minute=minute, exit_reason=reason)
    found = performance_document(run=run)
    assert found["trades"] == {"used": 3, "stored": 3, "dust": 1}
    (row,) = found["groups"]["strategy"]
    assert (row["trades"], row["wins"], row["pnl"]) == (2, 2, 10.99)
    assert [found["distributions"][what]["n"] for what in ("r", "quote")] == [2, 2]
    assert decision_performance(run=run).hit_rate_fraction == 1.0
