"""What an account remembers of its last days for the limits: repeated entries, and its week."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from engine.risk import DAY_MS
from engine.types.decisions import JsonValue
from engine.types.ledger import ZERO, EquityPoint
from engine.types.opinions import Side

LATELY_MS = 15 * 60_000
_APART = "|"


class EntryCounts:
    """Entries of the last 24 hours of event time by strategy, symbol and side (CTL-7)."""

    def __init__(self, entries_ms: Mapping[str, tuple[int, ...]] | None = None) -> None:
        """``entries_ms`` is what ``state`` returned, oldest first."""
        self._entries_ms = {key: list(times) for key, times in (entries_ms or {}).items()}

    def note(self, strategy: str, symbol: str, side: Side, ts_ms: int) -> None:
        """Count one entry; times never go back."""
        times = self._entries_ms.setdefault(_key(strategy, symbol, side), [])
        times[:] = [at for at in times if at > ts_ms - DAY_MS]
        times.append(ts_ms)

    def counts(self, strategy: str, symbol: str, side: Side, now_ms: int) -> tuple[int, int]:
        """Return (entries of the last 15 minutes, of the last 24 hours) up to ``now_ms``."""
        times = self._entries_ms.get(_key(strategy, symbol, side), ())
        return (
            sum(at > now_ms - LATELY_MS for at in times),
            sum(at > now_ms - DAY_MS for at in times),
        )

    def forget(self, strategy: str) -> None:
        """Start anew for one strategy: a person has let it trade again."""
        prefix = f"{strategy}{_APART}"
        self._entries_ms = {k: v for k, v in self._entries_ms.items() if not k.startswith(prefix)}

    @property
    def times(self) -> Mapping[str, tuple[int, ...]]:
        return {key: tuple(times) for key, times in sorted(self._entries_ms.items())}

    def state(self) -> dict[str, JsonValue]:
        return {key: [*times] for key, times in sorted(self._entries_ms.items())}

    @classmethod
    def restore(cls, state: Mapping[str, object]) -> EntryCounts:
        """Return what ``state`` wrote.

        Raises:
            ValueError: it is not of that shape.
        """
        entries: dict[str, tuple[int, ...]] = {}
        for key, times in state.items():
            if not isinstance(times, list) or not all(isinstance(at, int) for at in times):
                raise ValueError(f"entries of {key} must be a list of times, was {times!r}")
            entries[key] = tuple(times)
        return cls(entries)


class WeekPnl:
    """PnL since Monday 00:00 UTC, added up from the days of the equity curve.

    Days leave deposits out (see ``EquityCurve``), and so does their sum.
    """

    def __init__(self, days: Iterable[tuple[int, Decimal]] = ()) -> None:
        """``days`` are UTC day numbers with their PnL."""
        self._days = dict(days)

    def at(self, point: EquityPoint) -> Decimal:
        """Take in a point and return the PnL of its week so far."""
        self.note(point)
        return sum(self._days.values(), ZERO)

    def note(self, point: EquityPoint) -> None:
        """Take in a point."""
        day = point.ts_ms // DAY_MS
        if day not in self._days:
            monday = first_day_of_week(day)
            self._days = {known: pnl for known, pnl in self._days.items() if known >= monday}
        self._days[day] = point.day_pnl_quote

    @property
    def days(self) -> tuple[tuple[int, Decimal], ...]:
        """UTC day numbers with their PnL, in order."""
        return tuple(sorted(self._days.items()))

    def state(self) -> dict[str, JsonValue]:
        return {str(day): str(pnl) for day, pnl in sorted(self._days.items())}

    @classmethod
    def restore(cls, state: Mapping[str, object]) -> WeekPnl:
        """Return what ``state`` wrote.

        Raises:
            ValueError: it is not of that shape.
        """
        try:
            return cls((int(day), Decimal(str(pnl))) for day, pnl in state.items())
        except ArithmeticError as error:
            raise ValueError(f"days must be numbers by day, was {dict(state)!r}") from error


def first_day_of_week(day: int) -> int:
    """Return the UTC day number of the Monday at or before a day; day 0 was a Thursday."""
    return day - (day + 3) % 7


def _key(strategy: str, symbol: str, side: Side) -> str:
    return f"{strategy}{_APART}{symbol}{_APART}{side.value}"
