"""A short fuzz of the layer through the real phase 7; the long one is a benchmark."""

from __future__ import annotations

import pytest

from tests.optimization.core.fuzz import fuzz


@pytest.mark.parametrize("seed", [1, 2])
def test_no_random_signal_breaks_a_cap_or_a_bound(seed: int) -> None:
    """OPT-18, OPT-70, OPT-23, OPT-90: and both ends of the multiplier are visited."""
    found = fuzz(1_500, seed)
    assert (found.breaches, found.incidents) == (0, 0)
    assert found.sized > 100 and found.steps == found.sized + found.refused
    assert (found.lowest, found.highest) == (0.1, 2.0)
    assert found.clipped > 0
