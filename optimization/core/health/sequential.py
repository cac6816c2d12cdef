"""A test that may look after every trade: has the expectancy fallen below the reference?

Each bet multiplies its capital by 1 + share * (reference - R), a fair or losing game while the
expectancy (of R, wins counted up to a cap) is at least the reference, whatever the distribution.
Capital of one unit is added before every trade, so that a loss of edge is found from whenever it
began (the Shiryaev-Roberts form); the average over several shares needs no guess of how bad it
gets. The value grows by at most one unit a trade in expectation, so the average number of trades
to a false alarm is at least the threshold, without any assumption of independence or normality.

Source: Shin, Ramdas and Rinaldo, E-detectors: a nonparametric framework for sequential change
detection (2023), Definition 2.2 and Proposition 2.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from optimization.core.config import HealthSettings

# Parts of the largest share that cannot lose more than everything.
SHARES: tuple[float, ...] = (0.05, 0.15, 0.35, 0.65, 0.95)
START: tuple[float, ...] = (0.0,) * len(SHARES)
# Far above any threshold: a detector nobody resets must not overflow.
_CEILING = 1e15


@dataclass(frozen=True, slots=True)
class Betting:
    """The bets of one reference and cap; ``update`` is pure."""

    reference_r: float
    win_cap_r: float
    loss_cap_r: float

    def update(self, capitals: tuple[float, ...], r_multiple: float) -> tuple[float, ...]:
        """Return the capitals after one more trade; the value is their mean."""
        counted = max(min(r_multiple, self.win_cap_r), -self.loss_cap_r)
        fall = self.reference_r - counted
        largest = 1.0 / (self.win_cap_r - self.reference_r)
        return tuple(
            min((capital + 1.0) * (1.0 + share * largest * fall), _CEILING)
            for capital, share in zip(capitals, SHARES, strict=True)
        )


def betting(settings: HealthSettings) -> Betting:
    return Betting(settings.reference_r, settings.win_cap_r, settings.loss_cap_r)


def value(capitals: tuple[float, ...]) -> float:
    """Return the detector's value; an alarm is a value of at least ``false_alarm_trades``."""
    return sum(capitals) / len(capitals)
