"""ADWIN: quiet on a stream that does not change, quick on one that does, within its bound."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from engine.drift import Adwin, BlockedDrift


def errors(seed: int, n: int, mean: float = 0.25) -> list[float]:
    """Brier scores of a source that leans a little: spread around their mean."""
    rng = np.random.default_rng(seed)
    lean = rng.uniform(0.0, 0.15, n)
    right = rng.random(n) < 0.5 + (0.25 - mean)
    return [float(x) for x in np.where(right, (0.5 - lean) ** 2, (0.5 + lean) ** 2)]


def alarms(values: list[float], delta: float = 0.002) -> int:
    adwin = Adwin(delta)
    return sum(adwin.update(value) is not None for value in values)


def test_a_stream_that_does_not_change_gives_no_alarm_beyond_its_bound() -> None:
    """ORC-16: at most delta a step; the bound is far from tight, so hardly any at all."""
    steps, streams = 1_000, 40
    found = sum(alarms(errors(seed, steps)) for seed in range(streams))
    assert found <= 0.002 * steps * streams * 0.05
    coins = [np.random.default_rng(seed).integers(0, 2, 500).tolist() for seed in range(20)]
    assert sum(alarms([float(v) for v in flips]) for flips in coins) == 0


def test_a_step_is_found_soon_and_told_with_its_means() -> None:
    """ORC-16: the mean rises by 0.2 after 400 values; found within 120, mostly within 100."""
    delays = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = np.concatenate((rng.normal(0.25, 0.08, 400), rng.normal(0.45, 0.08, 400)))
        adwin = Adwin()
        for at, value in enumerate(np.clip(values, 0.0, 1.0).tolist()):
            drift = adwin.update(value)
            if drift is not None:
                assert at >= 400, "an alarm before there was anything to find"
                assert drift.is_worse and drift.after - drift.before > drift.bound
                delays.append(at - 400)
                break
    assert len(delays) == 20
    assert np.median(delays) <= 100 and max(delays) <= 120


def test_an_improvement_is_a_drift_but_not_for_the_worse() -> None:
    adwin = Adwin()
    found = [adwin.update(v) for v in [0.6] * 100 + [0.1] * 60]
    cuts = [drift for drift in found if drift is not None]
    assert cuts and not any(drift.is_worse for drift in cuts)


def test_after_a_cut_the_window_holds_what_came_since() -> None:
    adwin = Adwin()
    for value in [0.1] * 300 + [0.8] * 60:
        adwin.update(value)
    assert adwin.width <= 80


def test_memory_grows_with_the_logarithm_of_the_window() -> None:
    """ORC-20"""
    adwin = Adwin()
    for value in errors(3, 5_000):
        adwin.update(value)
    assert adwin.width == 5_000
    assert len(adwin.state()) <= 6 * 13


def test_a_restored_window_goes_on_as_the_stored_one() -> None:
    """I-26"""
    first, again = BlockedDrift(4), BlockedDrift(4)
    stream = errors(5, 1_003) + [0.9] * 400
    for value in stream[:1_003]:
        first.update(value)
    again.restore(json.loads(json.dumps(first.state())))
    rest = stream[1_003:]
    ours, theirs = [first.update(v) for v in rest], [again.update(v) for v in rest]
    assert ours == theirs
    assert any(ours)


def test_blocks_keep_shared_horizons_from_looking_like_drift() -> None:
    """ORC-16: each value told four times over; unblocked that is four times the evidence."""
    single = blocked = 0
    for seed in range(30):
        plain, wrapped = Adwin(0.05), BlockedDrift(8, 0.05)
        for value in np.random.default_rng(seed).integers(0, 2, 150).repeat(8).tolist():
            single += plain.update(float(value)) is not None
            blocked += wrapped.update(float(value)) is not None
    assert blocked == 0 < single


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_value_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        Adwin().update(value)


@pytest.mark.parametrize("state", [None, [[0, 0.1, 0.0]], [[1, 2.0, 0.0]], [[1, 0.5, -1.0]], ["x"]])
def test_a_state_that_is_none_of_ours_is_refused(state: Any) -> None:
    adwin = Adwin()
    adwin.update(0.5)
    with pytest.raises(ValueError, match="drift"):
        adwin.restore(state)
    assert adwin.width == 1
