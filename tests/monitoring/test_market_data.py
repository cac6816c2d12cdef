"""A stretch of a market with what was done in it."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from engine.features import FEATURE_NAMES, feature_frame
from engine.types.bars import BarColumns, ColumnStore
from market.models import Candle
from monitoring import market_data
from monitoring.charts import as_ms
from monitoring.market_data import BadWindow, features_asked, market_view
from tests.monitoring import factories as make
from tests.monitoring import scene

pytestmark = pytest.mark.django_db
SYMBOL = "BTC/USDT"


def ms(minute: int) -> int:
    return as_ms(make.START + minute * make.MINUTE) or 0


def test_without_candles_the_view_says_so():
    view = market_view(make.make_run(), SYMBOL)
    assert view["empty"] == "No candle is stored yet."
    assert view["bars"]["ts_ms"] == []


def test_without_a_period_the_newest_bars_are_shown():
    make.make_candles(SYMBOL, 400)
    view = market_view(make.make_run(), SYMBOL)
    assert len(view["bars"]["ts_ms"]) == market_data.BARS_AT_FIRST
    assert view["bars"]["ts_ms"][-1] == ms(399)
    assert view["until_ms"] == ms(400)


def test_a_stretch_outside_of_what_is_stored_is_cut_or_refused():
    make.make_candles(SYMBOL, 100)
    run = make.make_run()
    view = market_view(run, SYMBOL, since_ms=0, until_ms=ms(9_999))
    assert (view["since_ms"], view["until_ms"]) == (ms(0), ms(100))
    with pytest.raises(BadWindow, match="the period began 2026-03-02 10:40"):
        market_view(run, SYMBOL, since_ms=ms(100), until_ms=ms(200))


def test_long_stretches_come_joined_and_without_indicators(monkeypatch):
    monkeypatch.setattr(market_data, "BARS_SHOWN", 50)
    make.make_candles(SYMBOL, 100)
    view = market_view(
        make.make_run(), SYMBOL, since_ms=ms(0), until_ms=ms(100), features=["slope_32_atr"]
    )
    assert view["bars"]["timeframe_ms"] == 120_000
    assert view["features"] == {}
    assert view["features_note"].startswith("Features are of single bars")


def bars_of(symbol: str, last: int) -> BarColumns:
    rows = list(Candle.objects.filter(instrument__symbol=symbol).order_by("opened_at"))[:last]
    values = [
        np.array([getattr(row, name) for row in rows])
        for name in ("open", "high", "low", "close", "volume")
    ]
    times = np.array([as_ms(row.opened_at) for row in rows], dtype=np.int64)
    return BarColumns(times, *values, timeframe_ms=60_000)


def test_indicators_are_those_the_engine_computes_over_the_whole_history():
    """A window shows the numbers that were traded on, also those of the other symbol."""
    for offset, symbol in enumerate(make.SYMBOLS):
        make.make_candles(symbol, 900, seed=offset)
    names = ["slope_32_atr", "reference_beta_64", "hour_sine"]
    view = market_view(make.make_run(), SYMBOL, since_ms=ms(850), until_ms=ms(900), features=names)
    store = ColumnStore(bars_of(SYMBOL, 900), bars_of("ETH/USDT", 900))
    whole = feature_frame(store).matrix
    for name in names:
        expected = whole[850:, FEATURE_NAMES.index(name)]
        assert view["features"][name] == pytest.approx(expected.tolist(), abs=1e-9), name


def test_an_indicator_is_left_out_until_it_is_warm():
    make.make_candles(SYMBOL, 250)
    run = make.make_run(symbols=[SYMBOL])
    column = market_view(run, SYMBOL, features=["slope_32_atr"])["features"]["slope_32_atr"]
    assert column[0] is None
    assert column[-1] is not None and math.isfinite(column[-1])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("magic", "feature was 'magic'"), (",".join(FEATURE_NAMES[:4]), "4 features were asked for")],
)
def test_indicators_that_are_none_are_refused(text, complaint):
    with pytest.raises(BadWindow, match=complaint):
        features_asked(text)


def test_stops_are_steps_from_the_entry_to_the_end_of_the_position():
    make.make_candles(SYMBOL, 60)
    run = make.make_run()
    decision = make.make_decision(run, action="BUY", quantity="0.01")
    entry = make.make_order(run, decision, stop_price=Decimal(63_000))
    for minute, price in ((5, 63_200), (8, 63_400), (30, 60_000)):
        make.make_order(
            run,
            decision,
            side="SELL",
            purpose="exit",
            cause="protection",
            order_type="stop",
            stop_price=Decimal(price),
            decided_at=make.START + minute * make.MINUTE,
        )
    make.make_trade(
        run, entry_order_id=entry.client_order_id, closed_at=make.START + 20 * make.MINUTE
    )
    (line,) = market_view(run, SYMBOL)["stops"]
    assert line["steps"] == [(ms(0), 63_000.0), (ms(5), 63_200.0), (ms(8), 63_400.0)]
    assert line["closed_ms"] == ms(20)


def test_an_open_position_has_its_present_stop_and_no_end():
    make.make_candles(SYMBOL, 10)
    run = make.make_run()
    make.make_lot(run, stop_price=Decimal("63360"))
    (line,) = market_view(run, SYMBOL)["stops"]
    assert line == {"strategy": "ema-trend", "closed_ms": None, "steps": [(ms(0), 63_360.0)]}


def test_marks_are_of_this_run_symbol_and_stretch_only():
    run = scene.build(n_bars=200)
    other = make.make_run(account="other")
    make.make_decision(other, action="BUY", quantity="0.01", at=make.START + 150 * make.MINUTE)
    view = market_view(run, SYMBOL, since_ms=ms(100), until_ms=ms(200))
    json.dumps(view, allow_nan=False)
    rows = run.decisions.filter(symbol=SYMBOL, bar_close_at__gte=make.START + 100 * make.MINUTE)
    acted = {str(code) for code in rows.exclude(action="HOLD").values_list("code", flat=True)}
    stopped = rows.filter(action="HOLD", blocking_phase__isnull=False)
    assert {row["id"] for row in view["decisions"]["acted"]} == acted != set()
    assert len(view["decisions"]["stopped"]) == stopped.count()
    fills = run.fills.filter(symbol=SYMBOL, executed_at__gte=make.START + 100 * make.MINUTE)
    assert len(view["fills"]) == fills.count()
    assert all(row["decision"] for row in view["fills"])


def test_marks_are_bounded_and_their_number_is_told(monkeypatch):
    monkeypatch.setattr(market_data, "MARKS_SHOWN", 3)
    run = scene.build(n_bars=200)
    decisions = market_view(run, SYMBOL, since_ms=ms(0))["decisions"]
    assert len(decisions["acted"]) == 3
    assert decisions["acted_n"] > 3


def test_the_number_of_queries_does_not_grow_with_the_run():
    run = scene.build(n_bars=40)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            market_view(run, SYMBOL, since_ms=ms(0))
        return len(captured)

    before = queries()
    for _ in range(20):
        make.make_trade(run, opened_at=make.START + 5 * make.MINUTE)
        make.make_lot(run)
    assert queries() == before <= 14


@pytest.mark.parametrize(
    "query",
    ["since=x", "since=-1", "until=9999999999999999", "features=magic", "since=99999999999999"],
)
def test_what_an_address_asks_wrongly_is_answered_in_one_line(client, query):
    client.force_login(make.make_user("vera", "viewer"))
    make.make_candles(SYMBOL, 5)
    make.make_run()
    answer = client.get(f"{reverse('market-data')}?symbol={SYMBOL}&{query}")
    assert answer.status_code == 400
    assert "allowed" in answer.json()["detail"]


def test_a_symbol_of_another_run_is_not_found(client):
    client.force_login(make.make_user("vera", "viewer"))
    make.make_run()
    assert client.get(f"{reverse('market-data')}?symbol=DOGE/USDT").status_code == 404
