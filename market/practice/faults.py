"""Faults on request: what a venue can do to a client, armed through the admin port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np

JsonScalar = str | int | float | bool | None

# What happens to a request before or after it is served.
TRANSPORT_VERBS = frozenset(
    {
        "accept_then_timeout",  # served, then silence for hold_s and a cut connection
        "drop",  # not served; silence for hold_s, then a cut connection
        "delay",  # served after ms
        "429",  # not served; Retry-After: retry_after_s
        "418",  # not served; banned for retry_after_s
        "5xx",  # status (503); served before if accept is true
        "html",  # a proxy's error page with status (502); served before if accept is true
        "empty",  # served, an empty 200
        "truncate",  # served, half of the JSON
        "reject",  # not served; code and msg (also spelled reject:-2010)
    }
)
# What the venue gets wrong while it serves.
VENUE_VERBS = frozenset(
    {
        "not_found_lag",  # orders younger than lag_s (wall time) are not found
        "partial",  # op order.fill: a matched order fills only fraction
        "overfill",  # op order.fill: a matched order fills fraction (> 1) of what it asked
        "fill_on_cancel",  # fraction of the order fills first; all of it = the cancel is refused
        "phantom_fill",  # op myTrades: a fill is listed that is not in the books
        "stale_balance",  # the account of when the fault was armed
        "clock_offset",  # the venue's clock is ms ahead
        "auth_off",  # every key is refused
        "unique_ids_forever",  # a client id is refused even after its order closed
    }
)
# What happens to candles: the newest closed rows of a klines answer.
CANDLE_VERBS = frozenset(
    {
        "stale_bars",  # the last n closed rows are held back
        "drop_bars",  # n rows before the newest are missing
        "dup_bars",  # the newest row comes twice
        "bad_bar",  # field (open, high, low, close, volume) of the newest closed row is value
    }
)
# What happens to pushed messages; op is ws.user or ws.market.
STREAM_VERBS = frozenset({"dup_event", "reorder", "mute_ws", "cut_ws"})
VERBS = TRANSPORT_VERBS | VENUE_VERBS | CANDLE_VERBS | STREAM_VERBS
_FIELDS = ("op", "verb", "nth", "prob", "times", "args")


@dataclass(slots=True)
class Fault:
    """One armed fault. It fires on the ``nth`` matching occasion only, else on each with
    probability ``prob`` (1), at most ``times`` times (None = until deleted)."""

    fault_id: int
    op: str
    verb: str
    nth: int | None
    prob: float
    times: int | None
    args: Mapping[str, JsonScalar]
    seen: int = 0
    fired: int = 0
    #: What the venue keeps with the fault, such as the balances it froze.
    memory: dict[str, object] = field(default_factory=dict)

    def number(self, name: str, default: float) -> float:
        """Return a numeric argument."""
        value = self.args.get(name, default)
        return float(value) if isinstance(value, int | float | str) else default

    def text(self, name: str, default: str) -> str:
        value = self.args.get(name, default)
        return default if value is None else str(value)

    @property
    def is_spent(self) -> bool:
        if self.nth is not None:
            return self.seen >= self.nth
        return self.times is not None and self.fired >= self.times


class Faults:
    """All armed faults; the dice are seeded, so a scenario repeats."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._armed: list[Fault] = []
        self._next_id = 1

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._armed)

    def arm(self, spec: Mapping[str, object]) -> Fault:
        """Arm ``{op, verb, nth | prob | times, args}``.

        Raises:
            ValueError: a key, verb or number is not allowed.
        """
        unknown = sorted(set(spec) - set(_FIELDS))
        if unknown:
            raise ValueError(f"key was {unknown[0]!r}, allowed: {', '.join(_FIELDS)}")
        verb, _, code = str(spec.get("verb", "")).partition(":")
        if verb not in VERBS:
            raise ValueError(f"verb was {verb!r}, allowed: {', '.join(sorted(VERBS))}")
        args = dict(_args(spec.get("args", {})))
        if code:
            args["code"] = code
        fault = Fault(
            fault_id=self._next_id,
            op=str(spec.get("op", "*")),
            verb=verb,
            nth=_count(spec, "nth"),
            prob=_probability(spec.get("prob", 1.0)),
            times=_count(spec, "times"),
            args=args,
        )
        self._next_id += 1
        self._armed.append(fault)
        return fault

    def clear(self, fault_id: int | None = None) -> int:
        """Disarm one fault or all; return how many there were."""
        before = len(self._armed)
        self._armed = [f for f in self._armed if fault_id is not None and f.fault_id != fault_id]
        return before - len(self._armed)

    def fire(self, op: str, verbs: frozenset[str] | set[str]) -> Fault | None:
        """Return the first armed fault of these verbs that strikes this occasion, else None."""
        for fault in self._armed:
            if fault.verb in verbs and fnmatchcase(op, fault.op) and not fault.is_spent:
                fault.seen += 1
                if self._strikes(fault):
                    fault.fired += 1
                    return fault
        return None

    def _strikes(self, fault: Fault) -> bool:
        if fault.nth is not None:
            return fault.seen == fault.nth
        return fault.prob >= 1.0 or bool(self._rng.random() < fault.prob)


def _count(spec: Mapping[str, object], name: str) -> int | None:
    value = spec.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} was {value!r}, allowed: a whole number from 1")
    return value


def _probability(value: object) -> float:
    if not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise ValueError(f"prob was {value!r}, allowed: 0 to 1")
    return float(value)


def _args(value: object) -> Mapping[str, JsonScalar]:
    if not isinstance(value, dict):
        raise ValueError(f"args was {value!r}, allowed: an object")
    return value
