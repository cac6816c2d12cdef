"""Replays over HTTP."""

from __future__ import annotations

import pytest

from research.models import ReplayJob
from tests.accounts.callers import by_token
from tests.research.scene import FILE, candle_folder, make_job

pytestmark = pytest.mark.django_db
URL = "/api/v1/replays/"
BODY = {"data": [FILE], "predictors": [], "from": "2023-11-14", "notes": "first"}


@pytest.fixture(autouse=True)
def folder(tmp_path, settings):
    settings.RESEARCH_DATA_FOLDERS = [candle_folder(tmp_path, 5)]
    return tmp_path


def test_a_repeated_start_with_one_key_is_one_job():
    """SEC-44"""
    client = by_token("operator")
    answers = [client.post(URL, BODY, format="json", HTTP_IDEMPOTENCY_KEY="k1") for _ in range(2)]
    assert [a.status_code for a in answers] == [201, 201], answers[0].content
    assert answers[0].json()["code"] == answers[1].json()["code"]
    job = ReplayJob.objects.get()
    assert (job.notes, job.request["from"]) == ("first", "2023-11-14T00:00:00+00:00")
    assert client.post(URL, BODY, format="json").json()["reason_code"] == "replay_queue_full"


def test_a_wrong_request_is_a_problem_document_with_every_line():
    """SEC-35"""
    body = BODY | {"data": ["../x.csv"], "strategies": ["moon"]}
    answer = by_token("operator").post(URL, body, format="json")
    document = answer.json()
    assert (answer.status_code, document["reason_code"]) == (400, "replay_invalid")
    assert "strategies had 'moon'" in document["detail"] and "data was" in document["detail"]
    assert ReplayJob.objects.count() == 0


def test_a_viewer_reads_and_an_operator_aborts_and_notes(folder):
    """SEC-9"""
    job = make_job(folder, "RUNNING", report={"version": 1})
    viewer, operator = by_token("viewer"), by_token("operator")
    row = viewer.get(URL).json()["results"][0]
    assert (row["code"], row["status"]) == (str(job.code), "RUNNING")
    assert "report" not in row
    assert viewer.get(f"{URL}?status=DONE").json()["results"] == []
    detail = f"{URL}{job.code}/"
    assert viewer.get(detail).json()["progress_fraction"] == 0.0
    assert viewer.get(f"{detail}report").json() == {"report": {"version": 1}}
    assert viewer.post(f"{detail}abort", {"reason": "x"}, format="json").status_code == 403
    noted = operator.post(f"{detail}notes", {"notes": "odd"}, format="json")
    assert noted.json()["notes"] == "odd"
    aborted = operator.post(f"{detail}abort", {"reason": "odd"}, format="json")
    assert aborted.json()["status"] == "ABORTING"
    missing = "00000000-0000-0000-0000-000000000001"
    answer = operator.post(f"{URL}{missing}/abort", {"reason": "x"}, format="json")
    assert answer.status_code == 404
