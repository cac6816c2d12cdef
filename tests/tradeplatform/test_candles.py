"""``candles``: over the wire from the practice exchange, from files, and what is missing."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.errors import AuditRefused
from accounts.models import AuditEvent
from market.candle_store import Shelf
from research.selectors import source_choices
from tests.practice_process import practice_process
from tests.research.scene import FILE, candle_folder
from tradeplatform.management.commands.candles import Command
from tradeplatform.preparation import write_practice_addresses


def candles(*words: str, **options: Any) -> list[dict[str, Any]]:
    out = StringIO()
    call_command("candles", *words, json=True, stdout=out, **options)
    return json.loads(out.getvalue())["candles"]


@pytest.fixture
def var(tmp_path, settings):
    settings.VAR_DIR = tmp_path
    settings.RESEARCH_DATA_FOLDERS = [tmp_path / "candles"]
    return tmp_path


@pytest.mark.django_db
def test_a_download_from_the_practice_exchange_is_whole_and_offered_to_replays(var, settings):
    """D-36: the unmodified client, paged, and every closed bar once."""
    with practice_process(var / "practice") as practice:
        # as a running platform tells commands beside it
        settings.PRACTICE_URL = ""
        write_practice_addresses(var / "run", {"TRADEPLATFORM_PRACTICE_URL": practice.url})
        asked = {"exchange": "practice", "symbol": "BTC/USDT", "timeframe": "1m"}
        (first,) = candles("download", since="2024-01-01", **asked)
        n_bars = practice.status()["bars"]["BTC/USDT"]
        assert (first["bars"], first["new"], first["gaps"]) == (n_bars, n_bars, 0)
        practice.step(3)
        (second,) = candles("download", since="2024-01-01", **asked)
        assert (second["bars"], second["new"]) == (n_bars + 3, 3)
        # what is lost in the middle comes back, and nothing else is asked for
        shelf = Shelf(var / "candles", "practice", "BTC/USDT", 60_000)
        kept = shelf.read()
        shelf.path.unlink()
        shelf.keep(kept.rows(0, 100))
        shelf.keep(kept.rows(107, len(kept)))
        assert candles("gaps")[0]["missing_bars"] == 7
        (repaired,) = candles("repair", exchange="practice")
        assert (repaired["new"], repaired["gaps"], repaired["bars"]) == (7, 0, n_bars + 3)
        assert shelf.read().close.tolist() == kept.close.tolist()
        assert candles("repair") == []
        with pytest.raises(CommandError, match="symbol was 'X/Y', allowed: a symbol the venue"):
            candles("download", since="2024-01-01", **asked | {"symbol": "X/Y"})
    assert source_choices()["files"] == ["practice_spot_BTCUSDT_1m.parquet"]
    with pytest.raises(CommandError, match="the venue did not answer") as gone:
        candles("download", since="2024-01-01", **asked)
    assert gone.value.returncode == 1


def test_files_stand_before_or_after_what_is_said_of_them():
    parser = Command().create_parser("manage.py", "candles")
    for words in (["x.csv", "--exchange", "binance"], ["--exchange", "binance", "x.csv"]):
        read = parser.parse_args(["import", *words])
        assert (read.act, read.files, read.exchange) == ("import", ["x.csv"], "binance")


def test_a_file_is_imported_listed_and_its_gaps_are_named(var):
    candle_folder(var, 50)
    text = (var / FILE).read_text().splitlines()
    (var / FILE).write_text("\n".join(text[:10] + text[13:]))
    (row,) = candles("import", str(var / FILE), exchange="binance")
    assert (row["bars"], row["new"], row["refused"]) == (47, 47, 0)
    assert candles("list")[0]["file"] == "binance_spot_BTCUSDT_1m.parquet"
    (gaps,) = candles("gaps")
    assert [gap["bars"] for gap in gaps["missing"]] == [3]
    assert (var / "candles").stat().st_mode & 0o077 == 0


@pytest.mark.django_db
def test_old_bars_are_trimmed_with_a_reason_and_a_file_left_empty_goes(var):
    candles("import", str(candle_folder(var, 50) / FILE), exchange="binance")
    with pytest.raises(CommandError, match="--before or --reason were not given, trim needs both"):
        candles("trim", before="2023-11-14T22:24")
    with pytest.raises(CommandError, match="kept files of kraken were 0"):
        candles("trim", before="2023-11-14T22:24", reason="space", exchange="kraken")
    (row,) = candles("trim", before="2023-11-14T22:24", reason="space")
    assert (row["deleted"], row["bars"], row["from"]) == (10, 40, "2023-11-14T22:24Z")
    assert AuditEvent.objects.get(action="candles.trim").reason == "space"
    (row,) = candles("trim", before="2030-01-01", reason="space")
    assert (row["deleted"], row["bars"]) == (40, 0)
    assert candles("list") == []


@pytest.mark.django_db(transaction=True)
def test_a_trim_outside_any_transaction_is_audited_and_one_bad_file_stops_no_other(var):
    """SEC-33: as from a shell, where nothing wraps the command."""
    candles("import", str(candle_folder(var, 50) / FILE), exchange="binance")
    (var / "candles" / "alpha_spot_BTCUSDT_1m.parquet").write_bytes(b"no candles")
    out = StringIO()
    with pytest.raises(CommandError, match=r"alpha_spot_.*: not readable") as raised:
        call_command("candles", "trim", before="2023-11-14T22:24", reason="space", stdout=out)
    assert raised.value.returncode == 1
    assert "40 bars, 10 deleted" in out.getvalue()
    event = AuditEvent.objects.get(action="candles.trim")
    assert (event.reason, event.after["bars deleted"]) == ("space", 10)


@pytest.mark.django_db(transaction=True)
def test_nothing_is_deleted_where_the_audit_cannot_be_written(var, monkeypatch):
    """SEC-33: the act and its row stand together or not at all."""
    candles("import", str(candle_folder(var, 50) / FILE), exchange="binance")

    def refused(**told: Any) -> None:
        raise AuditRefused("no room")

    monkeypatch.setattr("tradeplatform.management.commands.candles.audit_record", refused)
    with pytest.raises(AuditRefused):
        candles("trim", before="2023-11-14T22:24", reason="space")
    assert candles("list")[0]["bars"] == 50


def test_a_repair_with_nothing_to_do_says_so(var):
    candles("import", str(candle_folder(var, 20) / FILE), exchange="binance")
    out = StringIO()
    call_command("candles", "repair", stdout=out)
    assert out.getvalue().startswith("nothing to repair")
    (row,) = candles("list")
    assert (row["gaps"], row["bars"]) == (0, 20)


def test_a_single_gap_is_told_in_the_singular(var):
    file = candle_folder(var, 20) / FILE
    rows = file.read_text().splitlines()
    file.write_text("\n".join([*rows[:9], *rows[10:]]))
    candles("import", str(file), exchange="binance")
    out = StringIO()
    call_command("candles", "gaps", stdout=out)
    assert "1 gap, 1 bar missing" in out.getvalue() and "gaps" not in out.getvalue()


def test_a_feather_file_of_freqtrade_is_imported(var):
    """Its times are dates, and its name says nothing we read: both are told."""
    polars = pytest.importorskip("polars")
    frame = polars.read_csv(candle_folder(var, 20) / FILE)
    dated = frame.with_columns(polars.from_epoch("timestamp", time_unit="ms").alias("date"))
    dated.drop("timestamp").write_ipc(var / "BTC_USDT-1m.feather")
    named = {"exchange": "binance", "symbol": "BTC/USDT", "timeframe": "1m"}
    (row,) = candles("import", str(var / "BTC_USDT-1m.feather"), **named)
    assert (row["bars"], row["from"]) == (20, "2023-11-14T22:14Z")


@pytest.mark.parametrize(
    ("words", "options", "line"),
    [
        (["download"], {"exchange": "binance"}, "--symbol was not given, a download needs it"),
        (["import", "x.csv"], {}, "files or --exchange were not given"),
        (
            ["download"],
            {"exchange": "moon", "symbol": "A/B", "timeframe": "1m", "since": "2024-01-01"},
            "moon",
        ),
        (
            ["download"],
            {"exchange": "binance", "symbol": "A/B", "timeframe": "1m", "since": "soon"},
            "--since was 'soon'",
        ),
    ],
)
def test_wrong_use_is_one_line(var, words, options, line):
    """F-087"""
    with pytest.raises(CommandError) as refused:
        candles(*words, **options)
    assert refused.value.returncode == 2
    assert line in str(refused.value) and "\n" not in str(refused.value)
