"""The plans of the virtual books: what they ask the database must not cost the run anything."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from engine.ports import StrategyStatus
from tests.engine.phases.scene import Gate
from tests.trades.rows import make_strategy
from trades.side_books import counterfactual_plan

pytestmark = pytest.mark.django_db


def test_a_side_book_asks_inside_a_savepoint_of_its_own() -> None:
    """D-60: a read that fails would else spoil the event's transaction, on PostgreSQL at least."""
    depths: list[int] = []

    def is_on() -> bool:
        depths.append(len(connection.savepoint_ids))
        return True

    def status(code: str) -> str:
        depths.append(len(connection.savepoint_ids))
        return "SUSPENDED"

    make_strategy("ema-trend")
    plan = counterfactual_plan(Gate(), is_on, {}, status)
    with transaction.atomic():
        outside = len(connection.savepoint_ids)
        assert plan.wanted()
        assert plan.gatekeeper.strategy_status("ema-trend") is StrategyStatus.SUSPENDED
    assert depths == [outside + 1, outside + 1]
