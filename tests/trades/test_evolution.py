"""Training asked for by hand: for every open run, with a reason, once."""

from __future__ import annotations

import pytest

from accounts.models import AuditEvent
from strategies.errors import PredictorUnknown, StrategyRefused
from strategies.models import JobStatus, TrainingJob
from tests.accounts.callers import by_token
from tests.trades.rows import START, make_run
from trades.errors import EvolutionRefused
from trades.models import EvolutionEvent
from trades.services import predictor_evolve

pytestmark = pytest.mark.django_db
PATH = "/api/v1/predictors/forest/evolve"


def test_a_request_by_hand_is_a_job_a_trigger_and_an_audit_event():
    """ORC-16: manual, over HTTP."""
    run = make_run(last_event_at=START)
    answer = by_token("operator").post(PATH, {"reason": "new regime"}, format="json")
    assert answer.status_code == 200, answer.content
    (row,) = answer.json()["results"]
    assert (row["kind"], row["status"], row["reason"]) == ("manual", "QUEUED", "new regime")
    event = EvolutionEvent.objects.get(run=run)
    assert (event.kind, event.source, event.text) == ("manual", "forest", "new regime")
    job = TrainingJob.objects.get()
    assert (job.venue, job.symbols, job.run_code) == (run.venue, run.symbols, run.code)
    assert AuditEvent.objects.get(action="training.request").reason == "new regime"


def test_a_second_request_waits_for_the_first():
    """ORC-16: dedupe holds for people too."""
    make_run(last_event_at=START)
    predictor_evolve(code="forest", actor="ada", reason="once")
    with pytest.raises(EvolutionRefused, match="has one that waits"):
        predictor_evolve(code="forest", actor="ada", reason="twice")
    answer = by_token("operator").post(PATH, {"reason": "thrice"}, format="json")
    assert (answer.status_code, answer.json()["reason_code"]) == (409, "training_refused")
    assert EvolutionEvent.objects.count() == 1


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        ("oracle", "because", PredictorUnknown),
        ("online-linear", "because", StrategyRefused),
        ("forest", "  ", EvolutionRefused),
    ],
)
def test_what_cannot_be_trained_or_has_no_reason_is_refused(code, reason, error):
    make_run(last_event_at=START)
    with pytest.raises(error):
        predictor_evolve(code=code, actor="ada", reason=reason)
    assert TrainingJob.objects.count() == 0


def test_without_an_open_run_with_bars_there_is_nothing_to_train_on():
    make_run()
    with pytest.raises(EvolutionRefused, match="open runs with bars were 0"):
        predictor_evolve(code="forest", actor="ada", reason="because")


def test_a_job_is_aborted_over_http_with_a_reason():
    """ORC-16"""
    make_run(last_event_at=START)
    (job,) = predictor_evolve(code="forest", actor="ada", reason="once")
    path = f"/api/v1/predictors/jobs/{job.pk}/abort"
    client = by_token("operator")
    assert client.post(path, {}, format="json").status_code == 400
    answer = client.post(path, {"reason": "not today"}, format="json")
    assert (answer.status_code, answer.json()["status"]) == (200, JobStatus.ABORTED.value)
    assert client.post(path, {"reason": "again"}, format="json").status_code == 409
    missing = client.post("/api/v1/predictors/jobs/999/abort", {"reason": "x"}, format="json")
    assert missing.status_code == 404


def test_predictors_models_and_history_are_read_over_http():
    """ORC-85: lineage and seats; the numbers of a model are never sent."""
    make_run(last_event_at=START)
    predictor_evolve(code="forest", actor="ada", reason="once")
    client = by_token("viewer")
    rows = {row["code"]: row for row in client.get("/api/v1/predictors/").json()["results"]}
    assert rows["forest"]["last_job"]["reason"] == "once"
    assert not rows["online-linear"]["is_trained_on_candles"]
    assert client.get("/api/v1/predictors/forest/").json()["code"] == "forest"
    assert client.get("/api/v1/predictors/oracle/").status_code == 404
    assert client.get("/api/v1/predictors/jobs/").json()["results"][0]["code"] == "forest"
    for name in ("models", "history"):
        assert client.get(f"/api/v1/predictors/{name}/").json()["results"] == []
