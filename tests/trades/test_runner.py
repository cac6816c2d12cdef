"""Warm sessions: kept while they may be, thrown away when they must be."""

from __future__ import annotations

import pytest

from tests.trades.order_factory import make_run
from trades.errors import RulesChanged
from trades.lease import Fence
from trades.models import TradingRun
from trades.runner import AdvanceSummary, Runner

pytestmark = pytest.mark.django_db(transaction=True)


class Session:
    """One that hears of new rules at its second advance."""

    def __init__(self, fence: Fence) -> None:
        self.fence = fence
        self.advances = 0
        self.closed = False

    def advance(self) -> AdvanceSummary:
        self.advances += 1
        if self.advances == 2:
            raise RulesChanged("BTC/USDT lot_size was 0.00001, is 0.001")
        return AdvanceSummary(self.fence.run_id, "advanced")

    def close(self) -> None:
        self.closed = True


def test_new_rules_of_the_venue_end_a_session_and_the_next_knock_builds_another() -> None:
    """F-054: no error, no lost lease: the session that knew the old steps is gone."""
    built: list[Session] = []

    def factory(run: TradingRun, fence: Fence) -> Session:
        built.append(Session(fence))
        return built[-1]

    runner, run = Runner(factory, "1"), make_run()
    outcomes = [runner.advance(run.pk).outcome for _ in range(3)]
    assert outcomes == ["advanced", "rules changed", "advanced"]
    assert [session.closed for session in built] == [True, False]
    assert built[0].fence.token == built[1].fence.token
