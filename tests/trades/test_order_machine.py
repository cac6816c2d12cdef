"""The state machine of the order path (T5); see ``order_machine`` for its rules."""

from __future__ import annotations

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.machines import machine_settings
from tests.trades.order_machine import OrderMachine

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def test_no_order_of_events_doubles_an_order_or_loses_a_fill() -> None:
    """I-1, I-2, I-3, I-4, I-5, I-6, I-7, I-8, I-9, I-16, I-19, I-21, I-23, F-001, F-002, F-003,
    F-004, F-005, F-013, F-014, F-015, F-016, F-045, F-069: any order of submits, cancels, fills,
    deaths, halts, suspensions and hands on the same account."""
    run_state_machine_as_test(OrderMachine, settings=machine_settings(25, 30))
    steps = OrderMachine.steps
    assert min(steps["deaths"], steps["accepted"], steps["fills"]) > 10, steps
