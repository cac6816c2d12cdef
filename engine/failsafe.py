"""Falling back, written once: the only broad ``except`` of the tree lives here.

What may fail without stopping trading is called through this file; journal, limits, account
arithmetic and order submission are not.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from typing import TypeVar

from engine.policy import BasePolicy
from engine.ports import Assessment, Executor, OptimizationPolicy
from engine.types.ledger import Trade
from engine.types.opinions import MarketView, Missing, Proposal, Regime

A = TypeVar("A")
T = TypeVar("T")
Report = Callable[[str, BaseException], None]

# Five times the largest multiplier that is ever applied: beyond it a number is a fault, not an
# opinion, and a clamp would make the largest size of it.
MAX_CREDIBLE_MULTIPLIER = 10.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that raised: where, and what."""

    where: str
    error: Exception

    @property
    def text(self) -> str:
        return f"{type(self.error).__name__}: {self.error}"


class CoolingOff(RuntimeError):
    """The place failed too often in a row and is left alone for a while."""


def attempt(call: Callable[[], T], where: str) -> T | Failure:
    """Return the call's value, or the Failure it ended in."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - the one place that survives anything
        return Failure(where, error)


def fall_back(call: Callable[[], T], otherwise: T, *, where: str, report: Report) -> T:
    """Return the call's value, or ``otherwise`` where it raised; the failure is reported."""
    result = attempt(call, where)
    if isinstance(result, Failure):
        report(where, result.error)
        return otherwise
    return result


def _exhaust(call: Callable[[A], object], waiting: deque[A]) -> None:
    """Call with each item and let go of it once that is done."""
    while waiting:
        call(waiting[0])
        waiting.popleft()


class FailSafe:
    """``fall_back`` with a memory: a place that keeps failing is not called for a while.

    After ``max_failures`` in a row a place answers CoolingOff for ``cool_off_s`` of the passed
    ``monotonic`` clock, then gets one try: success closes the matter, failure starts the next
    cool-off. Every real failure is reported; skipped calls are only counted.
    """

    def __init__(
        self,
        report: Report,
        monotonic: Callable[[], float],
        *,
        max_failures: int = 5,
        cool_off_s: float = 60.0,
    ) -> None:
        if max_failures < 1 or not cool_off_s >= 0.0:
            raise ValueError(
                f"max_failures was {max_failures}, allowed: 1 or more; "
                f"cool_off_s was {cool_off_s}, allowed: 0 or more"
            )
        self._report = report
        self._monotonic = monotonic
        self._max_failures = max_failures
        self._cool_off_s = cool_off_s
        self._in_a_row: dict[str, int] = {}
        self._closed_until_s: dict[str, float] = {}
        self._total: dict[str, int] = {}

    @property
    def fallbacks(self) -> Mapping[str, int]:
        """Fallbacks so far by place, skipped calls included (ORC-19)."""
        return dict(self._total)

    @property
    def degraded(self) -> tuple[str, ...]:
        """Places whose last call failed, in order: what a banner names (D-03)."""
        return tuple(sorted(self._in_a_row))

    def attempt(self, call: Callable[[], T], *, where: str, always: bool = False) -> T | Failure:
        """Return the call's value or its Failure; in a cool-off it is made only if ``always``."""
        if self._closed_until_s and not always:
            skipped = self.skipped(where)
            if skipped is not None:
                return skipped
        result = attempt(call, where)
        if isinstance(result, Failure):
            self.failed(result)
        elif self._in_a_row:
            self.succeeded(where)
        return result

    def fall_back(self, call: Callable[[], T], otherwise: T, *, where: str) -> T:
        """Return the call's value, or ``otherwise`` where it failed or was skipped."""
        result = self.attempt(call, where=where)
        return otherwise if isinstance(result, Failure) else result

    def each(
        self, call: Callable[[A], object], items: Iterable[A], *, where: Callable[[A], str]
    ) -> list[Failure]:
        """Make the call with every item, in a cool-off too; return the Failures.

        An item whose call fails keeps no other from its turn.
        """
        waiting, failures = deque(items), []
        if not self._in_a_row:
            first = attempt(partial(_exhaust, call, waiting), "")
            if isinstance(first, Failure):
                failures.append(Failure(where(waiting.popleft()), first.error))
                self.failed(failures[0])
        for item in waiting:
            result = self.attempt(partial(call, item), where=where(item), always=True)
            if isinstance(result, Failure):
                failures.append(result)
        return failures

    def skipped(self, where: str) -> Failure | None:
        """Return the Failure to use instead of calling, None where calling is allowed."""
        until_s = self._closed_until_s.get(where)
        if until_s is None or self._monotonic() >= until_s:
            return None
        self._total[where] = self._total.get(where, 0) + 1
        failures = self._in_a_row.get(where, 0)
        text = f"skipped after {failures} failures in a row, allowed was {self._max_failures}"
        return Failure(where, CoolingOff(text))

    def failed(self, failure: Failure) -> None:
        """Count and report one failure."""
        where = failure.where
        failures = self._in_a_row.get(where, 0) + 1
        self._in_a_row[where] = failures
        self._total[where] = self._total.get(where, 0) + 1
        if failures >= self._max_failures:
            self._closed_until_s[where] = self._monotonic() + self._cool_off_s
        self._report(where, failure.error)

    def succeeded(self, where: str) -> None:
        """Forget earlier failures of a place."""
        self._in_a_row.pop(where, None)
        self._closed_until_s.pop(where, None)


