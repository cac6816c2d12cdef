"""The replay command: names of its answer, repeatability, one line for bad input."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from market.sources.synthetic_path import synthetic_bars

FIELDS = {
    "bars",
    "decisions",
    "proposals",
    "filtered",
    "orders",
    "fills",
    "trades",
    "final_equity",
    "return_fraction",
    "max_drawdown_fraction",
    "sharpe",
    "sortino",
    "profit_factor",
    "expectancy_r",
    "win_rate_fraction",
    "exposure_max_fraction",
    "cap_breaches",
    "digest",
    "elapsed_s",
    "bars_per_s",
    "peak_rss_mb",
    "layer",
}


@pytest.fixture(scope="module")
def bar_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bars = synthetic_bars(5, "BTC/USDT", 1_700_000_040_000, 60_000, 1_500)
    path = tmp_path_factory.mktemp("bars") / "binance_spot_BTCUSDT_1m_x.csv"
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    rows = zip(bars.ts_ms.tolist(), *(c.tolist() for c in columns), strict=True)
    lines = ["timestamp,open,high,low,close,volume", *(",".join(map(repr, r)) for r in rows)]
    path.write_text("\n".join(lines))
    return path


def replay(path: Path, **options: Any) -> dict[str, Any]:
    out = StringIO()
    call_command("replay", data=[str(path)], json=True, stdout=out, **options)
    document: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return document


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (("2023-11-15", "2023-11-14"), "--from was 2023-11-15, allowed: before --to"),
        (("2030-01-01", None), "the files hold 2023-11-14T22:14 to "),
        ((None, "2001-01-01"), "no bar opens between --from the first and --to 2001-01-01"),
    ],
)
def test_a_span_without_bars_is_refused_with_one_line(
    bar_file: Path, given: tuple[str | None, str | None], line: str
) -> None:
    """F-087"""
    with pytest.raises(CommandError) as refused:
        replay(bar_file, from_iso=given[0], to_iso=given[1])
    assert refused.value.returncode == 2
    assert line in str(refused.value)


def test_the_same_replay_gives_the_same_digest_and_every_field(bar_file: Path) -> None:
    """I-26: same seed and configuration, same decisions and fills."""
    first, second = replay(bar_file), replay(bar_file)
    assert set(first) >= FIELDS
    assert first["digest"] == second["digest"]
    assert first["bars"] == 1_500
    assert first["trades"] > 0
    assert first["cap_breaches"] == 0
    assert first["layer"] is None


def test_another_book_strategy_or_predictor_is_another_course_of_events(bar_file: Path) -> None:
    """I-26: a digest that never changed would prove nothing."""
    digests = {
        replay(bar_file)["digest"],
        replay(bar_file, book="synthetic")["digest"],
        replay(bar_file, strategies="breakout")["digest"],
    }
    assert len(digests) == 3


def test_only_the_named_strategies_propose(bar_file: Path) -> None:
    everything, one = replay(bar_file), replay(bar_file, strategies="range-reversion")
    assert 0 < one["proposals"] < everything["proposals"]


def test_from_and_to_cut_the_events_not_the_warm_up(bar_file: Path) -> None:
    result = replay(bar_file, from_iso="2023-11-15T00:00", to_iso="2023-11-15T06:00")
    assert result["bars"] == 360
    assert result["trades"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": ["/nowhere/x_BTCUSDT_1m.csv"]}, "/nowhere/x_BTCUSDT_1m.csv"),
        ({"strategies": "moon"}, "--strategies was 'moon', allowed: ema-trend"),
        ({"predictors": "oracle"}, "--predictors was 'oracle', allowed: online-linear"),
        ({"from_iso": "yesterday"}, "--from was 'yesterday'"),
        ({"cash": "much"}, "--cash was 'much'"),
        ({"cash": "-1"}, "--cash was -1, allowed: 0 or more"),
        ({"slippage_bps": "nan"}, "--slippage-bps was nan"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    bar_file: Path, options: dict[str, Any], message: str
) -> None:
    given = {"data": [str(bar_file)], "json": True, **options}
    with pytest.raises(CommandError) as refused:
        call_command("replay", **given)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.returncode == 2


def test_a_malformed_row_is_named_by_file_and_row(tmp_path: Path) -> None:
    """A bad candle file: nothing is traded half-way."""
    path = tmp_path / "binance_spot_BTCUSDT_1m_bad.csv"
    path.write_text(
        "timestamp,open,high,low,close,volume\n"
        "1700000040000,10,11,9,10,1\n"
        "1700000100000,10,9,11,10,1\n"
    )
    with pytest.raises(CommandError) as refused:
        replay(path)
    assert path.name in str(refused.value)
    assert refused.value.returncode == 2
