"""The pages of replays."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from market.models import Instrument
from research.claims import claim_oldest
from research.models import ReplayJob
from research.presenting import span_words
from tests.monitoring.factories import make_user
from tests.research.core.test_report import FIGURES, document
from tests.research.scene import FILE, candle_folder, make_job
from tests.trades.rows import make_run

pytestmark = pytest.mark.django_db
RESULT = FIGURES | {"return_fraction": 0.01, "bars": 2, "bars_per_s": 9.5, "elapsed_s": 0.2}
RESULT |= {"proposals": 3, "filtered": 1, "orders": 2, "digest": "abc", "peak_rss_mb": 99.0}


@pytest.fixture(autouse=True)
def folder(tmp_path, settings):
    settings.RESEARCH_DATA_FOLDERS = [candle_folder(tmp_path, 5)]
    return tmp_path


@pytest.fixture
def operator(client):
    client.force_login(make_user("olga", "operator"))
    return client


def done(folder, **given) -> ReplayJob:
    fields = {"result": RESULT, "report": document(), "code_version": "c", "progress_fraction": 1}
    return make_job(folder, "DONE", **fields | given)


def test_an_operator_starts_a_replay_from_the_form(operator):
    form = {"data": [FILE], "predictors": "none", "seed": "7", "strategies": ["breakout"]}
    form |= {"slippage_bps": "3", "book": "none", "layer": "on", "notes": "a <b>try</b>"}
    answer = operator.post(reverse("replay-start"), form, follow=True)
    job = ReplayJob.objects.get()
    assert job.request["strategies"] == ["breakout"] and job.request["layer"] is True
    assert (job.request["seed"], job.request["slippage_bps"]) == (7, "3")
    assert (job.actor, job.request["predictors"]) == ("olga", [])
    assert "a &lt;b&gt;try&lt;/b&gt;" in answer.content.decode(), "SEC-39: notes are text"


def test_a_newcomer_finds_the_form_filled_with_what_the_run_stored(operator, settings, tmp_path):
    """What a fresh installation offers can be started as it stands."""
    settings.RESEARCH_DATA_FOLDERS = [str(tmp_path / "empty")]
    run = make_run()
    for symbol in run.symbols:
        Instrument.objects.create(
            venue=run.venue,
            symbol=symbol,
            base=symbol.split("/")[0],
            quote="USDT",
            tick_size=Decimal("0.01"),
            lot_size=Decimal("0.00001"),
            min_notional_quote=Decimal(5),
            min_quantity_base=Decimal("0.00001"),
            maker_fee_fraction=Decimal(0),
            taker_fee_fraction=Decimal(0),
            updated_at=timezone.now(),
        )
    page = operator.get(reverse("replay-list")).content.decode()
    assert f'name="symbols" value="{", ".join(run.symbols)}"' in page
    assert 'name="timeframe" value="1m"' in page


def test_a_wrong_form_comes_back_filled_in_with_a_line_an_error(operator):
    form = {"data": [FILE], "cash": "much", "from": "soon", "seed": "x", "book": "none"}
    answer = operator.post(reverse("replay-start"), form)
    page = answer.content.decode()
    assert answer.status_code == 400
    assert page.count("<li>cash was much") == page.count("<li>from was &#x27;soon&#x27;") == 1
    assert "<li>seed was x" in page
    assert 'value="soon"' in page and f"<option selected>{FILE}</option>" in page
    assert ReplayJob.objects.count() == 0


def test_a_viewer_sees_the_list_and_no_form(client, folder):
    """SEC-9"""
    client.force_login(make_user("vera", "viewer"))
    done(folder)
    page = client.get(reverse("replay-list")).content.decode()
    assert "Start replay" not in page and "1.00 %" in page
    assert client.post(reverse("replay-start"), {}).status_code == 403


def test_one_replay_shows_figures_beside_buy_and_hold_costs_and_assumptions(operator, folder):
    page = operator.get(reverse("replay-page", args=[done(folder).code])).content.decode()
    for said in ("hold 20.0", "1.50", "No peeking.", "no deposits", "Report as HTML"):
        assert said in page, said
    assert "<script>x" not in page, "SEC-39: a symbol is text"


def test_the_span_of_a_replay_is_in_the_zone_of_its_trades():
    with timezone.override("Asia/Kolkata"):
        told = span_words({"from_ms": 0, "to_ms": 3_600_000})
    assert told == "1970-01-01 05:30 to 1970-01-01 06:30 Asia/Kolkata"


def test_a_failed_replay_says_why_and_a_running_one_can_be_aborted(operator, folder):
    failed = make_job(folder, "FAILED", error="row 3: high below low")
    assert (
        "row 3: high below low"
        in operator.get(reverse("replay-page", args=[failed.code])).content.decode()
    )
    make_job(folder)
    running = claim_oldest(ReplayJob)
    page = operator.get(reverse("replay-page", args=[running.code])).content.decode()
    assert "data-replay" in page and "Reason to abort" in page
    operator.post(reverse("replay-abort", args=[running.code]), {"reason": "enough"})
    running.refresh_from_db()
    assert running.status == "ABORTING"
    data = operator.get(reverse("replay-data"), {"code": str(running.code)}).json()
    assert data["replays"][str(running.code)]["status"] == "ABORTING"


def test_the_report_is_a_download_only_where_there_is_one(operator, folder):
    job = done(folder)
    answer = operator.get(reverse("replay-report", args=[job.code]))
    assert answer["Content-Disposition"] == f'attachment; filename="replay-{job.code}.html"'
    assert answer.content.decode().startswith("<!doctype html>")
    waiting = make_job(folder)
    assert operator.get(reverse("replay-report", args=[waiting.code])).status_code == 404


def test_replays_side_by_side_tell_differences_from_the_first(operator, folder):
    first = done(folder)
    second = done(folder, asked={"seed": 9}, result=RESULT | {"return_fraction": 0.03})
    codes = {"code": [str(first.code), str(second.code)]}
    page = operator.get(reverse("replay-compare"), codes).content.decode()
    assert "+2.00 %" in page
    assert page.count('class="differs"') == 1, "the seed alone differs"
    series = json.loads(page.split('id="series-data" type="application/json">')[1].split("<")[0])
    assert [one["name"][:2] for one in series] == ["1.", "2."]
    alone = operator.get(reverse("replay-compare"), {"code": str(first.code)}, follow=True)
    assert "Choose two to four finished replays" in alone.content.decode()


def test_notes_are_kept_from_the_page(operator, folder):
    job = done(folder)
    operator.post(reverse("replay-notes", args=[job.code]), {"notes": "keep"})
    job.refresh_from_db()
    assert job.notes == "keep"
