"""Where the platform counts its work, and that settings of the optimizer come from the file."""

from types import SimpleNamespace

import pytest
from celery import shared_task
from django.http import HttpResponse
from django.test import RequestFactory

from engine.announce import EventOutcome
from engine.types.decisions import PhaseStatus
from engine.types.orders import Unanswered
from market.answers import Unavailable
from market.ccxt_client import ask
from market.rate_budget import NO_BUDGET, Urgency
from resources import counters
from resources.celery_counting import connect
from resources.middleware import RequestCounting
from tradeplatform.configuration import from_mapping
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.timed_budget import TimedBudget
from tradeplatform.watch import RunWatch


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """What was counted since the last look, by this process."""
    monkeypatch.setattr(counters, "counters_dir", lambda: tmp_path)
    counters.work.cache_clear()
    reader = counters.CounterReader(tmp_path)
    reader.since_last()
    yield lambda kind: reader.since_last()[kind]
    counters.work.cache_clear()


def outcome(*statuses):
    records = tuple(SimpleNamespace(status=status) for status in statuses)
    return EventOutcome(event=None, decisions=[SimpleNamespace(records=records)])


def test_a_bar_that_was_decided_on_is_counted_with_its_time_and_its_errors(counted):
    """ORC-27, ORC-29"""
    watch = RunWatch(SimpleNamespace(code="x", pk=1, account="main", config={}), publisher=None)
    watch.took(outcome(PhaseStatus.PASSED), 0.120)
    watch.took(outcome(PhaseStatus.PASSED, PhaseStatus.ERROR), 0.080)
    watch.took(EventOutcome(event=None), 0.001)
    watch.took(None, 0.010)
    count = counted("decision")
    assert (count.done, count.failed) == (3.0, 2.0)
    assert count.total_ms == pytest.approx(210.0)


@pytest.mark.parametrize(("status", "failed"), [(200, 0.0), (403, 0.0), (404, 0.0), (500, 1.0)])
def test_every_request_is_counted_and_a_refusal_is_no_failure(counted, status, failed):
    """ORC-27, ORC-29"""
    RequestCounting(lambda request: HttpResponse(status=status))(RequestFactory().get("/"))
    count = counted("http")
    assert (count.done, count.failed) == (1.0, failed)


@shared_task(name="tests.counted", ignore_result=True)
def sometimes(fails):
    if fails:
        raise ValueError("as asked")


def test_tasks_are_counted_with_their_failures(counted):
    """ORC-27, ORC-29"""
    connect()
    for fails in (False, True, False, False):
        sometimes.apply(kwargs={"fails": fails})
    count = counted("task")
    assert (count.done, count.failed) == (4.0, 1.0)


class Client:
    id = "binance"
    last_json_response: object = None
    last_response_headers = None
    last_http_response = "<html>"


def test_calls_to_the_venue_are_counted_and_those_without_an_answer_failed(counted):
    """ORC-27, ORC-29"""
    gates = TimedBudget(NO_BUDGET)

    def call(readable):
        client = Client()

        def answer():
            client.last_json_response = {"a": 1} if readable else None
            return {"a": 1}

        return ask(client, answer, writes=False, gate=gates.gate("x", Urgency.POLL))

    assert call(True) == {"a": 1}
    assert isinstance(call(False), Unavailable | Unanswered)
    count = counted("venue")
    assert (count.done, count.failed) == (2.0, 1.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cpu_limit": 3}, "monitoring.optimizer: cpu_limit was 3, allowed: 0.05 to 1"),
        ({"cpus": 3}, "monitoring.optimizer: cpus was unknown"),
    ],
)
def test_a_bad_setting_in_the_file_stops_the_start_with_one_line(given, message):
    """F-087"""
    with pytest.raises(ConfigurationError, match=message) as told:
        from_mapping({"monitoring": {"optimizer": given}}, source="config.yaml")
    assert "\n" not in str(told.value)
