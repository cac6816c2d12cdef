"""Recovery procedures."""

from datetime import timedelta

import pytest

from accounts.models import AuditEvent
from resources.actions.recovery import FailOverToHold, Reconnect, RestartWorker, TripBreaker
from resources.errors import ActionFailed
from resources.tunables import RECONNECTS, tunable_value
from tests.resources.fakes import context
from tests.trades.rows import START, make_run
from trades.models import ControlState
from trades.services import control_set

pytestmark = pytest.mark.django_db


def done(action, told):
    return action.apply(told, action.parameters(told), 1)


def test_reconnecting_is_asked_of_the_loop_once_more_each_time(tmp_path):
    """ORC-42"""
    done(Reconnect(), context(tmp_path))
    done(Reconnect(), context(tmp_path))
    assert tunable_value(RECONNECTS, 0.0) == 2.0


@pytest.mark.parametrize(("rule", "worker"), [("rss-trading", "trading"), ("memory", "general")])
def test_a_worker_is_restarted_through_the_supervisor(tmp_path, rule, worker):
    """ORC-42"""
    told = context(tmp_path, rule=rule)
    assert done(RestartWorker(), told).after == {"restarted": 1.0}
    assert told.levers.restarted == [worker]


def test_the_trading_worker_is_not_restarted_with_an_order_in_flight(tmp_path):
    told = context(tmp_path, rule="rss-trading", orders_in_flight=1)
    assert RestartWorker().parameters(told) is None


def test_a_restart_of_nobody_is_a_failure_not_a_success(tmp_path):
    """ORC-42"""
    told = context(tmp_path)
    told.levers.pids = []
    with pytest.raises(ActionFailed, match="no general worker of ours"):
        done(RestartWorker(), told)


def test_failing_over_holds_entries_until_a_person_resumes(tmp_path):
    """ORC-42"""
    done(FailOverToHold(), context(tmp_path, rule="errors-decision"))
    row = ControlState.objects.get(scope="global")
    assert (row.state, row.reason_code, row.releases_at) == ("REDUCING", "OPTIMIZER_HOLD", None)
    assert AuditEvent.objects.filter(actor="optimizer").exists()


def test_a_tripped_breaker_lets_go_by_itself_after_venue_time(tmp_path):
    """ORC-42"""
    make_run(last_event_at=START)
    done(TripBreaker(), context(tmp_path, rule="errors-venue"))
    row = ControlState.objects.get(scope="global")
    assert (row.state, row.releases_at) == ("REDUCING", START + timedelta(minutes=15))


@pytest.mark.parametrize("state", ["REDUCING", "HALTED"])
def test_a_stricter_state_of_a_person_is_left_as_it_is(tmp_path, state):
    control_set(scope="global", state=state, actor="olga", reason="odd prices")
    for action in (FailOverToHold(), TripBreaker()):
        assert action.parameters(context(tmp_path)) is None
        action.apply(context(tmp_path), {}, 1)
    row = ControlState.objects.get(scope="global")
    assert (row.state, row.actor, row.releases_at) == (state, "olga", None)
