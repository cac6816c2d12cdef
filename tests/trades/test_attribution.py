"""Whose order it is: every row says what it was made by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.types.orders import Cause, Purpose
from tests.trades.order_factory import held_fence, make_intent, make_run
from tests.trades.stored_run import StoredRun, market
from trades.journal import DatabaseJournal
from trades.models import Order

pytestmark = pytest.mark.django_db


def test_an_order_of_a_decision_names_strategy_code_configuration_and_decision(
    settings: Any,
) -> None:
    """CTL-23: the code is that of the process, also after an upgrade in the middle of a run."""
    settings.CODE_VERSION = "1.2.3-later"
    stored = StoredRun(market("BTC/USDT", n_bars=700))
    while not Order.objects.exists():
        stored.trade(20)
    order = Order.objects.select_related("run", "decision").earliest("pk")
    assert stored.run.code_version == "test"
    assert order.limits_snapshot["made_by"] == {
        "code": "1.2.3-later",
        "config": stored.run.config_digest,
    }
    assert order.decision is not None
    assert order.strategy == order.decision.strategy != ""
    assert (order.cause, order.actor) == ("decision", "")
    assert order.limits_snapshot["final_quantity_base"] == str(order.decision.quantity_base)


def test_an_order_that_a_person_asked_for_names_the_person(settings: Any) -> None:
    """CTL-23"""
    settings.CODE_VERSION = "1.2.3"
    run = make_run()
    asked = make_intent(purpose=Purpose.EXIT)
    asked = replace(asked, cause=Cause.REQUEST, actor="olga")
    DatabaseJournal(run, held_fence(run), {}).record_intent(asked)
    order = Order.objects.get()
    assert (order.cause, order.actor, order.strategy) == ("request", "olga", "ema-trend")
    assert order.limits_snapshot["made_by"]["code"] == "1.2.3"
