"""The state machine of the optimization layer (T5); see ``layer_machine`` for its rules."""

from __future__ import annotations

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.machines import machine_settings
from tests.optimization.layer_machine import LayerMachine

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def test_no_order_of_trades_updates_and_acts_leaves_the_layers_bounds() -> None:
    """I-11, I-12, I-13, I-14, F-075, F-076, F-078, F-079, F-081, F-085."""
    run_state_machine_as_test(LayerMachine, settings=machine_settings(40, 30))
    reached = ("done", "not due", "sized", "barred", "filtered", "at one", "died half-way")
    assert all(LayerMachine.steps[name] > 0 for name in reached), LayerMachine.steps
