"""How far a source's lean was borne out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from engine.calibration import MEMORY_SETTLED, Calibration, restored_calibration


def recorded(slope: float, n: int, seed: int = 1) -> Calibration:
    """A source whose leans are borne out by ``slope``."""
    rng, found = np.random.default_rng(seed), Calibration()
    for _ in range(n):
        lean = rng.uniform(-0.2, 0.2)
        found.record(0.5 + lean, int(rng.random() < 0.5 + slope * lean))
    return found


def test_before_any_outcome_nothing_is_believed() -> None:
    """ORC-83: and one lucky outcome hardly changes that."""
    assert Calibration().slope() == 0.0
    lucky = Calibration()
    lucky.record(0.7, 1)
    assert 0.0 < lucky.slope() < 0.1


@pytest.mark.parametrize("truth", [0.0, 0.4, 1.0])
def test_the_slope_is_found(truth: float) -> None:
    """ORC-83: of leans that are borne out not at all, in part, and fully; shrunk a little."""
    found = np.mean([recorded(truth, 4_000, seed).slope() for seed in range(8)])
    assert truth - 0.15 < found < truth + 0.08


def test_a_source_that_is_wrong_is_silent_and_never_turned_round() -> None:
    assert recorded(-1.0, 2_000).slope() == 0.0


def test_a_source_that_was_right_long_ago_loses_its_voice() -> None:
    found = recorded(1.0, 4_000)
    before = found.slope()
    rng = np.random.default_rng(2)
    for _ in range(3 * int(MEMORY_SETTLED)):
        found.record(0.5 + rng.uniform(-0.2, 0.2), int(rng.random() < 0.5))
    assert found.slope() < 0.3 < before


def test_state_survives_json_to_the_last_bit() -> None:
    found = recorded(0.5, 300)
    assert restored_calibration(json.loads(json.dumps(found.state()))) == found


@pytest.mark.parametrize(
    "state",
    [
        [],
        {},
        {"agreed": 0.0},
        {"agreed": 0.0, "leaned": -1.0},
        {"agreed": 1e9, "leaned": 1.0},
        {"agreed": 0.0, "leaned": float("nan")},
        {"agreed": float("nan"), "leaned": 1.0},
        {"agreed": "0", "leaned": 1.0},
    ],
)
def test_broken_state_is_refused(state: object) -> None:
    with pytest.raises(ValueError, match="calibration must"):
        restored_calibration(state)  # type: ignore[arg-type]
