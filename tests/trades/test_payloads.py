"""Stored documents: written without repetition, read back whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from engine.phases.recorder import digest
from tests.kept_rows import kept_rows
from tests.trades.stored_run import StoredRun, market
from trades.models import Analysis, Decision
from trades.payloads import pack_decision, unpack_analysis, unpack_decision
from trades.stored import analysis_document, decision_document, legends

pytestmark = pytest.mark.django_db

# bytes of JSON an analysed bar and symbol; a third more than measured, so that waste is noticed
MOST_BYTES_A_BAR = 9_500


@pytest.fixture(scope="module")
def kept(django_db_setup: None, django_db_blocker: Any) -> Iterator[StoredRun]:
    with kept_rows(django_db_blocker):
        yield StoredRun(market("BTC/USDT", n_bars=520)).trade(100)


@pytest.fixture
def run(kept: StoredRun, db: None) -> StoredRun:
    return kept


def test_every_record_is_whole_and_gives_its_own_digest(run: StoredRun) -> None:
    """ORC-06: ten records with digests, output, status, reasons and a duration, from the rows."""
    for row in Decision.objects.select_related("analysis"):
        records = [
            *analysis_document(row.analysis)["records"],
            *decision_document(row)["records"],
        ]
        assert sorted(record["number"] for record in records) == list(range(1, 11))
        for record in records:
            assert record["duration_us"] >= 0.0
            assert record["name"] and record["status"] and record["input_digest"]
            if record["number"] != 2:
                assert digest(record["output"]) == record["output_digest"], record["number"]


def test_the_three_views_come_back_with_their_section(run: StoredRun) -> None:
    """ORC-73: market, features and order flow are in the stored document."""
    document = analysis_document(Analysis.objects.latest("pk"))
    assert document["market"]["regime"]
    assert document["order_flow"]["advice"]
    values = document["features"]["values"]
    assert len(values) > 30 and "rsi_14" in values
    assert document["consensus"]["weights"] and document["sources"][0]["reason"]


def test_values_without_their_legend_are_numbered(run: StoredRun) -> None:
    row = Analysis.objects.latest("pk")
    whole = unpack_analysis(row.payload, lambda key: None)
    assert "feature 0" in whole["features"]["values"]
    assert list(whole["features"]["values"].values()) == list(
        unpack_analysis(row.payload, legends())["features"]["values"].values()
    )


def test_an_older_document_is_read_as_it_is() -> None:
    old = {"records": [], "sizing": {"multiplier_applied": 1.0}}
    assert unpack_decision(old, {}) == old


def test_what_cannot_be_rebuilt_is_kept(run: StoredRun) -> None:
    """A phase that learns to say more loses nothing."""
    row = Decision.objects.filter(action="BUY").select_related("analysis").latest("pk")
    whole = decision_document(row)
    whole["sizing"]["news"] = 1
    stored = pack_decision({k: v for k, v in whole.items() if k not in ("code", "config")}, {})
    assert unpack_decision(stored, {})["sizing"]["news"] == 1


def test_a_bar_takes_no_more_room_than_it_must(run: StoredRun) -> None:
    rows = [*Analysis.objects.all(), *Decision.objects.all()]
    size = sum(len(json.dumps(row.payload)) for row in rows)
    assert size / Analysis.objects.count() < MOST_BYTES_A_BAR


def test_rows_from_before_a_field_was_added_are_read(run: StoredRun) -> None:
    """A start with newer code must not lose the pages of what was stored before."""
    row = Analysis.objects.latest("pk")
    whole = analysis_document(row)
    assert whole["opinions"]
    row.payload["opinions"] = [opinion[:3] for opinion in row.payload["opinions"]]
    row.payload["sources"] = [source[:9] for source in row.payload["sources"]]
    read = analysis_document(row)
    assert [one["version"] for one in read["opinions"]] == [""] * len(whole["opinions"])
    assert {one["voice"] for one in read["sources"]} == {1.0}
    assert [one["source"] for one in read["opinions"]] == [o["source"] for o in whole["opinions"]]
