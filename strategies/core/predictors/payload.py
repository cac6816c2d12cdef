"""Reading a model's payload: every number is checked before anything walks over it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.types.bars import FloatColumn, IntColumn
from engine.types.decisions import JsonValue
from strategies.core.errors import StrategyError

# More numbers than this in one list is no model of ours; reading it would stall a worker.
MAX_LENGTH = 2_000_000


def part(payload: Mapping[str, JsonValue], name: str) -> Mapping[str, JsonValue]:
    """Return a mapping inside the payload.

    Raises:
        StrategyError: it is not there or not a mapping.
    """
    value = payload.get(name)
    if not isinstance(value, dict):
        raise StrategyError(f"model {name} must be a mapping, was {_short(value)}")
    return value


def text(payload: Mapping[str, JsonValue], name: str, allowed: tuple[str, ...]) -> str:
    """Return one of the allowed words.

    Raises:
        StrategyError: it is none of them.
    """
    value = payload.get(name)
    if not isinstance(value, str) or value not in allowed:
        raise StrategyError(
            f"model {name} must be one of {', '.join(allowed)}, was {_short(value)}"
        )
    return value


def names(payload: Mapping[str, JsonValue], name: str) -> tuple[str, ...]:
    """Return a list of distinct, non-empty names.

    Raises:
        StrategyError: it is not such a list.
    """
    found = tuple(v for v in _items(payload, name) if isinstance(v, str) and v)
    if len(found) != len(_items(payload, name)) or len(set(found)) != len(found) or not found:
        raise StrategyError(f"model {name} must be distinct names, was {len(found)} of them")
    return found


def number(payload: Mapping[str, JsonValue], name: str) -> float:
    """Return one finite number.

    Raises:
        StrategyError: it is not one.
    """
    value = payload.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise StrategyError(f"model {name} must be a finite number, was {_short(value)}")
    return float(value)


def floats(payload: Mapping[str, JsonValue], name: str, length: int | None = None) -> FloatColumn:
    """Return finite numbers, of the given length where one is given.

    Raises:
        StrategyError: they are not.
    """
    values = _items(payload, name)
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise StrategyError(f"model {name} must hold numbers only")
    try:
        column = np.array(values, dtype=np.float64)
    except OverflowError as error:
        raise StrategyError(f"model {name} must hold finite numbers") from error
    if not np.isfinite(column).all():
        raise StrategyError(f"model {name} must hold finite numbers")
    if length is not None and column.shape != (length,):
        raise StrategyError(f"model {name} must hold {length} numbers, was {column.shape[0]}")
    return column


def integers(
    payload: Mapping[str, JsonValue],
    name: str,
    *,
    lowest: int,
    highest: int,
    length: int | None = None,
) -> IntColumn:
    """Return whole numbers within ``lowest``..``highest``.

    Raises:
        StrategyError: they are not.
    """
    values = _items(payload, name)
    if not all(type(v) is int and lowest <= v <= highest for v in values):
        raise StrategyError(f"model {name} must hold whole numbers in {lowest}..{highest}")
    if length is not None and len(values) != length:
        raise StrategyError(f"model {name} must hold {length} numbers, was {len(values)}")
    return np.array(values, dtype=np.int64)


def _items(payload: Mapping[str, JsonValue], name: str) -> list[JsonValue]:
    value = payload.get(name)
    if not isinstance(value, list):
        raise StrategyError(f"model {name} must be a list, was {_short(value)}")
    if len(value) > MAX_LENGTH:
        raise StrategyError(f"model {name} must be at most {MAX_LENGTH} long, was {len(value)}")
    return value


def _short(value: object) -> str:
    return repr(value)[:60]
