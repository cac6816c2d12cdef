"""The pages of sources and evolution, and what a person may ask for on them."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.models import AuditEvent
from monitoring.evolution import evidence_of
from monitoring.sources import seat_list, source_groups, source_series, stored_scoreboard
from strategies.models import JobStatus, PredictorModel, TrainingJob
from tests.monitoring import factories as make
from tests.monitoring import learning_scene as scene
from trades.models import EvolutionEvent, SessionState

pytestmark = pytest.mark.django_db
REASON = {"reason": "the market turned"}


@pytest.fixture
def run():
    run = make.make_run(last_event_at=make.START)
    scene.build(run)
    return run


@pytest.fixture
def viewer(client):
    client.force_login(make.make_user("vera", "viewer"))
    return client


@pytest.fixture
def operator(client):
    client.force_login(make.make_user("olga", "operator"))
    return client


def rows_of(run):
    return {
        row.score.source: (group.kind, row) for group in source_groups(run) for row in group.rows
    }


def test_what_all_said_together_is_no_source_that_lost_its_seat(monkeypatch):
    """ORC-85: the consensus is scored, and stands apart from sources, seated or former."""
    monkeypatch.setitem(scene.SKILL, "ensemble", 0.55)
    run = make.make_run(last_event_at=make.START)
    scene.settle(run, 40, 3)
    kind, row = rows_of(run)["ensemble"]
    assert (kind, row.seat) == ("together", "the consensus")


def test_each_source_stands_in_its_group_with_its_seat_and_model(run):
    """ORC-85: champion, challenger in the shadow and control group, each with its model."""
    rows = rows_of(run)
    kinds = {source: kind for source, (kind, _) in rows.items()}
    assert kinds == {
        "ema-trend": "rule",
        "breakout": "rule",
        "forest": "champion",
        "forest@c0ffee000002": "shadow",
        "gradient-boosting": "champion",
        "online-linear": "champion",
        "base-rate": "control",
        "last-return": "control",
    }
    assert rows["forest"][1].model.version == "c0ffee000001"
    assert rows["forest@c0ffee000002"][1].seat == "challenger in shadow"
    assert rows["gradient-boosting"][1].model is None
    assert [part.regime for part in rows["forest"][1].regimes] == ["QUIET", "TRENDING"]
    assert rows["forest"][1].score.trades_for == 8
    assert rows["ema-trend"][1].score.trades_against == 8


def test_a_model_that_left_its_seat_is_set_apart(run):
    PredictorModel.objects.filter(stage="CHALLENGER").update(stage="DISCARDED")
    kind, row = rows_of(run)["forest@c0ffee000002"]
    assert (kind, row.seat) == ("former", "left its seat")


def test_a_forecast_that_loses_to_the_running_mean_is_called_losing(run, viewer):
    """ORC-83: said plainly, from the scoreboard that the run stored."""
    board = stored_scoreboard(run)
    verdicts = {source: row for source, (_, row) in rows_of(run).items()}
    assert any(row.is_losing for row in verdicts.values())
    for source, row in verdicts.items():
        assert row.is_losing == (not board.forecast(source).wins)
        assert row.score.verdict.startswith("loses to" if row.is_losing else "beats")
    text = viewer.get(reverse("sources")).content.decode()
    assert "loses, not used" in text
    assert "loses to the running mean: error" in text


def test_without_a_stored_state_no_forecast_is_claimed(run, viewer):
    """ORC-83"""
    SessionState.objects.all().delete()
    assert {row.is_losing for _, row in rows_of(run).values()} == {None}
    assert "no stored forecast" in viewer.get(reverse("sources")).content.decode()


def test_series_are_means_of_at_least_twenty_opinions(run):
    by_source = {row["source"]: row for row in source_series(run)}
    forest = by_source["forest"]
    assert sum(bin_["n"] for bin_ in forest["calibration"]) == 400
    assert len(forest["over_time"]) == 20
    brier = sum(block["brier"] for block in forest["over_time"]) / 20
    assert brier == pytest.approx(rows_of(run)["forest"][1].score.brier)
    assert by_source["base-rate"]["is_control"] and not forest["is_control"]


def test_seats_are_those_of_the_run_s_market(run):
    """ORC-16"""
    seats = {row.code: row for row in seat_list(run)}
    assert seats["forest"].champion.version == "c0ffee000001"
    assert seats["forest"].challenger.version == "c0ffee000002"
    assert seats["neural-network"].job.progress_fraction == 0.4
    other = {row.code: row for row in seat_list(make.make_run(venue="elsewhere"))}
    assert other["forest"].champion is None and other["neural-network"].job is None


@pytest.mark.parametrize("name", ["sources", "evolution"])
def test_pages_work_without_a_run_and_say_what_will_come(viewer, name):
    page = viewer.get(reverse(name))
    assert page.status_code == 200
    assert b"yet</strong>" in page.content


def test_the_history_has_evidence_and_actor_and_is_filtered(run, viewer):
    """ORC-16: every step with the numbers that led to it."""
    text = viewer.get(reverse("evolution")).content.decode()
    for words in ("log loss gained <b>0.0051</b>", "p better <b>0.0076</b>", "<td>system</td>"):
        assert words in text
    page = viewer.get(reverse("evolution"), {"stage": "CHAMPION", "code": "forest"})
    assert [step.event.to_stage for step in page.context["steps"]] == ["CHAMPION"]
    none = viewer.get(reverse("evolution"), {"code": "online-linear"})
    assert none.context["steps"] == []
    drift = viewer.get(reverse("evolution"), {"list": "triggers", "kind": "drift"})
    assert [row.source for row in drift.context["rows"]] == ["gradient-boosting"]
    assert (
        not viewer.get(reverse("evolution"), {"list": "triggers", "kind": "manual"})
        .context["rows"]
        .object_list.exists()
    )
    jobs = viewer.get(reverse("evolution"), {"list": "trainings"})
    assert [(row.job.code, row.is_open) for row in jobs.context["trainings"]] == [
        ("neural-network", True)
    ]


def test_a_model_s_page_has_lineage_metrics_and_its_parent(run, viewer):
    """ORC-85: persisted lineage, one click from the source."""
    parent, child = PredictorModel.objects.order_by("id")
    page = viewer.get(reverse("model-page", args=[child.pk]))
    text = page.content.decode()
    assert page.context["parent"] == parent
    assert "BTC/USDT, ETH/USDT" in text and "0.6901" in text and "trees 200" in text
    assert reverse("model-page", args=[parent.pk]) in text
    assert reverse("model-page", args=[child.pk]) in viewer.get(reverse("sources")).content.decode()
    assert viewer.get(reverse("model-page", args=[999_999])).status_code == 404


def test_an_operator_asks_for_a_training_with_a_reason(run, operator):
    """ORC-16: by hand, from the page, audited under the person's name."""
    given = {"predictor": "forest", "next": "/decisions/sources/", **REASON}
    answer = operator.post(reverse("evolution-train"), given)
    assert answer["Location"] == "/decisions/sources/"
    job = TrainingJob.objects.get(code="forest")
    assert (job.kind, job.actor, job.reason) == ("manual", "olga", "the market turned")
    assert EvolutionEvent.objects.get(kind="manual").source == "forest"
    assert AuditEvent.objects.get(action="training.request").actor == "olga"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"predictor": "forest", "reason": "  "}, "reason was empty"),
        ({"predictor": "oracle", **REASON}, "predictor was &#x27;oracle&#x27;"),
        ({"predictor": "online-linear", **REASON}, "learns as it goes"),
        ({"predictor": "neural-network", **REASON}, "has one that waits, runs"),
    ],
)
def test_a_training_that_is_refused_says_why_and_changes_nothing(run, operator, given, words):
    page = operator.post(reverse("evolution-train"), given, follow=True)
    assert words in page.content.decode()
    assert TrainingJob.objects.count() == 1


