"""The figures freqtrade's programs show, against what the rows say."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest

from monitoring.models import Heartbeat
from tests.tradeplatform.compat.rows import make_traded_run
from tests.trades.rows import MINUTE, START, make_fill, make_lot, make_order, make_run, make_trade
from tradeplatform.compat import documents, logs, results, selectors, state
from tradeplatform.scrubbing import Scrubber
from trades.locks import lock_set
from trades.models import Fill, Lot
from trades.services import control_set

pytestmark = pytest.mark.django_db


def documents_of(run, entries):
    known = selectors.instruments_of(run)
    return [documents.trade_document(e, run, known.get(e.order.symbol)) for e in entries]


def profit_of(run):
    closed, entries = selectors.closed_list(run), selectors.entries_open(run)
    return results.profit_document(run, closed, entries, state.volume_quote(run))


def test_pieces_of_one_entry_are_one_trade_with_one_number():
    run = make_traded_run()
    found, total = selectors.entries_closed(run, limit=10, offset=0, by_id=True)
    won, lost = documents_of(run, found)
    assert total == 2
    assert won["trade_id"] == found[0].order.pk
    assert (won["amount"], won["stake_amount"]) == (2.0, 200.0)
    # exits at 110 and 106, one coin each
    assert (won["open_rate"], won["close_rate"]) == (100.0, 108.0)
    assert (won["close_profit_abs"], won["close_profit"], won["close_profit_pct"]) == (
        16.0,
        0.08,
        8.0,
    )
    assert (won["exit_reason"], won["is_open"], len(won["orders"])) == ("TARGET", False, 3)
    assert (won["stop_loss_abs"], won["stop_loss_pct"]) == (95.0, -5.0)
    assert (lost["strategy"], lost["enter_tag"], lost["profit_abs"]) == (
        "breakout",
        "breakout",
        -4.0,
    )
    assert won["close_timestamp"] == int((START + 10 * MINUTE).timestamp() * 1000)
    assert (won["amount_precision"], won["price_precision"]) == (0.001, 0.01)


def test_an_open_trade_is_marked_at_the_last_close_and_says_how_far_its_stop_is():
    run = make_traded_run()
    (held,) = documents_of(run, selectors.entries_open(run))
    # half a coin bought at 100, marked at 112, 0.05 paid in fees
    assert held["current_rate"] == 112.0
    assert held["profit_abs"] == held["total_profit_abs"] == 5.95
    assert held["profit_ratio"] == pytest.approx(0.119)
    # the stop was moved from 90 to 98 since
    assert (held["initial_stop_loss_abs"], held["stop_loss_abs"]) == (90.0, 98.0)
    assert held["stoploss_current_dist"] == -14.0
    assert held["stoploss_current_dist_ratio"] == pytest.approx(-0.125)
    assert held["stoploss_entry_dist"] == -1.0
    assert held["close_date"] is held["close_profit"] is held["exit_reason"] is None


def test_a_trade_that_was_closed_in_part_is_open_and_keeps_its_number():
    run = make_run()
    entry = make_order(run, status="FILLED", filled_base=Decimal(2), quantity_base=Decimal(2))
    make_fill(entry)
    name = entry.client_order_id
    make_lot(run, entry_order_id=name, quantity_base=Decimal("1.5"))
    make_trade(run, "3", quantity_base=Decimal("0.5"), entry_order_id=name)
    (now,) = documents_of(run, selectors.entries_open(run))
    assert (now["trade_id"], now["amount"], now["realized_profit"]) == (entry.pk, 1.5, 3.0)
    assert (now["stake_amount"], now["max_stake_amount"]) == (150.0, 200.0)
    assert now["total_profit_abs"] is None, "no candle: what is held has no price"
    assert selectors.closed_list(run) == []
    Lot.objects.update(is_open=False, quantity_base=0)
    make_trade(run, "1", minute=2, quantity_base=Decimal("1.5"), entry_order_id=name)
    (after,) = documents_of(run, selectors.entries_closed(run, limit=9, offset=0, by_id=True)[0])
    assert (after["trade_id"], after["close_profit_abs"], after["stake_amount"]) == (
        entry.pk,
        4.0,
        200.0,
    )


def test_an_order_that_never_filled_is_no_trade():
    run = make_run()
    order = make_order(run)
    assert selectors.entry_get(run, order.pk) is None
    assert selectors.entries_open(run) == []


def test_the_newest_closed_trade_comes_first_where_asked():
    run = make_traded_run()
    by_end, _ = selectors.entries_closed(run, limit=1, offset=0, by_id=False)
    assert by_end[0].closed[-1].exit_reason == "STOP"
    second, _ = selectors.entries_closed(run, limit=1, offset=1, by_id=False)
    assert second[0].closed[-1].exit_reason == "TARGET"


def test_profit_counts_the_open_trade_in_all_and_not_in_closed():
    profit = profit_of(make_traded_run())
    assert profit["profit_closed_coin"] == 12.0
    assert profit["profit_closed_ratio"] == pytest.approx(0.0012)
    assert profit["profit_closed_ratio_mean"] == pytest.approx((0.08 - 0.04) / 2)
    assert profit["profit_all_coin"] == pytest.approx(17.95)
    assert profit["profit_all_ratio_sum"] == pytest.approx(0.08 - 0.04 + 0.119)
    assert (profit["trade_count"], profit["closed_trade_count"]) == (3, 2)
    assert (profit["winning_trades"], profit["losing_trades"], profit["winrate"]) == (1, 1, 0.5)
    assert (profit["profit_factor"], profit["expectancy"]) == (4.0, 6.0)
    assert profit["expectancy_ratio"] == pytest.approx((1 + 4) * 0.5 - 1)
    assert profit["best_pair"] == "BTC/USDT"
    # the loss came after the win: a fall of 4 from a balance of 10,016
    assert profit["max_drawdown_abs"] == 4.0
    assert profit["max_drawdown"] == pytest.approx(4 / 10_016)
    # three entries filled at 100: two coins, one, and a half
    assert profit["trading_volume"] == 350.0
    assert profit["avg_duration"] == "0:03:00"


def test_profit_before_the_first_trade_is_empty_and_not_zero():
    profit = profit_of(make_run())
    assert (profit["trade_count"], profit["profit_all_coin"]) == (0, 0.0)
    for name in ("winrate", "profit_factor", "expectancy", "best_pair", "profit_all_ratio_mean"):
        assert profit[name] is None, name
    json.dumps(profit, allow_nan=False)


@pytest.mark.parametrize(
    ("unit", "dates"),
    [
        ("days", ["2026-03-01", "2026-02-28", "2026-02-27"]),
        ("weeks", ["2026-02-23", "2026-02-16", "2026-02-09"]),
        ("months", ["2026-03", "2026-02", "2026-01"]),
    ],
)
def test_periods_are_of_utc_and_each_starts_with_what_was_earned_before(unit, dates):
    run = make_run()
    now = START.replace(month=3, day=1, hour=12)
    made = [(now - timedelta(days=1), "10"), (now - timedelta(hours=1), "-4")]
    for number, (at, pnl) in enumerate(made):
        make_trade(run, pnl, closed_at=at, opened_at=at - MINUTE, entry_order_id=f"e{number}")
    closed = selectors.closed_list(run)
    found = results.periods_document(run, closed, unit=unit, count=3, now=now)["data"]
    assert [row["date"] for row in found] == dates
    by_date = {row["date"]: row for row in found}
    if unit == "weeks":
        assert by_date["2026-02-23"]["abs_profit"] == 6.0
    else:
        first, second = (by_date[dates[i]] for i in (0, 1))
        assert (first["abs_profit"], first["starting_balance"]) == (-4.0, 10_010.0)
        assert (second["abs_profit"], second["trade_count"]) == (10.0, 1)
        assert first["rel_profit"] == pytest.approx(-4 / 10_010)


def test_breakdowns_and_durations_follow_the_strategy_and_the_exit():
    closed = selectors.closed_list(make_traded_run())
    tags = {name: results.breakdown(closed, name, tag) for name, tag in results.TAGS.items()}
    assert [row["enter_tag"] for row in tags["enter_tag"]] == ["ema-trend", "breakout"]
    assert [row["mix_tag"] for row in tags["mix_tag"]] == ["ema-trend TARGET", "breakout STOP"]
    stats = results.stats_document(closed)
    assert stats["exit_reasons"]["STOP"] == {"wins": 0, "losses": 1, "draws": 0}
    assert stats["durations"] == {"wins": 300.0, "draws": None, "losses": 60.0}


@pytest.mark.parametrize(
    ("trading", "words"),
    [("ACTIVE", "running"), ("REDUCING", "paused"), ("HALTED", "stopped")],
)
def test_the_state_is_the_one_the_gate_goes_by(trading, words):
    run = make_traded_run()
    if trading != "ACTIVE":
        control_set(scope="global", state=trading, actor="test", reason="because")
    config = state.config_document(run)
    assert (config["state"], config["dry_run"], config["runmode"]) == (words, True, "dry_run")
    assert (config["timeframe"], config["stake_currency_decimals"]) == ("1m", 2)
    assert config["strategy"] is config["stoploss"] is None


def test_balance_holds_cash_and_coins_and_says_what_it_does_not_know():
    balance = state.balance_document(make_traded_run())
    cash, coins = balance["currencies"]
    assert (cash["currency"], cash["est_stake"], cash["free"]) == ("USDT", 10_018.0, None)
    assert (coins["currency"], coins["balance"], coins["est_stake"]) == ("BTC", 0.5, 56.0)
    assert balance["starting_capital_ratio"] == pytest.approx(0.0018)
    assert balance["note"] == "Simulated balances"


def test_a_lock_without_an_end_has_none_and_names_the_strategy_it_is_for():
    make_traded_run()
    lock = lock_set(symbol="BTC/USDT", strategy="breakout", actor="test", reason="news")
    found = state.lock_document(lock, START)
    assert (found["active"], found["lock_end_time"]) == (True, None)
    assert found["reason"] == "news (of breakout only)"


def test_health_is_the_heartbeat_of_the_trading_loop():
    run = make_run()
    assert state.health_document(run)["last_process"] is None
    Heartbeat.objects.create(component=state.TRADING_HEART, at=START, expected_every_s=10.0)
    assert state.health_document(run)["last_process_ts"] == int(START.timestamp())


def test_results_are_of_the_newest_trades_and_the_volume_is_summed_by_the_database(
    monkeypatch, django_assert_num_queries
):
    run = make_traded_run()
    whole = selectors.closed_list(run)
    monkeypatch.setattr(selectors, "TRADES_READ", 1)
    with django_assert_num_queries(2):
        newest = selectors.closed_list(run)
    assert newest == whole[-1:]
    fills = Fill.objects.filter(run=run)
    volume = sum(fill.price * fill.quantity_base for fill in fills)
    with django_assert_num_queries(1):
        assert state.volume_quote(run) == pytest.approx(float(volume))
    assert state.volume_quote(make_run(account="other")) == 0.0


def test_log_rows_are_the_newest_of_all_files_with_secrets_removed(tmp_path):
    """SEC-32: whoever wrote the line."""
    (tmp_path / "web.log").write_text(
        "2026-03-02 09:00:01,250 INFO accounts.services token=tp_abcdef made, seed"
        " JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP, known-by-value\n"
        "Traceback (most recent call last):\n"
    )
    (tmp_path / "trading.log").write_text("2026-03-02 09:00:00,000 ERROR trades.oms gone\n")
    cleaned = Scrubber(["known-by-value"]).text
    rows = logs.log_rows(tmp_path, 10, cleaned)
    assert [row[2] for row in rows] == ["trading.trades.oms", "web.accounts.services"]
    assert rows[1][1] == 1_772_442_001_250
    assert rows[1][4] == "token=[removed] made, seed [removed], [removed]"
    assert logs.log_rows(tmp_path, 1, cleaned) == rows[1:]
    assert logs.log_rows(tmp_path, 0, cleaned) == []
    assert logs.log_rows(tmp_path / "none", 5, cleaned) == []
