"""The loop from a reading to a verdict, on rows."""

import math
from datetime import timedelta

import pytest

from accounts.models import AuditEvent
from resources.actions.base import Outcome, Plain
from resources.actions.registry import ACTIONS
from resources.core.config import OptimizerConfig
from resources.core.windows import RollingRounds
from resources.errors import ActionFailed
from resources.models import (
    ActionState,
    IncidentState,
    OptimizerAction,
    ResourceIncident,
    Stage,
)
from resources.optimizer import Optimizer
from tests.resources.fakes import NOW, FakeLevers, FakeWorkers, add_rounds
from tests.trades.rows import make_order, make_run

pytestmark = pytest.mark.django_db
BUSY, CALM = {"host.cpu": 0.95}, {"host.cpu": 0.30}
CONFIG = OptimizerConfig()


class World:
    """An optimizer whose rounds and clock a test sets."""

    def __init__(self, tmp_path, config=CONFIG, actions=ACTIONS) -> None:
        self.now, self.config = NOW, config
        self.levers, self.workers = FakeLevers(), FakeWorkers()
        self.rounds = RollingRounds(5_000)
        self.tmp_path, self.actions = tmp_path, actions
        self.start()

    def start(self) -> None:
        self.optimizer = Optimizer(
            levers=self.levers,
            rounds=self.rounds,
            var_dir=self.tmp_path,
            workers=self.workers,
            actions=self.actions,
        )

    def pass_time(self, values, seconds=10.0):
        self.now += timedelta(seconds=seconds)
        add_rounds(self.rounds, values, until=self.now, n=int(seconds / 5))
        return self.optimizer.round(self.now, self.config)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def stages(incident):
    return list(incident.steps.values_list("stage", flat=True))


def test_one_incident_shows_all_five_stages_and_validation_decides(world):
    """ORC-57, ORC-51, ORC-54"""
    world.pass_time(CALM, 60)
    assert not ResourceIncident.objects.exists()
    world.pass_time(BUSY, 30)
    row = OptimizerAction.objects.get()
    assert (row.action, row.state, row.verdict) == ("shed-research", ActionState.MEASURING, "")
    assert world.workers.research == set()
    for _ in range(5):
        report = world.pass_time(CALM)
    row.refresh_from_db()
    incident = row.incident
    assert stages(incident)[:4] == [Stage.MONITOR, Stage.THRESHOLD, Stage.TRIGGER, Stage.ACT]
    assert Stage.VALIDATE in stages(incident)
    assert incident.steps.get(stage=Stage.VALIDATE).detail["action_id"] == row.pk
    assert (row.state, row.verdict) == (ActionState.JUDGED, "success")
    assert row.improvement == pytest.approx((0.95 - 0.30) / 0.95, abs=0.01)
    assert row.before["host.cpu"][-1] == 0.95
    assert row.saved["cpu_s"] > 0
    assert row.duration_ms is not None
    assert AuditEvent.objects.filter(actor="optimizer", action="optimizer.act").count() == 1
    assert report.triggers == ()


def test_what_was_done_is_undone_when_the_load_is_over(world):
    """ORC-35, ORC-36"""
    world.pass_time(BUSY, 30)
    for _ in range(6):
        world.pass_time(CALM)
    assert world.workers.research == {"general@here"}
    row = OptimizerAction.objects.get()
    assert not row.is_in_effect
    assert row.reverted_at is not None
    assert row.incident.state == IncidentState.RESOLVED
    assert "resources:cpu" in world.levers.resolved


def test_what_did_not_help_is_undone_at_once(world):
    """ORC-44"""
    world.pass_time(BUSY, 30)
    for _ in range(4):
        world.pass_time(BUSY)
    first = OptimizerAction.objects.get(action="shed-research")
    assert first.verdict == "no effect"
    assert first.reverted_at is not None
    assert world.workers.research == {"general@here"}


def test_an_hour_of_overload_runs_each_action_at_most_once_a_cool_down_and_escalates(world):
    """ORC-50: one virtual hour through the rows; then a person is told."""
    for _ in range(360):
        world.pass_time(BUSY)
    counts = {
        code: OptimizerAction.objects.filter(action=code).count()
        for code in OptimizerAction.objects.values_list("action", flat=True)
    }
    assert set(counts) == {"shed-research", "lengthen-sampling", "shrink-pool", "cheaper-decisions"}
    assert max(counts.values()) <= math.ceil(3_600 / CONFIG.cool_down_s)
    assert max(counts.values()) == CONFIG.tries_without_effect
    incident = ResourceIncident.objects.get()
    assert incident.state == IncidentState.ESCALATED
    assert "tried in vain" in world.levers.alerts["resources:cpu"]
    assert not OptimizerAction.objects.filter(is_in_effect=True).exists()