def test_a_running_training_is_aborted_with_a_reason(run, operator):
    """ORC-16"""
    job = TrainingJob.objects.get()
    address = reverse("training-abort")
    assert (
        "reason was empty"
        in operator.post(address, {"job": job.pk, "reason": ""}, follow=True).content.decode()
    )
    operator.post(address, {"job": job.pk, **REASON})
    job.refresh_from_db()
    assert (job.status, job.error) == (JobStatus.ABORTED, "the market turned")
    again = operator.post(address, {"job": job.pk, **REASON}, follow=True)
    assert "is over" in again.content.decode()
    for number in ("999", "x", "9" * 40):
        assert operator.post(address, {"job": number, **REASON}).status_code == 404


@pytest.mark.parametrize("name", ["evolution-train", "training-abort"])
def test_a_viewer_sees_no_button_and_may_not_press_it(run, viewer, name):
    """SEC-9"""
    for page in ("sources", "evolution"):
        assert b"data-learn" not in viewer.get(reverse(page)).content
    given = {"predictor": "forest", "job": TrainingJob.objects.get().pk, **REASON}
    assert viewer.post(reverse(name), given).status_code == 403
    assert TrainingJob.objects.get().status == JobStatus.RUNNING


def test_a_form_of_another_site_trains_nothing(run):
    """SEC-12"""
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(make.make_user("olga", "operator"))
    given = {"predictor": "forest", **REASON}
    assert strict.post(reverse("evolution-train"), given).status_code == 403
    assert not TrainingJob.objects.filter(code="forest").exists()


def test_the_admin_page_of_a_model_leads_to_its_page_and_to_training(run, client):
    """ORC-85"""
    boss = make.make_user("ada", "admin", is_staff=True, is_superuser=True)
    client.force_login(boss)
    model = PredictorModel.objects.get(stage="CHAMPION")
    page = client.get(reverse("admin:strategies_predictormodel_change", args=[model.pk]))
    text = page.content.decode()
    assert reverse("model-page", args=[model.pk]) in text
    assert reverse("evolution") + "?code=forest" in text


def test_the_measures_of_a_training_are_read_one_by_one_with_their_intervals():
    trained = {
        "metrics": {"n": 356, "log_loss": 0.69945, "auc": 0.5, "intervals": {"auc": [0.4, 0.6]}}
    }
    assert evidence_of(trained) == [
        ("rows", "356"),
        ("log loss", "0.69945"),
        ("AUC", "0.5 (0.4 to 0.6)"),
    ]
