"""The column path trades as the session does, bar by bar, or says why it cannot answer."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.column_path.grid import NotCovered
from engine.types.bars import BarColumns
from market.sources.history import History
from market.sources.instruments import instrument_for
from research.core.sweep import DEFAULTS, IN_SAMPLE, Unit
from research.core.traced_journal import TracedJournal
from research.core.walk_forward import Window
from strategies.core.registry import PARAMS, parameter_defaults
from tests.bar_factory import real_bars
from tradeplatform import bootstrap
from tradeplatform.column_units import ColumnHistories, column_run
from tradeplatform.configuration import Configuration, Risk, Trading
from tradeplatform.replay_request import ReplayRequest
from tradeplatform.sweep_jobs import unit_outcome

BTC = "BTC/USDT"
QUARTER_MS = 900_000
# a Thursday, so that weeks end within a short market
START_MS = 1_704_326_400_000
OFTEN = {
    "max_entries_per_15m": 1_000,
    "max_entries_per_day": 1_000,
    "max_orders_per_hour": 1_000,
    "max_orders_per_day": 1_000,
}
TIGHT = {"max_drawdown": 0.01, "max_day_loss": 0.002, "max_week_loss": 0.004, "loss_streak": 4}


def market(
    seed: int,
    *,
    n: int = 900,
    sigma: float = 0.004,
    drift: float = 0.0,
    gaps: float = 0.0,
    opens: float = 0.1,
) -> BarColumns:
    """A walk in cents whose bars open ``opens`` deviations away from the close before; ``gaps`` is
    the share of them that are missing."""
    rng = np.random.default_rng(seed)
    burst = np.exp(np.repeat(rng.normal(0.0, 0.6, n // 50 + 1), 50)[:n])
    close = 400.0 * np.exp(np.cumsum(drift + sigma * burst * rng.standard_t(4, n) / 1.4))
    opened = np.concatenate((close[:1], close[:-1])) * (1.0 + opens * sigma * rng.normal(size=n))
    wick = 0.5 * sigma * burst * close * np.abs(rng.normal(size=n))
    opened, close = np.round(opened, 2), np.round(close, 2)
    high = np.round(np.maximum(opened, close) + wick, 2)
    low = np.round(np.maximum(np.minimum(opened, close) - wick, 0.01), 2)
    volume = 5_000.0 * rng.lognormal(0.0, 1.0, n)
    kept = rng.random(n) >= gaps
    ts_ms = START_MS + QUARTER_MS * np.arange(n, dtype=np.int64)
    columns = (ts_ms, opened, high, low, close, volume)
    return BarColumns(*(column[kept] for column in columns), QUARTER_MS)


def asked(
    code: str,
    bars: BarColumns,
    *,
    parameters: dict[str, float] | None = None,
    risk: dict[str, Any] | None = None,
    trading: dict[str, Any] | None = None,
    fee: str = "0.001",
    slippage: str = "2",
    cash: str = "10000",
) -> ReplayRequest:
    config = Configuration(risk=Risk(**(risk or {})), trading=Trading(**(trading or {})))
    config = bootstrap.with_predictors(bootstrap.with_strategies(config, (code,)), ())
    chosen = msgspec.structs.replace(config.strategy(code), parameters=parameters or {})
    config = msgspec.structs.replace(config, strategies={**config.strategies, code: chosen})
    instrument = replace(instrument_for(BTC, bars), taker_fee_fraction=Decimal(fee))
    history = History({BTC: bars}, {BTC: instrument}, bars.timeframe_ms)
    return ReplayRequest(
        config, history, int(bars.ts_ms[40]), None, None, 1, Decimal(cash), Decimal(slippage)
    )


def same(request: ReplayRequest) -> list[Any]:
    """Trade by trade and bar by bar the same; returns the session's trades."""
    wiring, result = request.run(
        with_layer=False, journal=TracedJournal, progress=lambda done, total: None
    )
    journal = wiring.journal
    run = column_run(request, ColumnHistories())
    bars = request.history.bars[BTC]
    ours = [
        (
            int(bars.ts_ms[t.entry_row]),
            int(bars.ts_ms[t.exit_row]) + t.in_bar * bars.timeframe_ms,
            t.entry_price,
            t.exit_price,
            t.quantity_base,
            t.fees_quote,
            t.pnl_quote,
            t.reason,
        )
        for t in run.trades()
    ]
    theirs = [
        (
            t.opened_at_ms,
            t.closed_at_ms,
            t.entry_price,
            t.exit_price,
            t.quantity_base,
            t.fees_quote,
            t.pnl_quote,
            t.exit_reason,
        )
        for t in journal.closed
    ]
    assert ours == theirs
    assert run.times_ms.tolist() == list(journal.equity_ms)
    assert run.equity_quote.tolist() == list(journal.equity_quote)
    assert run.return_fraction == result.return_fraction
    assert run.n_trades == result.trades
    learned: Any = wiring.pipeline.state()["scoreboard"]
    for code, lean in learned["calibrations"].items():
        if code in PARAMS:
            # what a rule has said and what came of it, orders' bars included
            assert run.scores.leans.tolist() == pytest.approx([lean["agreed"], lean["leaned"]])
    return [journal.closed, wiring.operator.interventions]


