"""What a long run samples, and how fast it grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Memory and files settle while caches fill; slopes are taken after this part of the run.
SETTLING_FRACTION = 0.25


@dataclass(frozen=True)
class Sample:
    """One look at the running platform."""

    elapsed_s: float
    rss_mib: float
    open_files: int
    database_mib: float
    analyses: int
    decisions: int
    orders: int


def slope_per_hour(samples: Sequence[Sample], what: str) -> float | None:
    """Return the least-squares slope of one measure; None for fewer than three samples."""
    kept = [s for s in samples if s.elapsed_s >= samples[-1].elapsed_s * SETTLING_FRACTION]
    if len(kept) < 3:
        return None
    times = [s.elapsed_s / 3600 for s in kept]
    values = [float(getattr(s, what)) for s in kept]
    middle_t, middle_v = sum(times) / len(kept), sum(values) / len(kept)
    spread = sum((t - middle_t) ** 2 for t in times)
    if spread == 0:
        return None
    covariance = sum((t - middle_t) * (v - middle_v) for t, v in zip(times, values, strict=True))
    return covariance / spread
