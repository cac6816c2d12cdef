"""What each phase leaves behind (ORC-06): full records when live, counts in replay.

Two classes with one face. A phase hands over functions that build its output; the counting
recorder never calls them, so replay pays neither for dictionaries nor for digests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Protocol, TypeVar

from engine.types.decisions import PHASES, JsonValue, PhaseRecord, PhaseStatus, Reason

T = TypeVar("T")
Output = Callable[[], dict[str, JsonValue]]
# made once: twenty times a bar a new encoder costs what it encodes
_MINUS_ZERO = re.compile(r"-0\.0(?=[,\]}]|$)")
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def digest(value: JsonValue) -> str:
    """Return 16 hex characters of a value's canonical JSON; NaN and infinity are allowed.

    Minus zero is zero: not every database keeps its sign.
    """
    text = _canonical(value)
    if "-0.0" in text:
        text = _MINUS_ZERO.sub("0.0", text)
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _digest_of_digests(digests: list[str]) -> str:
    # what ``digest`` returns for a list of them, without asking what hex characters need quoted
    text = '["' + '","'.join(digests) + '"]'
    return blake2b(text.encode(), digest_size=8).hexdigest()


class Chain(Protocol):
    """The records of one walk through the phases, in order."""

    def timed(self, number: int, call: Callable[[], T]) -> Callable[[], T]:
        """Return the call, measured as the duration of phase ``number``: for calls run apart."""

    def mark(self) -> None:
        """Begin to measure the next phase here; a phase that follows begins where one ended."""

    def add(
        self, number: int, status: PhaseStatus, output: Output, reasons: tuple[Reason, ...] = ()
    ) -> None: ...

    def detail(self, build: Callable[[], tuple[T, ...]]) -> tuple[T, ...]:
        """Return ``build()`` where details are kept, else nothing."""

    def records(self) -> tuple[PhaseRecord, ...]: ...


class Recorder(Protocol):
    def begin(self, given: Callable[[], JsonValue]) -> Chain:
        """Start a chain whose first input is ``given()``."""

    @property
    def counts(self) -> Mapping[tuple[int, str], int]:
        """How often each phase ended in each status, by (number, status)."""


class _Counts:
    def __init__(self) -> None:
        # by identity: hashing an enum member runs Python code, ten times a bar
        self._counts = {id(status): [0] * (len(PHASES) + 1) for status in PhaseStatus}

    @property
    def counts(self) -> dict[tuple[int, str], int]:
        return {
            (number, status.value): count
            for status in PhaseStatus
            for number, count in enumerate(self._counts[id(status)])
            if count
        }


class FullRecorder(_Counts):
    """Keeps every record with durations, digests and output: live, paper, practice."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic = monotonic

    def begin(self, given: Callable[[], JsonValue]) -> FullChain:
        return FullChain(self._counts, self._monotonic, digest(given()))


class FullChain:
    """One chain of full records.

    Phases 1-3 run side by side on the event; every later phase also takes what came before, so
    its input digest covers the output digests of all earlier phases of the chain.
    """

    def __init__(
        self,
        counts: dict[int, list[int]],
        monotonic: Callable[[], float],
        given_digest: str,
    ) -> None:
        self._counts = counts
        self._monotonic = monotonic
        self._digests = [given_digest]
        self._seconds: dict[int, float] = {}
        self._records: list[PhaseRecord] = []
        self._mark_s = monotonic()

    def timed(self, number: int, call: Callable[[], T]) -> Callable[[], T]:
        def measured() -> T:
            started_s = self._monotonic()
            try:
                return call()
            finally:
                self._seconds[number] = self._monotonic() - started_s

        return measured

    def mark(self) -> None:
        self._mark_s = self._monotonic()

    def add(
        self, number: int, status: PhaseStatus, output: Output, reasons: tuple[Reason, ...] = ()
    ) -> None:
        took_s = self._seconds.get(number)
        if took_s is None:
            took_s = self._monotonic() - self._mark_s
        self._counts[id(status)][number] += 1
        given = self._digests[:1] if number <= 3 else self._digests
        made = output()
        output_digest = digest(made)
        self._records.append(
            PhaseRecord(
                number=number,
                name=PHASES[number - 1],
                status=status,
                duration_us=took_s * 1e6,
                input_digest=_digest_of_digests(given),
                output_digest=output_digest,
                output=made,
                reasons=reasons,
            )
        )
        self._digests.append(output_digest)
        # after the digests: recording is not part of any phase
        self._mark_s = self._monotonic()

    def detail(self, build: Callable[[], tuple[T, ...]]) -> tuple[T, ...]:
        return build()

    def records(self) -> tuple[PhaseRecord, ...]:
        return tuple(self._records)


class CountingRecorder(_Counts):
    """Counts statuses and keeps a record of nothing but errors: replay."""

    def begin(self, given: Callable[[], JsonValue]) -> CountingChain:
        return CountingChain(self._counts)


class CountingChain:
    __slots__ = ("_counts", "_errors")

    def __init__(self, counts: dict[int, list[int]]) -> None:
        self._counts = counts
        self._errors: tuple[PhaseRecord, ...] = ()

    def timed(self, number: int, call: Callable[[], T]) -> Callable[[], T]:
        return call

    def mark(self) -> None:
        return None

    def add(
        self, number: int, status: PhaseStatus, output: Output, reasons: tuple[Reason, ...] = ()
    ) -> None:
        self._counts[id(status)][number] += 1
        if status is PhaseStatus.ERROR:
            # kept because the decisions of this bar depend on it
            record = PhaseRecord(number, PHASES[number - 1], status, 0.0, "", "", {}, reasons)
            self._errors = (*self._errors, record)

    def detail(self, build: Callable[[], tuple[T, ...]]) -> tuple[T, ...]:
        return ()

    def records(self) -> tuple[PhaseRecord, ...]:
        return self._errors
