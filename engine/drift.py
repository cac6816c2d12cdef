"""Has a stream of errors changed? ADWIN: a window that shrinks when its halves disagree.

Source: Bifet, Gavalda (2007), "Learning from time-changing data with adaptive windowing": the
window is cut where two parts differ by more than eps_cut, the bound of their theorem 3.1 with the
variance term of section 4.1 and delta' = delta / n.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, log, sqrt

from engine.types.decisions import JsonValue

# Buckets of one size before the two oldest become one of twice the size.
_PER_SIZE = 5
_MIN_PART = 8


@dataclass(frozen=True, slots=True)
class Drift:
    """A cut: the mean before and after it, and the bound their difference exceeded."""

    before: float
    after: float
    bound: float

    @property
    def is_worse(self) -> bool:
        """True where the stream rose: of errors, for the worse."""
        return self.after > self.before


@dataclass(frozen=True, slots=True)
class _Bucket:
    size: int
    mean: float
    # sum of squared deviations from the bucket's own mean
    spread: float


class Adwin:
    """Watches values in [0, 1]; memory grows with the logarithm of the window.

    On a stream that does not change, the chance of a cut at one step is at most ``delta`` where
    values are independent. Neighbouring outcomes share part of their horizon, so callers feed
    means of blocks.
    """

    __slots__ = ("_buckets", "_delta")

    def __init__(self, delta: float = 0.002) -> None:
        if not 0.0 < delta < 1.0:
            raise ValueError(f"delta must be in (0, 1), was {delta}")
        self._delta = delta
        # oldest first, sizes never rising
        self._buckets: list[_Bucket] = []

    @property
    def width(self) -> int:
        """How many values the window holds."""
        return sum(bucket.size for bucket in self._buckets)

    def update(self, value: float) -> Drift | None:
        """Take one value; return the cut it led to, None where the window still is of one piece.

        Raises:
            ValueError: the value is not in [0, 1].
        """
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"value must be in [0, 1], was {value}")
        self._buckets.append(_Bucket(1, value, 0.0))
        self._compress()
        found = None
        while (cut := self._cut()) is not None:
            at, drift = cut
            # the widest difference is what changed; further cuts only sharpen the edge
            found = found or drift
            del self._buckets[:at]
        return found

    def _compress(self) -> None:
        size, end = 1, len(self._buckets)
        while True:
            start = end
            while start > 0 and self._buckets[start - 1].size == size:
                start -= 1
            if end - start <= _PER_SIZE:
                return
            self._buckets[start : start + 2] = [_merged(*self._buckets[start : start + 2])]
            size, end = 2 * size, start + 1

    def _cut(self) -> tuple[int, Drift] | None:
        if len(self._buckets) < 2:
            return None
        whole = self._buckets[0]
        parts = [whole]
        for bucket in self._buckets[1:]:
            whole = _merged(whole, bucket)
            parts.append(whole)
        if whole.size < 2 * _MIN_PART:
            return None
        variance = whole.spread / whole.size
        surprise = log(2.0 * whole.size / self._delta)
        for at, old in enumerate(parts[:-1], start=1):
            new_size = whole.size - old.size
            if old.size < _MIN_PART or new_size < _MIN_PART:
                continue
            new_mean = (whole.mean * whole.size - old.mean * old.size) / new_size
            inverse = 1.0 / old.size + 1.0 / new_size
            bound = sqrt(2.0 * inverse * variance * surprise) + 2.0 / 3.0 * inverse * surprise
            if abs(new_mean - old.mean) > bound:
                return at, Drift(old.mean, new_mean, bound)
        return None

    def state(self) -> list[JsonValue]:
        """Return the window as JSON values."""
        return [[bucket.size, bucket.mean, bucket.spread] for bucket in self._buckets]

    def restore(self, state: JsonValue) -> None:
        """Replace the window by a stored one.

        Raises:
            ValueError: the state is not one that ``state`` wrote; nothing is changed then.
        """
        if not isinstance(state, list):
            raise ValueError(f"drift window must be a list, was {state!r}")
        self._buckets = [_bucket(row) for row in state]


def _merged(first: _Bucket, second: _Bucket) -> _Bucket:
    size = first.size + second.size
    step = second.mean - first.mean
    return _Bucket(
        size,
        first.mean + step * second.size / size,
        first.spread + second.spread + step * step * first.size * second.size / size,
    )


def _bucket(row: JsonValue) -> _Bucket:
    if isinstance(row, list) and len(row) == 3:
        size, mean, spread = row
        if (
            type(size) is int
            and size > 0
            and isinstance(mean, float | int)
            and 0.0 <= mean <= 1.0
            and isinstance(spread, float | int)
            and isfinite(spread)
            and spread >= 0.0
        ):
            return _Bucket(size, float(mean), float(spread))
    raise ValueError(f"drift bucket must be [size, mean, spread], was {row!r}")


class BlockedDrift:
    """ADWIN over the means of ``block`` values in a row."""

    __slots__ = ("_adwin", "_block", "_filled", "_sum")

    def __init__(self, block: int, delta: float = 0.002) -> None:
        if block < 1:
            raise ValueError(f"block must be at least 1, was {block}")
        self._block = block
        self._adwin = Adwin(delta)
        self._sum, self._filled = 0.0, 0

    def update(self, value: float) -> Drift | None:
        """Take one value in [0, 1]; answers only where it ends a block."""
        self._sum += value
        self._filled += 1
        if self._filled < self._block:
            return None
        mean = self._sum / self._filled
        self._sum, self._filled = 0.0, 0
        return self._adwin.update(min(1.0, max(0.0, mean)))

    def state(self) -> dict[str, JsonValue]:
        return {"sum": self._sum, "filled": self._filled, "window": self._adwin.state()}

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Replace everything by a stored state.

        Raises:
            ValueError: the state is not one that ``state`` wrote; nothing is changed then.
        """
        total, filled = state.get("sum"), state.get("filled")
        if not isinstance(total, float | int) or type(filled) is not int or filled < 0:
            raise ValueError(f"drift state must have sum and filled, was {state!r}")
        self._adwin.restore(state.get("window"))
        self._sum, self._filled = float(total), filled
