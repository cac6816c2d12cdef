"""Reads of runs, positions, trades and equity."""

import itertools
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.trades.rows import (
    MINUTE,
    START,
    make_candle,
    make_decision,
    make_equity,
    make_fill,
    make_lot,
    make_order,
    make_run,
    make_trade,
)
from trades.selectors import (
    equity_list,
    fill_list,
    order_list,
    position_list,
    run_current,
    trade_list,
    trade_statistics,
)

pytestmark = pytest.mark.django_db


def test_the_open_run_that_started_last_is_current_and_a_replay_only_where_nothing_else_is():
    assert run_current() is None
    replay = make_run(mode="replay", started_at=START + timedelta(days=2))
    assert run_current() == replay
    ended = make_run(account="a", ended_at=START)
    assert run_current() == replay
    open_run = make_run(account="b", started_at=START - timedelta(days=9))
    assert run_current() == open_run
    assert ended.ended_at is not None


def test_lists_show_one_run_only():
    ours, other = make_run(), make_run(account="other")
    make_trade(ours, 1)
    make_trade(other, 1)
    make_order(other)
    assert [t.run_id for t in trade_list(run=ours)] == [ours.pk]
    assert list(order_list(run=ours)) == []
    assert list(trade_list(run=None)) == []


def test_a_position_sums_its_lots_and_is_marked_at_the_last_close():
    run = make_run()
    make_lot(run, quantity_base=Decimal("1"), entry_price=Decimal("100"))
    make_lot(run, quantity_base=Decimal("3"), entry_price=Decimal("104"))
    make_lot(run, quantity_base=Decimal("0"), is_open=False)
    make_candle(close=999.0, minute=0)
    make_candle(close=110.5, minute=1)
    (position,) = position_list(run=run)
    assert position.quantity_base == Decimal("4")
    assert position.average_price == Decimal("103")
    assert position.mark_price == Decimal("110.5")
    assert position.notional_quote == Decimal("442")
    # 442 - 412 = 30, less two entry fees of 0.05
    assert position.unrealised_pnl_quote == Decimal("29.90")


def test_each_strategy_has_its_own_position_and_an_unmarked_one_has_no_pnl():
    run = make_run()
    make_lot(run, strategy="breakout")
    make_lot(run, strategy="ema-trend")
    positions = position_list(run=run)
    assert [p.strategy for p in positions] == ["breakout", "ema-trend"]
    assert {p.unrealised_pnl_quote for p in positions} == {None}


def test_a_candle_of_another_timeframe_or_venue_marks_nothing():
    run = make_run()
    make_lot(run)
    make_candle(venue="elsewhere")
    assert position_list(run=run)[0].mark_price is None


def test_positions_cost_three_queries_however_many_there_are(django_assert_num_queries):
    run = make_run()
    for n in range(20):
        make_lot(run, symbol=f"C{n}/USDT")
        make_candle(symbol=f"C{n}/USDT")
    with django_assert_num_queries(3):
        assert len(position_list(run=run)) == 20


@pytest.mark.parametrize(("count", "kept"), [(10, 10), (11, 6), (100, 10), (101, 10)])
def test_equity_is_thinned_evenly_and_keeps_the_newest(count, kept):
    run = make_run()
    for minute in range(count):
        make_equity(run, minute=minute, equity=10_000 + minute)
    points = equity_list(run=run, max_points=10)
    assert len(points) == kept
    assert points[-1].equity_quote == 10_000 + count - 1
    assert points == sorted(points, key=lambda p: p.at)
    gaps = {later.at - earlier.at for earlier, later in itertools.pairwise(points)}
    assert len(gaps) == 1


def test_equity_of_a_span_holds_its_start_and_not_its_end():
    run = make_run()
    for minute in range(5):
        make_equity(run, minute=minute)
    points = equity_list(run=run, max_points=100, since=START + MINUTE, until=START + 3 * MINUTE)
    assert [p.at for p in points] == [START + MINUTE, START + 2 * MINUTE]


def test_statistics_are_those_of_the_engine_by_strategy(django_assert_num_queries):
    run = make_run()
    for minute, pnl in enumerate((3, -1, 2)):
        make_trade(run, pnl, minute=minute)
    make_trade(run, -4, strategy="breakout")
    with django_assert_num_queries(1):
        found = trade_statistics(run=run)
    assert list(found) == ["breakout", "ema-trend"]
    ours = found["ema-trend"]
    assert (ours.count, ours.wins, ours.pnl_quote) == (3, 2, Decimal(4))
    assert ours.profit_factor == pytest.approx(5.0)
    assert found["breakout"].profit_factor == 0.0


def test_lists_do_not_ask_again_for_each_row(django_assert_num_queries):
    run = make_run()
    for minute in range(15):
        order = make_order(run, make_decision(run, minute=minute))
        make_fill(order)
        make_trade(run, 1, minute=minute)
    with django_assert_num_queries(1):
        assert all(order.decision.code for order in order_list(run=run))
    with django_assert_num_queries(1):
        assert all(fill.order.client_order_id for fill in fill_list(run=run))
    with django_assert_num_queries(1):
        assert all(trade.run.code for trade in trade_list(run=run))
