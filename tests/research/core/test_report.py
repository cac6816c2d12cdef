"""The document and the page of a replay: honest beside buy-and-hold, whole, and self-contained."""

from __future__ import annotations

import re

import numpy as np
import pytest

from market.sources.instruments import instrument_for
from research.core.line_chart import Line, line_chart, nice_step
from research.core.report import (
    POINTS,
    Market,
    figures_lack,
    hold_equity,
    thinned_series,
    underwater,
)
from research.core.report_html import report_html
from tests.bar_factory import from_close

MINUTE = 60_000


def market(*closes: float, symbol: str = "BTC/USDT") -> Market:
    bars = from_close(np.array(closes))
    return Market({symbol: bars}, {symbol: instrument_for(symbol, bars)}, MINUTE)


def test_buy_and_hold_pays_one_taker_fee_and_follows_the_close():
    times = np.arange(1, 4, dtype=np.int64) * MINUTE
    hold = hold_equity(market(100.0, 110.0, 50.0), times, 1_000.0)
    assert hold == pytest.approx([999.0, 1_098.9, 499.5])


def test_a_symbol_that_is_listed_later_is_cash_until_then():
    early, late = from_close(np.full(4, 100.0)), from_close(np.array([10.0, 20.0]))
    late.ts_ms[:] = [2 * MINUTE, 3 * MINUTE]
    bars = {"BTC/USDT": early, "ETH/USDT": late}
    both = Market(bars, {s: instrument_for(s, b) for s, b in bars.items()}, MINUTE)
    hold = hold_equity(both, np.arange(1, 5, dtype=np.int64) * MINUTE, 2_000.0)
    assert hold == pytest.approx([1_999.0, 1_999.0, 1_998.0, 2_997.0])


def test_no_trough_is_lost_between_two_points():
    n = POINTS * 25
    times = np.arange(n, dtype=np.int64) * MINUTE
    equity = np.full(n, 100.0)
    equity[7_001] = 40.0
    series = thinned_series(times, equity, equity)
    assert len(series["ts_ms"]) == POINTS
    assert series["ts_ms"][-1] == times[-1]
    assert min(series["underwater"]) == pytest.approx(-0.6)
    assert min(series["equity"]) == 100.0, "the trough lies between two points"


def test_underwater_is_measured_from_the_peak_so_far():
    depth = underwater(np.array([10.0, 20.0, 15.0, 30.0, 3.0]))
    assert depth == pytest.approx([0.0, 0.0, -0.25, 0.0, -0.9])
    assert len(underwater(np.array([]))) == 0


def test_an_empty_replay_has_an_empty_course():
    none = np.array([], dtype=np.int64)
    series = thinned_series(none, np.array([]), np.array([]))
    assert series["equity"] == [] and series["underwater"] == []


def test_a_chart_without_two_times_or_numbers_is_no_chart():
    assert line_chart("x", [1], [Line("a", "a", [1.0])]) == ""
    assert line_chart("x", [1, 2], [Line("a", "a", [None, None])]) == ""


def test_a_gap_breaks_the_line_and_names_are_escaped():
    chart = line_chart("<b>", [0, 1, 2, 3], [Line("<i>", "a", [1.0, None, 2.0, 3.0])])
    assert chart.count('<path class="a"') == 1
    assert len(re.findall("M", chart.split('class="a"')[1].split('"')[1])) == 2
    assert "<b>" not in chart and "<i>" not in chart


@pytest.mark.parametrize(("raw", "step"), [(0.03, 0.05), (1.0, 1.0), (1.1, 2.0), (700.0, 1000.0)])
def test_steps_of_an_axis_are_round(raw, step):
    assert nice_step(raw) == pytest.approx(step)


def document(**given: object) -> dict[str, object]:
    series = {"ts_ms": [0, MINUTE], "equity": [100.0, 90.0], "hold": [100.0, 120.0]}
    series |= {"underwater": [0.0, -0.1], "hold_underwater": [0.0, 0.0]}
    costs = {"fees_quote": 1.5, "fees_of_cash_fraction": 0.015, "turnover_quote": 900.0}
    costs |= {"taker_fee_fraction": 0.001, "maker_fee_fraction": 0.001, "slippage_bps": 2.0}
    hold = {"final_equity": 120.0, "return_fraction": 0.2, "max_drawdown_fraction": 0.0}
    plain = {"quote": "USDT", "symbols": ["<script>x"], "timeframe_ms": MINUTE, "from_ms": 0}
    plain |= {"to_ms": MINUTE, "cash_quote": 100.0, "series": series, "hold": hold}
    plain |= {"costs": costs, "funnel": [{"step": "bars", "n": 2}], "refused": []}
    plain |= {"strategies": [], "trades_total": 0, "trades": [], "assumptions": ["No peeking."]}
    return plain | given


FIGURES = dict.fromkeys(
    ["return_fraction", "sharpe", "sortino", "profit_factor", "expectancy_r"]
) | {"max_drawdown_fraction": 0.1, "final_equity": "90", "trades": 0, "interventions": 0}
FIGURES |= {"win_rate_fraction": None, "exposure_max_fraction": None}


def test_the_report_is_one_file_that_asks_nobody_and_runs_nothing():
    """SEC-39: text is text; no script, no address, whatever a symbol is called."""
    page = report_html(title="<img onerror=x>", figures=FIGURES, document=document(), made=[])
    assert "<script" not in page and "<img" not in page
    assert not re.search(r"(src|href|url)\s*[=(]", page)
    assert page.count("<svg") == 2
    for said in ("No peeking.", "1.50", "2 bps", "hold 20.00 %", "Deposits", "none"):
        assert said in page


DAY = 86_400_000


@pytest.mark.parametrize(
    ("days", "trades", "wanted"),
    [
        (2, 58, {"days": "too few days (2 of 30)", "trades": ""}),
        (30, 29, {"days": "", "trades": "too few trades (29 of 30)"}),
    ],
)
def test_a_ratio_of_too_few_days_or_trades_is_not_printed_but_why(days, trades, wanted):
    """The rule of the Performance page, in the report too."""
    span = {"from_ms": 0, "to_ms": days * DAY}
    assert figures_lack({"trades": trades}, span) == wanted
    assert figures_lack({"trades": 0}, {"from_ms": None, "to_ms": None})["days"]
    figures = FIGURES | {"trades": trades, "sharpe": 28.74, "profit_factor": 2.89}
    page = report_html(title="two days", figures=figures, document=document() | span, made=[])
    assert ("28.74" in page) == (not wanted["days"])
    assert ("2.89" in page) == (not wanted["trades"])
    assert all(reason in page for reason in wanted.values())
