"""Sweeps as jobs: units stored once, paused and resumed without losing or repeating one."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent
from research.claims import claim_oldest
from research.core.sweep import Outcome, Unit
from research.core.walk_forward import bars_needed, windows_of
from research.errors import ReplayStopped, SweepInvalid, SweepRefused
from research.models import Sweep, SweepStatus, SweepUnit
from research.pulse import Pulse
from research.selectors import sweep_paths
from research.sweep_services import (
    sweep_change,
    sweep_pulse,
    sweep_reap,
    sweep_start,
)
from research.sweep_units import outcomes_of, unit_claim, unit_store, units_plan
from tests.accounts.callers import by_token
from tests.monitoring.factories import make_user
from tests.research.scene import FILE, candle_folder
from tradeplatform.sweep_jobs import sweep_run

pytestmark = pytest.mark.django_db
ASKED = {"data": [FILE], "strategy": "breakout", "trials": 5, "folds": 1, "purge_bars": 20}
ASKED |= {"ranges": {"channel_bars": [8, 40], "stop_atr": [1.0, 3.0]}, "in_sample_share": 0.6}
NEVER_S = 3600.0


@pytest.fixture(autouse=True)
def folder(tmp_path, settings):
    settings.RESEARCH_DATA_FOLDERS = [candle_folder(tmp_path, 1_000)]
    return tmp_path


def start(folder, **given) -> Sweep:
    return sweep_start(given=ASKED | given, folders=[folder], actor="olga")


def work(sweep: Sweep, stop_after: int | None = None) -> SweepStatus:
    """Work on a claimed sweep; after ``stop_after`` units somebody pauses it."""
    told = []

    def say(line: str) -> None:
        told.append(line)
        if len(told) == stop_after:
            sweep_change(sweep=sweep, to=SweepStatus.PAUSED, actor="olga", reason="later")

    return sweep_run(
        sweep, pulse=Pulse(lambda *_: sweep_pulse(sweep=sweep), every_s=NEVER_S), say=say
    )


def test_a_sweep_that_is_paused_goes_on_where_it_was_and_ends_as_if_it_had_not_been(folder):
    """No unit is lost, repeated or chosen otherwise; the out-of-sample column is there."""
    start(folder)
    assert work(claim_oldest(Sweep), stop_after=2) == "PAUSED"
    assert len(outcomes_of(Sweep.objects.get())) == 2
    sweep = Sweep.objects.get()
    assert claim_oldest(Sweep) is None
    sweep_change(sweep=sweep, to=SweepStatus.QUEUED, actor="olga", reason="now")
    assert work(claim_oldest(Sweep)) == "DONE"
    sweep.refresh_from_db()
    assert (sweep.units_done, sweep.units_total, sweep.slot) == (7, 7, None)
    start(folder)
    whole = claim_oldest(Sweep)
    assert work(whole) == "DONE"
    whole.refresh_from_db()
    assert whole.result == sweep.result
    (row,) = sweep.result["windows"]
    assert row["trials"] == 5 and "out_of_sample_sharpe" in row
    units = SweepUnit.objects.filter(sweep=sweep)
    assert {u.kind for u in units} == {"in-sample", "chosen", "defaults"}
    assert any(u.outcome["trades"] for u in units)
    paths = {"columns": 5, "session: judged out of sample": 2}
    assert sweep_paths([sweep, whole]) == {sweep.pk: paths, whole.pk: paths}


def test_a_unit_is_stored_once_and_only_by_whoever_holds_it(folder):
    start(folder)
    sweep = claim_oldest(Sweep)
    units_plan(sweep=sweep, units=[Unit(0, "in-sample", n, {"stop_atr": 1.0}) for n in (0, 1)])
    unit = unit_claim(sweep=sweep, worker="a:1")
    outcome = Outcome(Unit(0, "in-sample", 0, {"stop_atr": 1.0}), 0.1, 2, (0.1, -0.1))
    assert unit_store(unit=unit, outcome=outcome) is False
    assert outcomes_of(sweep) == [outcome]
    with pytest.raises(ReplayStopped):
        unit_store(unit=unit, outcome=outcome)
    sweep.refresh_from_db()
    assert sweep.units_done == 1
    last = unit_claim(sweep=sweep, worker="a:1")
    sweep_change(sweep=sweep, to=SweepStatus.ABORTED, actor="olga", reason="enough")
    with pytest.raises(ReplayStopped):
        unit_store(unit=last, outcome=outcome)
    assert SweepUnit.objects.filter(finished_at__isnull=False).count() == 1


def test_page_interface_and_command_tell_which_path_units_took(folder, client):
    """D-56: most first; a unit that was refused, or waits, took none."""
    start(folder)
    sweep = claim_oldest(Sweep)
    session = "session: a price is off the grid of ticks"
    paths = ["columns", session, "columns", ""]
    units = [Unit(0, "in-sample", n, {"stop_atr": 1.0}) for n in range(5)]
    units_plan(sweep=sweep, units=units)
    for unit, path in zip(units, paths, strict=False):
        outcome = Outcome(unit, None, 0, (), "" if path else "no", path)
        unit_store(unit=unit_claim(sweep=sweep, worker="a:1"), outcome=outcome)
    assert [outcome.path for outcome in outcomes_of(sweep)] == paths
    told = by_token("viewer").get(f"/api/v1/sweeps/{sweep.code}/").json()
    assert told["paths"] == {"columns": 2, session: 1}
    out = StringIO()
    call_command("sweep", "show", str(sweep.code), stdout=out)
    assert f"  2 units by columns\n  1 units by {session}\n" in out.getvalue()
    client.force_login(make_user("vera", "viewer"))
    page = client.get(reverse("sweep-list")).content.decode()
    assert f"Units: 2 by columns; 1 by {session}." in page


def test_a_dead_process_gives_its_sweep_back_and_the_third_death_is_a_failure(folder):
    start(folder)
    for attempt in (1, 2, 3):
        assert claim_oldest(Sweep).attempts == attempt
        assert sweep_reap() == 0
        Sweep.objects.update(claimed_until_at=timezone.now() - timedelta(seconds=1))
        assert sweep_reap() == 1
    sweep = Sweep.objects.get()
    assert (sweep.status, sweep.slot) == ("FAILED", None)
    assert "ended without a word" in sweep.error
    sweep_change(sweep=sweep, to=SweepStatus.QUEUED, actor="olga", reason="more memory now")
    assert claim_oldest(Sweep) == sweep


def test_wrong_wishes_are_refused_with_one_line(folder):
    """SEC-42, SEC-43"""
    for given, line in (
        ({"strategy": "moon"}, "strategy was 'moon', allowed: ema-trend"),
        ({"trials": 4}, "trials was 4, allowed: a whole number in 5..500"),
        ({"trials": True}, "trials was True"),
        ({"in_sample_share": 1.0}, "in_sample_share was 1.0"),
        ({"ranges": {"stop_atr": [3, 1]}}, "range was"),
    ):
        with pytest.raises(SweepInvalid, match=line):
            start(folder, **given)
    with pytest.raises(SweepInvalid) as error:
        start(folder, data=["x.csv"], strategy="moon", trials=4)
    assert [line.split(" was ")[0] for line in error.value.lines] == ["strategy", "trials", "data"]
    start(folder)
    with pytest.raises(SweepRefused, match="that have not ended were 1, allowed: 1"):
        start(folder)


def test_pausing_and_failing_make_no_room_for_a_second_sweep(folder):
    """SEC-42: whatever has not ended counts."""
    start(folder)
    sweep_change(sweep=Sweep.objects.get(), to=SweepStatus.PAUSED, actor="olga", reason="later")
    with pytest.raises(SweepRefused, match="that have not ended were 1, allowed: 1"):
        start(folder)
    Sweep.objects.update(status=SweepStatus.FAILED)
    failed = Sweep.objects.get()
    start(folder)
    with pytest.raises(SweepRefused, match="that have not ended were 1, allowed: 1"):
        sweep_change(sweep=failed, to=SweepStatus.QUEUED, actor="olga", reason="again")


def test_too_little_history_fails_the_sweep_with_its_numbers(folder):
    start(folder, folds=4)
    sweep = claim_oldest(Sweep)
    assert work(sweep) == "FAILED"
    sweep.refresh_from_db()
    assert "bars in 4 folds gave" in sweep.error


def test_sweeps_over_http_start_once_pause_and_resume(folder):
    """SEC-44, SEC-9"""
    url, operator, viewer = "/api/v1/sweeps/", by_token("operator"), by_token("viewer")
    made = [
        operator.post(url, ASKED, format="json", HTTP_IDEMPOTENCY_KEY="s1").json() for _ in (1, 2)
    ]
    assert made[0]["code"] == made[1]["code"]
    one = f"{url}{made[0]['code']}/"
    assert viewer.post(f"{one}pause", {"reason": "x"}, format="json").status_code == 403
    assert operator.post(f"{one}pause", {"reason": "x"}, format="json").json()["status"] == "PAUSED"
    assert (
        operator.post(f"{one}resume", {"reason": "x"}, format="json").json()["status"] == "QUEUED"
    )
    assert (
        operator.post(f"{one}abort", {"reason": "x"}, format="json").json()["status"] == "ABORTED"
    )
    assert viewer.get(url).json()["results"][0]["units_total"] == 7
    assert AuditEvent.objects.filter(action__startswith="sweep.").count() == 4


def test_the_page_starts_a_sweep_and_acts_on_it(client):
    client.force_login(make_user("olga", "operator"))
    form = {"data": [FILE], "strategy": "breakout", "ranges": "stop_atr 1 x", "trials": "5"}
    page = client.post(reverse("sweep-start"), form | {"folds": "1", "seed": "1"})
    assert page.status_code == 400
    assert "ranges had &#x27;stop_atr 1 x&#x27;" in page.content.decode()
    good = form | {"ranges": "stop_atr 1 3", "folds": "1", "seed": "1"}
    assert client.post(reverse("sweep-start"), good).status_code == 302
    sweep = Sweep.objects.get()
    assert sweep.request["ranges"] == {"stop_atr": [1.0, 3.0]}
    act = reverse("sweep-act", args=[sweep.code])
    client.post(act, {"act": "pause", "reason": "later"})
    page = client.get(reverse("sweep-list")).content.decode()
    assert "paused" in page and "Resume" in page and "later" in page


def test_the_command_lists_pauses_and_refuses_with_one_line(folder):
    sweep = start(folder)
    out = StringIO()
    call_command("sweep", "pause", str(sweep.code), json=True, stdout=out)
    assert json.loads(out.getvalue())["status"] == "PAUSED"
    for words, line in (
        (["resume", "x"], "code was 'x', allowed: the code of a sweep"),
        (["run", "--data", "/nowhere/x.csv", "--strategy", "breakout"], "data folders are"),
        (["run", "--range", "stop_atr=1"], "--range was 'stop_atr=1', allowed: NAME=LOW:HIGH"),
    ):
        with pytest.raises(CommandError) as refused:
            call_command("sweep", *words)
        assert refused.value.returncode == 2
        assert line in str(refused.value)


def test_the_command_takes_files_by_name_or_path_and_tells_each_wrong_value(folder):
    """SEC-42: nothing is queued where candles are too few, and the number that would do is said."""
    wish = ["--strategy", "breakout", "--trials", "5", "--folds", "1", "--purge-bars", "20"]
    out = StringIO()
    for given in (FILE, str(folder / FILE)):
        call_command("sweep", "start", "--data", given, *wish, stdout=out)
        assert Sweep.objects.get().request["data"] == [FILE]
        Sweep.objects.all().delete()
    with pytest.raises(CommandError) as refused:
        call_command(
            *("sweep", "start", "--data", "moon.csv", "--strategy", "breakout", "--trials", "1"),
            *("--range", "stop_atr=1", "moon=1:2", "stop_atr=3:1"),
        )
    lines = str(refused.value).splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "--range was 'stop_atr=1'",
        "breakout: unknown parameter 'moon'",
        "breakout.stop_atr: range was [3.0",
        "trials was 1",
        "data was 'moon.csv'",
        f"data folders are {folder}",
    ]
    wish = ["--strategy", "breakout", "--folds", "2"]
    with pytest.raises(CommandError, match=r"in 2 folds gave .* which takes 1500 bars"):
        call_command("sweep", "start", "--data", FILE, *wish)
    assert not Sweep.objects.exists()


def test_the_bars_a_sweep_takes_are_the_fewest_that_make_its_windows():
    for folds, share, purge in ((1, 0.75, 100), (3, 0.75, 0), (20, 0.3, 10_000), (2, 0.95, 7)):
        words = {"folds": folds, "in_sample_share": share, "purge_bars": purge}
        fewest = bars_needed(folds, share, purge)
        assert len(windows_of(0, fewest * 60_000, 60_000, **words)) == folds
        with pytest.raises(ValueError, match=f"which takes {fewest} bars"):
            windows_of(0, (fewest - 1) * 60_000, 60_000, **words)
