"""The command `microstructure evaluate`: one JSON object, one line on what is wrong."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command


def evaluated(**options: Any) -> str:
    out = StringIO()
    call_command("microstructure", "evaluate", stdout=out, **options)
    return out.getvalue()


def test_the_last_line_is_one_object_with_the_agreed_keys(market_data: Path) -> None:
    """D-53, ORC-09: USD-M is reported as found."""
    market = market_data / "l2" / "binance_um_BTCUSDT_20240808"
    text = evaluated(depth=f"{market}_depth.parquet", trades=f"{market}_trades.parquet", json=True)
    assert text.count("\n") == 1
    found = json.loads(text)
    assert {"ofi_r2", "trade_imbalance_r2", "n"} <= set(found)
    assert found["n"] == 36
    assert [row["horizon_s"] for row in found["horizons"]] == [1, 5, 10, 30]
    assert len(found["predictive"]) == 4


def test_people_get_a_table(market_data: Path) -> None:
    taq = market_data / "l1" / "nyse_taq_XXX_2018-01-02"
    text = evaluated(quotes=f"{taq}_quotes.parquet", trades=f"{taq}_trades.parquet")
    assert "mean of 13 half-hour fits" in text
    assert len(text.splitlines()) > 15


def test_a_wrong_file_is_one_line_and_code_2(tmp_path: Path) -> None:
    """ORC-55"""
    with pytest.raises(CommandError) as caught:
        evaluated(depth=str(tmp_path / "none.parquet"), trades="x.parquet", json=True)
    assert caught.value.returncode == 2
    assert "no such file" in str(caught.value) and "\n" not in str(caught.value)
