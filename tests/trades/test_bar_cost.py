"""What a bar costs the database: statements and commits, counted, for seconds are the machine's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from engine.types.bars import MarketEvent
from tests.trades.stored_run import StoredRun, market
from trades.models import Analysis, EquityPoint, SessionState, SymbolCursor

pytestmark = pytest.mark.django_db(transaction=True)
SYMBOLS = ("BTC/USDT", "ETH/USDT")


@pytest.fixture
def stored() -> Iterator[StoredRun]:
    yield StoredRun(market(*SYMBOLS)).trade(2)


def next_events(stored: StoredRun) -> list[MarketEvent]:
    return [stored.event(symbol) for symbol in SYMBOLS]


def test_a_bar_on_which_nothing_is_ordered_reads_nothing_that_it_replaces(
    stored: StoredRun,
) -> None:
    """ORC-75: one transaction, and one statement for each row that it leaves behind."""
    for event in next_events(stored):
        with CaptureQueriesContext(connection) as asked:
            outcome = stored.session.on_event(event)
        assert not outcome.submitted
        words = [query["sql"] for query in asked.captured_queries]
        assert sum(sql.startswith("BEGIN") for sql in words) == 1
        assert not [sql for sql in words if "SAVEPOINT" in sql]
        for model in (SessionState, SymbolCursor, EquityPoint, Analysis):
            table = model._meta.db_table
            assert not [sql for sql in words if sql.startswith("SELECT") and table in sql]
