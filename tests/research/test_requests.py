"""What a replay may be asked for: one line an error, and nothing outside the allowed folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from research.data_files import data_file_list, data_file_path
from research.errors import ReplayInvalid
from research.requests import options_of, request_checked
from tests.research.scene import FILE, candle_folder
from tests.trades.rows import make_everything

pytestmark = pytest.mark.django_db


def refused(folder: Path, **given: object) -> list[str]:
    with pytest.raises(ReplayInvalid) as error:
        request_checked(given, [folder])
    return error.value.lines


def test_every_wrong_value_has_a_line_of_its_own(tmp_path):
    """SEC-42, SEC-43: each line says what, the value and what is allowed."""
    lines = refused(
        candle_folder(tmp_path, 5),
        data=["nowhere.parquet"],
        cash="NaN",
        slippage_bps="-1",
        seed=-1,
        book="real",
        strategies=["moon"],
        predictors=["oracle"],
        **{"from": "soon", "to": "2024-01-01"},
    )
    starts = ["from was 'soon'", "strategies had 'moon'", "cash was NaN", "slippage_bps was -1"]
    starts += ["predictors had 'oracle'", "seed was -1", "book was 'real'", "data was 'nowhere"]
    assert len(lines) == len(starts)
    for start, line in zip(starts, lines, strict=True):
        assert line.startswith(start) and "allowed: " in line
        assert "\n" not in line


@pytest.mark.parametrize("name", ["../secret.csv", "sub/../../secret.csv", "link.csv", "a\0b.csv"])
def test_a_file_outside_the_folder_is_not_there(tmp_path, name):
    """SEC-42: names are resolved before the look, links too."""
    folder = tmp_path / "allowed"
    folder.mkdir()
    secret = tmp_path / "secret.csv"
    secret.write_text("x")
    (folder / "sub").mkdir()
    (folder / "link.csv").symlink_to(secret)
    assert data_file_path(name, [folder]) is None
    assert data_file_path(str(secret), [folder]) is None
    assert data_file_list([folder]) == []
    assert refused(folder, data=[name])[0].startswith("data was ")


def test_files_are_named_relative_to_their_folder(tmp_path):
    (tmp_path / "deep").mkdir()
    candle_folder(tmp_path / "deep", 5)
    (tmp_path / "deep" / "notes.txt").write_text("x")
    assert data_file_list([tmp_path]) == [f"deep/{FILE}"]
    assert data_file_path(f"deep/{FILE}", [tmp_path]) == (tmp_path / "deep" / FILE).resolve()


def test_a_request_is_filled_with_defaults_and_becomes_the_options_of_the_command(tmp_path):
    candle_folder(tmp_path, 5)
    request = request_checked(
        {"data": [FILE], "from": "2023-11-14T23:00+01:00", "cash": "5e3"}, [tmp_path]
    )
    assert request["from"] == "2023-11-14T22:00:00+00:00"
    assert (request["cash"], request["predictors"], request["layer"]) == ("5000", None, False)
    options = options_of(request, [tmp_path / FILE])
    assert (options["predictors"], options["book"], options["seed"]) == ("all", "none", 1)
    assert options_of(request | {"predictors": []}, [])["predictors"] == "none"


def test_stored_candles_need_a_known_venue_symbol_and_bar_length(tmp_path):
    make_everything()
    assert "allowed: practice-synthetic" in refused(tmp_path, venue="moon", timeframe="1m")[0]
    lines = refused(tmp_path, venue="practice-synthetic", symbols=["X/Y"], timeframe="soon")
    assert lines[0].startswith("symbols had 'X/Y', allowed: BTC/USDT")
    assert lines[1].startswith("timeframe was 'soon'")
    assert refused(tmp_path, data=[FILE], venue="practice-synthetic")[0].startswith(
        "data and venue: both given"
    )