@st.composite
def requests(draw: st.DrawFn) -> ReplayRequest:
    code = draw(st.sampled_from(list(PARAMS)))
    bars = market(
        draw(st.integers(0, 10_000)),
        sigma=draw(st.sampled_from([0.002, 0.006, 0.02])),
        drift=draw(st.sampled_from([-0.0005, 0.0, 0.0005])),
        gaps=draw(st.sampled_from([0.0, 0.01])),
    )
    given = draw(st.sampled_from(["stop_atr", "target_atr", "reward_to_risk"]))
    default = parameter_defaults()[code].get(given)
    parameters = {} if not default else {given: default * draw(st.floats(0.5, 2.0))}
    risk = draw(st.sampled_from([{}, OFTEN, OFTEN | TIGHT]))
    return asked(
        code,
        bars,
        parameters=parameters,
        risk=risk,
        trading={"resting_stops": draw(st.booleans())},
        fee=draw(st.sampled_from(["0", "0.001", "0.00075"])),
        slippage=draw(st.sampled_from(["0", "2", "12.5"])),
        cash=draw(st.sampled_from(["10000", "1234.5", "250"])),
    )


@settings(max_examples=12, deadline=None, derandomize=True)
@given(request=requests())
def test_column_path_trades_as_the_session(request):
    """D-56: same bar, side, price, quantity, fees and equity at every bar, whatever the market."""
    same(request)


@pytest.mark.parametrize("code", list(PARAMS))
def test_every_shipped_rule_trades_alike_and_does_trade(code):
    """D-56"""
    trades, _ = same(asked(code, market(7, n=1_500, sigma=0.006), risk=OFTEN))
    assert len(trades) >= 5
    assert {t.exit_reason for t in trades} > {"STOP"}


def test_breakers_stop_and_resume_both_alike():
    """D-56, D-23, D-27: drawdown, day, week and streak, lifted by the stated operator."""
    bars = market(6, n=1_500, sigma=0.01, drift=-0.0005)
    trades, stops = same(asked("fair-value-gap", bars, risk=OFTEN | TIGHT))
    found = {stop.reason_code for stop in stops}
    assert found == {"MAX_DRAWDOWN", "DAY_LOSS", "WEEK_LOSS", "LOSS_STREAK"}
    assert any(trade.opened_at_ms > stops[0].resumes_at_ms for trade in trades)


# often in and out, so that stops of breakers and of the market meet entries
BUSY = {"fast_span": 2, "slow_span": 5, "min_gap_atr": 0.0, "stop_atr": 1.0, "target_atr": 2.0}
WEEK = {"max_drawdown": 0.2, "max_day_loss": 0.0025, "max_week_loss": 0.004, "loss_streak": 100}


@pytest.mark.parametrize(
    ("seed", "walk", "risk", "stopped_by"),
    [
        (6, {"sigma": 0.006}, {}, {"REPEATED_ENTRIES_DAY", "LOSS_STREAK"}),
        (
            6,
            {"sigma": 0.008, "opens": 0.5},
            OFTEN | TIGHT,
            {"LOSS_STREAK", "DAY_LOSS", "WEEK_LOSS"},
        ),
        (
            8,
            {"sigma": 0.006, "opens": 1.0, "drift": -0.0003},
            OFTEN | WEEK,
            {"DAY_LOSS", "WEEK_LOSS"},
        ),
    ],
    ids=["shipped limits", "tight limits", "bars that open anywhere"],
)
def test_a_busy_rule_is_stopped_and_let_go_on_alike(seed, walk, risk, stopped_by):
    """D-56, CTL-7: what was entered of late is forgotten with a reset, by both."""
    bars = market(seed, n=1_500, **walk)
    trades, stops = same(asked("ema-trend", bars, risk=risk, parameters=BUSY))
    assert {stop.reason_code for stop in stops} == stopped_by
    assert len(trades) > 50


