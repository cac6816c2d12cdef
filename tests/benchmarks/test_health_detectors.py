"""The detectors of the comparison are what they claim to be."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.health_detectors import (
    Adwin,
    Cusum,
    PageHinkley,
    average_run_length,
    normal,
    study,
    trades,
)


@pytest.mark.parametrize(("h", "published"), [(4.0, 8.38), (5.0, 10.4)])
def test_cusum_run_lengths_are_the_published_ones(h: float, published: float) -> None:
    """OPT-81: NIST/SEMATECH handbook 6.3.2.3.1, k = 0.5, a shift of one standard deviation."""
    assert average_run_length(lambda: Cusum(0.5, h), 1.0, 600) == pytest.approx(published, rel=0.06)


def test_adwin_and_page_hinkley_find_a_fall_and_ignore_a_rise() -> None:
    """OPT-81: delays near those measured with river (44 and 37) at one standard deviation."""
    for make, known in ((lambda: Adwin(0.002), 44), (lambda: PageHinkley(50.0), 37)):
        found = study(make, "", normal, (1.0,), 12)
        assert found.detected_fraction[1.0] == 1.0
        assert found.median_delay[1.0] == pytest.approx(known, abs=8)
        rising = make()
        rng = np.random.default_rng(1)
        flat = normal(rng, 0.0, 300).tolist()
        assert not any(rising.update(x) for x in flat + normal(rng, -2.0, 200).tolist())


def test_the_simulated_trades_earn_what_they_claim() -> None:
    """OPT-81: 0.10 R a trade before the change."""
    rng = np.random.default_rng(2)
    assert np.mean(trades(rng, 0.0, 200_000)) == pytest.approx(0.10, abs=0.01)
    assert np.mean(trades(rng, 0.4, 200_000)) == pytest.approx(-0.30, abs=0.01)
