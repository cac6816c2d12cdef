"""The checks read one moment of a database that others go on writing."""

from __future__ import annotations

from threading import Thread

import pytest
from django.db import connection

from strategies.models import Strategy
from tests.trades.rows import make_strategy
from trades.invariants.snapshot import one_moment


@pytest.mark.django_db(transaction=True)
def test_a_check_sees_nothing_that_is_committed_while_it_reads() -> None:
    """I-15: a decision and its candle are read by two queries; both are of one moment, and the
    writer is not held back."""
    make_strategy("ema-trend")

    def write() -> None:
        make_strategy("breakout")
        connection.close()

    with one_moment():
        assert Strategy.objects.count() == 1
        writer = Thread(target=write)
        writer.start()
        writer.join(timeout=30)
        assert not writer.is_alive(), "a reader must not hold a writer back"
        assert Strategy.objects.count() == 1
    assert Strategy.objects.count() == 2


@pytest.mark.django_db
def test_inside_an_open_transaction_nothing_is_begun() -> None:
    with one_moment():
        make_strategy("ema-trend")
    assert Strategy.objects.count() == 1
