"""The one place where numba meets the types: decorators that keep a function's signature."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., object])


def kernel(function: F) -> F:
    """Compile a sequential loop; arithmetic stays in the written order."""
    return cast(F, njit(cache=True)(function))


def window_kernel(function: F) -> F:
    """Compile a loop of window sums whose additions may be reordered to use vector registers.

    Only ``reassoc`` and ``nsz`` are granted: NaN and infinity keep their meaning, and every row
    adds its window in the same order, so a longer history gives the same value.
    """
    return cast(F, njit(cache=True, fastmath={"reassoc", "nsz"})(function))
