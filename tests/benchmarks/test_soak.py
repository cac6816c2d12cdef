"""The long run's arithmetic and its use; the run itself is made by hand."""

from __future__ import annotations

import pytest

from benchmarks import soak
from benchmarks.slopes import Sample, slope_per_hour


def sample(elapsed_s: float, rss_mib: float) -> Sample:
    return Sample(elapsed_s, rss_mib, 100, 1.0, 0, 0, 0)


def test_a_steady_growth_is_its_slope_whatever_happened_while_settling() -> None:
    """T8: one MiB every six minutes is ten an hour."""
    settling = [sample(0.0, 900.0), sample(360.0, 50.0)]
    growing = [sample(3600.0 + 360.0 * n, 200.0 + n) for n in range(10)]
    assert slope_per_hour([*settling, *growing], "rss_mib") == pytest.approx(10.0)
    assert slope_per_hour([*settling, *growing], "open_files") == pytest.approx(0.0)


def test_too_few_samples_give_no_slope_instead_of_a_guess() -> None:
    assert slope_per_hour([sample(10.0, 1.0), sample(20.0, 2.0)], "rss_mib") is None


@pytest.mark.parametrize("arguments", [[], ["--hours", "1", "--days", "1"]])
def test_hours_or_days_is_a_choice(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert soak.main(arguments) == 2
    assert "HOURS= (wall) or DAYS= (virtual)" in capsys.readouterr().err