def test_a_restart_of_the_optimizer_forgets_nothing(world):
    """ORC-51: cool-downs, incidents and what is being measured stand in rows."""
    world.pass_time(BUSY, 30)
    for _ in range(20):
        world.start()
        world.pass_time(BUSY)
    assert ResourceIncident.objects.count() == 1
    counts = OptimizerAction.objects.values_list("action", flat=True)
    assert len(counts) == len(set(counts))


def test_observing_plans_and_records_and_does_nothing(tmp_path):
    world = World(tmp_path, OptimizerConfig(observe_only=True))
    for _ in range(12):
        world.pass_time(BUSY)
    assert world.workers.research == {"general@here"}
    states = set(OptimizerAction.objects.values_list("state", "verdict"))
    assert states == {(ActionState.OBSERVED, "")}
    assert AuditEvent.objects.filter(action="optimizer.act").count() == 0


def test_switched_off_it_does_not_even_look(tmp_path):
    world = World(tmp_path, OptimizerConfig(enabled=False))
    assert world.pass_time(BUSY, 60).triggers == ()


def test_nothing_that_reaches_the_trading_loop_is_done_with_an_order_in_flight(tmp_path):
    only = {"cheaper-decisions": ACTIONS["cheaper-decisions"]}
    world = World(tmp_path, actions=only)
    order = make_order(make_run())
    for _ in range(5):
        world.pass_time(BUSY)
    assert not OptimizerAction.objects.exists()
    waits = ResourceIncident.objects.get().steps.filter(stage=Stage.WAIT)
    assert [step.text for step in waits] == ["cheaper-decisions: 1 orders are in flight"]
    order.status = "FILLED"
    order.save()
    world.pass_time(BUSY)
    assert OptimizerAction.objects.get().action == "cheaper-decisions"


class Broken(Plain):
    code = "shed-research"

    def __init__(self, error) -> None:
        self.error = error

    def parameters(self, context):
        return {}

    def apply(self, context, parameters, action_id):
        raise self.error


@pytest.mark.parametrize(
    ("error", "is_incident"), [(ActionFailed("no answer"), False), (RuntimeError("bug"), True)]
)
def test_an_action_that_raises_is_a_failed_attempt_and_the_loop_goes_on(
    tmp_path, error, is_incident
):
    """ORC-54: and it is never a success."""
    world = World(tmp_path, actions={"shed-research": Broken(error)})
    world.pass_time(BUSY, 30)
    row = OptimizerAction.objects.get()
    assert (row.state, row.verdict, row.improvement) == ("failed", "not measurable", None)
    assert str(error) in row.error
    assert bool(world.levers.incidents) is is_incident
    world.pass_time(BUSY)


class Slow(Plain):
    code = "collect-garbage"

    def parameters(self, context):
        return {"process": "general"}

    def apply(self, context, parameters, action_id):
        return Outcome(is_sent=True)


def test_a_worker_that_never_answers_is_given_up(tmp_path):
    """ORC-42"""
    world = World(tmp_path, actions={"collect-garbage": Slow()})
    full = {"host.memory_used": 0.95}
    world.pass_time(full, 30)
    assert OptimizerAction.objects.get().state == ActionState.SENT
    for _ in range(10):
        world.pass_time(full)
    assert (
        OptimizerAction.objects.order_by("id")
        .first()
        .error.endswith("no worker took it up in time")
    )


def test_errors_of_the_venue_lead_to_recovery_once_an_incident(world):
    """ORC-48, ORC-42, ORC-41"""
    failing = {"work:venue.errors": 0.5, "work:venue.throughput": 5.0}
    for _ in range(20):
        world.pass_time(failing)
    done = list(OptimizerAction.objects.order_by("id").values_list("action", flat=True))
    assert done == ["reconnect", "trip-breaker"]
    assert ResourceIncident.objects.get().state == IncidentState.ESCALATED


def test_the_same_failure_repeated_opens_an_incident_with_cause_and_count(world):
    """ORC-41"""
    world.levers.seen = {"abc": ("predictor forest", 3)}
    world.pass_time(CALM)
    world.levers.seen = {"abc": ("predictor forest", 20)}
    world.pass_time(CALM)
    incident = ResourceIncident.objects.get()
    assert (incident.kind, incident.first_value) == ("repeat", 17.0)
    assert "predictor forest" in incident.cause


def test_savings_and_rates_are_reproducible_from_the_history(world):
    """ORC-53, ORC-70"""
    from resources.selectors import report

    world.pass_time(BUSY, 30)
    for _ in range(6):
        world.pass_time(CALM)
    told = report()
    rows = list(OptimizerAction.objects.all())
    assert told["saved"] == {"cpu_s": pytest.approx(sum(row.saved["cpu_s"] for row in rows))}
    assert told["total"]["attempts"] == len(rows)
    assert told["total"]["success_rate"] == 1.0
    assert told == report()