def test_real_minutes_are_traded_alike(market_data):
    """D-56"""
    bars = real_bars("binance_spot_BTCUSDT_1m_2021-09.parquet", 60_000, 3_000)
    trades, _ = same(asked("breakout", bars, risk=OFTEN))
    assert trades


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"trading": {"entry_order": "limit"}}, "entries are limit orders"),
        ({"trading": {"protection": "take_profit"}}, "a take_profit rests for each position"),
        ({"cash": "100000000"}, "cash 100000000 is too large"),
        ({"fee": "-0.0001"}, "taker fee was -0.0001"),
    ],
    ids=["entries", "protection", "cash", "rebate"],
)
def test_what_is_not_covered_is_refused_with_its_reason(change, reason):
    """D-56: never a silently different answer."""
    with pytest.raises(NotCovered, match=reason):
        column_run(asked("breakout", market(1, n=300), **change), ColumnHistories())


def test_a_book_a_second_symbol_and_a_voice_of_others_are_the_sessions():
    """D-56"""
    plain = asked("breakout", market(1, n=300))
    one = plain.history
    eth = History(
        {**one.bars, "ETH/USDT": one.bars[BTC]},
        {**one.instruments, "ETH/USDT": instrument_for("ETH/USDT", one.bars[BTC])},
        one.timeframe_ms,
    )
    heard = bootstrap.with_predictors(plain.config, ("online-linear",))
    for request, reason in (
        (replace(plain, book_seed=1), "orders meet an order book"),
        (replace(plain, history=eth), "2 symbols share one account"),
        (replace(plain, config=heard), "online-linear have a voice"),
        (replace(plain, config=bootstrap.with_strategies(heard, ("ensemble",))), "not one rule"),
    ):
        with pytest.raises(NotCovered, match=reason):
            column_run(request, ColumnHistories())


def test_a_price_between_two_ticks_is_found_on_its_bar_and_told():
    """D-56: the walk stops there; the unit is then the session's."""
    request = asked("breakout", market(7, n=1_500, sigma=0.006), risk=OFTEN)
    instrument = replace(request.history.instruments[BTC], tick_size=Decimal("0.1"))
    coarse = History(request.history.bars, {BTC: instrument}, QUARTER_MS)
    with pytest.raises(NotCovered, match="off the grid of ticks") as refused:
        column_run(replace(request, history=coarse), ColumnHistories())
    assert refused.value.at_ms in (request.history.bars[BTC].ts_ms + QUARTER_MS)


def test_a_bar_the_session_would_refuse_is_told_with_its_time():
    bars = market(1, n=300)
    bars.high[200] = bars.low[200] / 2.0
    with pytest.raises(NotCovered, match="a bar is refused: high") as refused:
        column_run(asked("breakout", bars), ColumnHistories())
    assert refused.value.at_ms == int(bars.ts_ms[201])


def test_a_sweeps_unit_is_worth_the_same_either_way_and_says_which_it_took():
    """D-56: only trials in sample are traced in columns."""
    bars = market(7, n=1_500, sigma=0.006)
    request = replace(asked("breakout", bars, risk=OFTEN), from_ms=None)
    at = [int(bars.ts_ms[row]) for row in (0, 1_000, 1_050, 1_400)]
    window, told = Window(0, *at), []
    unit = Unit(0, IN_SAMPLE, 0, {"stop_atr": 1.5})

    def traced(request, unit, histories):
        return unit_outcome(
            request,
            "breakout",
            window,
            unit,
            4 * QUARTER_MS,
            lambda *at: told.append(at),
            histories,
        )

    histories = ColumnHistories()
    quick, slow = traced(request, unit, histories), traced(request, unit, None)
    assert quick.trades and quick.path == "columns"
    assert replace(quick, path="") == replace(slow, path="")
    judged = traced(request, replace(unit, kind=DEFAULTS), histories)
    assert judged.path == "session: judged out of sample"
    waiting = {"trading": {"entry_order": "limit"}}
    by_session = traced(replace(asked("breakout", bars, **waiting), from_ms=None), unit, histories)
    assert by_session.path == "session: entries are limit orders"
    assert traced(request, replace(unit, parameters={"stop_atr": -1.0}), histories).path == ""
