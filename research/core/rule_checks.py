"""Does a rule look ahead, and how much history must it have seen? Judged by its columns alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.ports import RuleSource
from engine.types.bars import BarColumns, ColumnStore
from engine.types.opinions import RuleColumns

NAMES: tuple[str, ...] = tuple(RuleColumns.__slots__)
# Two sums of the same numbers in another order differ by rounding, never by more.
ROUNDING = 1e-9
# A recursion has forgotten its start once what is left of it moves nothing anybody trades on.
FORGOTTEN = 1e-6
MULTIPLES = (1, 2, 4, 8, 16, 40)


@dataclass(frozen=True, slots=True)
class LookAhead:
    """A column whose value at ``row`` changed when the bars after ``cut`` were taken away."""

    column: str
    row: int
    cut: int
    with_future: float
    without: float


@dataclass(frozen=True, slots=True)
class Memory:
    """How far a column's newest value is from that of the whole history, by bars of history.

    ``stable_bars`` is the least history from which on it agrees at every sampled row; None: none
    of those tried was enough.
    """

    column: str
    stable_bars: int | None
    worst_by_bars: tuple[tuple[int, float], ...]


def columns_of(rule: RuleSource, bars: BarColumns) -> dict[str, npt.NDArray[np.float64]]:
    """Return the rule's columns as floats by name, (n_bars,) each.

    Raises:
        ValueError: a column has another length than the bars.
    """
    found = rule.columns(ColumnStore(bars))
    columns = {name: np.asarray(getattr(found, name), dtype=np.float64) for name in NAMES}
    for name, column in columns.items():
        if column.shape != (len(bars),):
            raise ValueError(f"{name} had shape {column.shape}, allowed: ({len(bars)},)")
    return columns


def look_ahead(rule: RuleSource, bars: BarColumns, cuts: Sequence[int]) -> list[LookAhead]:
    """Return the first row of each column that knew of bars after a cut; none is good.

    Each cut ends the history at that row: every row up to it must stay what it was.
    """
    whole = columns_of(rule, bars)
    found: dict[str, LookAhead] = {}
    for cut in cuts:
        part = columns_of(rule, bars.rows(0, cut + 1))
        for name in NAMES:
            before, after = whole[name][: cut + 1], part[name]
            differs = np.flatnonzero(_distance(before, after) > ROUNDING)
            if name not in found and differs.size:
                row = int(differs[0])
                found[name] = LookAhead(name, row, cut, float(before[row]), float(after[row]))
    return [found[name] for name in NAMES if name in found]


def memories(rule: RuleSource, bars: BarColumns, rows: Sequence[int]) -> list[Memory]:
    """Return for each column how much history its newest value needs.

    A rule is started ``warm_up_bars`` times 1, 2, 4 ... 40 before each of ``rows``; lengths that
    no row has room for are left out.
    """
    whole = columns_of(rule, bars)
    lengths = [rule.warm_up_bars * times for times in MULTIPLES]
    worst: dict[str, list[tuple[int, float]]] = {name: [] for name in NAMES}
    for length in lengths:
        ends = [row for row in rows if row + 1 >= length]
        if not ends:
            break
        parts = [columns_of(rule, bars.rows(row + 1 - length, row + 1)) for row in ends]
        for name in NAMES:
            there = np.array([whole[name][row] for row in ends])
            here = np.array([part[name][-1] for part in parts])
            worst[name].append((length, float(_distance(there, here).max())))
    return [Memory(name, _stable_from(worst[name]), tuple(worst[name])) for name in NAMES]


def _stable_from(worst: Sequence[tuple[int, float]]) -> int | None:
    stable: int | None = None
    for length, distance in reversed(worst):
        if distance > FORGOTTEN:
            break
        stable = length
    return stable


def _distance(
    left: npt.NDArray[np.float64], right: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return relative distances; a number against none is infinitely far, none against none 0."""
    known_left, known_right = np.isfinite(left), np.isfinite(right)
    scale = np.maximum(np.maximum(np.abs(left), np.abs(right)), 1.0)
    with np.errstate(invalid="ignore"):
        gap = np.abs(left - right) / scale
    same: npt.NDArray[np.float64] = np.where(known_left & known_right, gap, 0.0)
    same[known_left != known_right] = np.inf
    return same