class FailSafePolicy:
    """An ``OptimizationPolicy`` that answers as the base policy where the real one fails (D-03).

    An answer that is not finite, out of its range or not to be stored counts as a failure.
    Strategy status is not asked here: it is enforced by the gate, so a failing layer re-admits
    nobody. ``executor`` makes a late answer a failure too; it must count on the same
    ``fail_safe``. ``refresh`` stays on the caller's thread, whose connection it reads with.
    """

    def __init__(
        self,
        policy: OptimizationPolicy,
        fail_safe: FailSafe,
        base: BasePolicy | None = None,
        executor: Executor | None = None,
    ) -> None:
        self._policy = policy
        self._fail_safe = fail_safe
        self._base = BasePolicy() if base is None else base
        self._executor = executor

    def weights(self, regime: Regime) -> Mapping[str, float]:
        return self._asked(
            lambda: _checked_weights(self._policy.weights(regime)),
            self._base.weights(regime),
            where="policy.weights",
        )

    def assess(
        self, proposal: Proposal, market: MarketView | Missing, confluence: int
    ) -> Assessment:
        return self._asked(
            lambda: _checked_assessment(self._policy.assess(proposal, market, confluence)),
            self._base.assess(proposal, market, confluence),
            where="policy.assess",
        )

    def size_multiplier(
        self, proposal: Proposal, assessment: Assessment, market: MarketView | Missing
    ) -> float:
        return self._asked(
            lambda: _checked_multiplier(self._policy.size_multiplier(proposal, assessment, market)),
            self._base.size_multiplier(proposal, assessment, market),
            where="policy.size_multiplier",
        )

    def record_outcome(self, trade: Trade) -> None:
        self._asked(lambda: self._policy.record_outcome(trade), None, where="policy.record_outcome")

    def refresh(self, now_ms: int) -> None:
        self._fail_safe.fall_back(
            lambda: self._policy.refresh(now_ms), None, where="policy.refresh"
        )

    def _asked(self, call: Callable[[], T], otherwise: T, *, where: str) -> T:
        if self._executor is None:
            return self._fail_safe.fall_back(call, otherwise, where=where)
        answer = self._executor.run({where: call})[where]
        return otherwise if isinstance(answer, Missing) else answer


def _checked_weights(weights: Mapping[str, float]) -> Mapping[str, float]:
    for strategy, weight in weights.items():
        if not (isfinite(weight) and weight > 0.0):
            raise ValueError(f"weight of {strategy} must be finite and positive, was {weight}")
    return weights


def _checked_assessment(assessment: Assessment) -> Assessment:
    quality = assessment.quality
    if quality is not None and not 0.0 <= quality <= 1.0:
        raise ValueError(f"quality must be in [0, 1], was {quality}")
    if not isinstance(assessment.accepted, bool):
        raise TypeError(f"accepted must be true or false, was {assessment.accepted!r}")
    said = (assessment.reason_code, assessment.reason, assessment.signal_id)
    if not all(isinstance(text, str) for text in said):
        raise TypeError(f"reason code, reason and signal id must be text, were {said!r}")
    # It is stored with the decision, whose transaction a value without JSON would roll back.
    detail = json.loads(json.dumps(dict(assessment.detail), allow_nan=False))
    return replace(assessment, quality=None if quality is None else float(quality), detail=detail)


def _checked_multiplier(multiplier: float) -> float:
    # Before any clamp: it would turn a fault into a size that somebody seems to have chosen.
    if not 0.0 <= multiplier <= MAX_CREDIBLE_MULTIPLIER:
        raise ValueError(
            f"size multiplier must be in [0, {MAX_CREDIBLE_MULTIPLIER:g}], was {multiplier}"
        )
    return float(multiplier)
