"""What a session takes over between events from the optimizer's rows."""

import pytest

from resources.tunables import RECONNECTS, THRIFT, tunable_set
from tradeplatform.session_relief import relief

pytestmark = pytest.mark.django_db


class Pipeline:
    level = -1

    def set_thrift(self, level):
        self.level = level


class Client:
    class session:
        closed = 0

        @classmethod
        def close(cls):
            cls.closed += 1


def test_thrift_is_taken_over_and_given_back():
    """ORC-36"""
    pipeline = Pipeline()
    relieve = relief(pipeline, Client())
    for level in (0, 2, 1, 0):
        tunable_set(THRIFT, float(level), by="optimizer")
        relieve()
        assert pipeline.level == level


def test_connections_are_closed_once_for_each_time_it_was_asked_for():
    """ORC-42"""
    Client.session.closed = 0
    tunable_set(RECONNECTS, 3.0, by="optimizer")
    relieve = relief(Pipeline(), Client())
    relieve()
    assert Client.session.closed == 0
    tunable_set(RECONNECTS, 4.0, by="optimizer")
    relieve()
    relieve()
    assert Client.session.closed == 1
