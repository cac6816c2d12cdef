"""Recorded books as files: what is wrong is one line, what is right is measured (D-53)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars
import pytest

from market.errors import DataError
from research.order_book_files import evaluate

TRADES = {"timestamp": [1_000, 2_000], "price": [100.0, 101.0], "qty": [1.0, 2.0]}
QUOTES = {
    "timestamp": [1_000, 2_000, 3_000],
    "bid": [99.0, 100.0, 100.0],
    "bid_qty": [1.0, 2.0, 3.0],
    "ask": [101.0, 102.0, 102.0],
    "ask_qty": [1.0, 1.0, 1.0],
}


def file(folder: Path, name: str, columns: dict[str, Any]) -> str:
    path = folder / f"{name}.parquet"
    polars.DataFrame(columns).write_parquet(path)
    return str(path)


def test_a_small_recording_is_read(tmp_path: Path) -> None:
    """ORC-09: also one in which too little happened to fit anything."""
    found = evaluate(
        depth=None, quotes=file(tmp_path, "q", QUOTES), trades=file(tmp_path, "t", TRADES)
    )
    assert (found.books, found.levels, found.n, found.ofi_r2) == (3, 1, 1, None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bid": None}, "column bid was missing"),
        ({"bid": [99.0, float("nan"), 1.0]}, "bid was nan, allowed: above 0"),
        ({"bid": [99.0, None, 1.0]}, "1 empty cells"),
        ({"ask_qty": [1.0, 0.0, 1.0]}, "ask_qty was 0.0"),
        ({"bid": [99.0, 105.0, 100.0]}, "book 2 has bid 105.0"),
        ({"timestamp": [1_000, 3_000, 2_000]}, "2000 after 3000"),
        ({"timestamp": [1.5, 2.5, 3.5]}, "allowed: whole numbers"),
        ({name: values[:1] for name, values in QUOTES.items()}, "rows were 1"),
        ({"timestamp": [10**9, 10**9 + 1, 10**9 + 2]}, "some within the books'"),
    ],
)
def test_what_is_wrong_with_quotes_is_one_line(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    """ORC-55: the file, the value, what is allowed."""
    columns = {name: v for name, v in {**QUOTES, **changes}.items() if v is not None}
    quotes, trades = file(tmp_path, "q", columns), file(tmp_path, "t", TRADES)
    with pytest.raises(DataError) as caught:
        evaluate(depth=None, quotes=quotes, trades=trades)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value) and ".parquet" in str(caught.value)


def test_files_that_are_none_are_one_line(tmp_path: Path) -> None:
    """ORC-55"""
    trades = file(tmp_path, "t", TRADES)
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(Path(trades).read_bytes()[:100])
    for path, words in ((str(tmp_path / "no.parquet"), "no such file"), (str(torn), "readable")):
        with pytest.raises(DataError, match=words) as caught:
            evaluate(depth=path, quotes=None, trades=trades)
        assert "\n" not in str(caught.value)


def test_exactly_one_kind_of_book_is_asked_for(tmp_path: Path) -> None:
    trades = file(tmp_path, "t", TRADES)
    with pytest.raises(DataError, match="both was given"):
        evaluate(depth=trades, quotes=trades, trades=trades)
    with pytest.raises(DataError, match="neither was given"):
        evaluate(depth=None, quotes=None, trades=trades)
    with pytest.raises(DataError, match="--trades was not given"):
        evaluate(depth=trades, quotes=None, trades=None)


def test_spot_depth_reproduces_the_measured_r2(market_data: Path) -> None:
    """D-53: 0.687 within 0.01, every changed level an event; ten levels explain far more."""
    spot = market_data / "l2" / "binance_spot_BTCUSDT_20240808"
    found = evaluate(depth=f"{spot}_depth.parquet", quotes=None, trades=f"{spot}_trades.parquet")
    assert found.ofi_r2 == pytest.approx(0.687, abs=0.01)
    assert (found.n, found.fit, found.books) == (66, "one fit", 6_493)
    ten = found.horizons[2]
    assert ten.horizon_s == 10
    assert ten.multi_level_adjusted_r2 is not None and ten.multi_level_adjusted_r2 > 0.85
    assert ten.integrated_r2 is not None and ten.integrated_r2 > 0.8


def test_spot_quotes_reproduce_the_measured_r2_at_each_horizon(market_data: Path) -> None:
    """D-53: the same market from its best quotes."""
    spot = market_data / "l2" / "binance_spot_BTCUSDT_20240808"
    found = evaluate(depth=None, quotes=f"{spot}_bbo.parquet", trades=f"{spot}_trades.parquet")
    measured = [horizon.ofi_r2 for horizon in found.horizons[:3]]
    assert measured == pytest.approx([0.535, 0.651, 0.687], abs=0.002)


def test_taq_quotes_reproduce_the_measured_r2(market_data: Path) -> None:
    """D-53: 0.699 by half hours and 0.381 of the trades, within 0.01."""
    taq = market_data / "l1" / "nyse_taq_XXX_2018-01-02"
    found = evaluate(depth=None, quotes=f"{taq}_quotes.parquet", trades=f"{taq}_trades.parquet")
    assert found.ofi_r2 == pytest.approx(0.699, abs=0.01)
    assert found.trade_imbalance_r2 == pytest.approx(0.381, abs=0.01)
    assert (found.n, found.fit) == (2_340, "mean of 13 half-hour fits")
    assert found.predictive[2].startswith("nothing:")
