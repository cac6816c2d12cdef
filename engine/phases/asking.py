"""Asking the learned sources of one bar, within a budget of time (ORC-10, ORC-74)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engine.failsafe import FailSafe, Failure, attempt
from engine.phases.config import PipelineConfig
from engine.ports import LearnedSource, SourceInput
from engine.seats import Seated, SourcePanel
from engine.types.bars import FloatColumn
from engine.types.decisions import JsonValue, PhaseStatus, Reason
from engine.types.opinions import FeatureView, Missing, Opinion

# How much one new measurement moves the remembered latency of a source: it is slow once it has
# been slow for a while, and quick again soon, for who is slow is measured seldom.
_LATENCY_STEP, _RECOVERY_STEP = 0.1, 0.5
_WORST_OF_BUDGET = 8.0
Inputs = Mapping[SourceInput, FeatureView | Missing]
Line = tuple[int, PhaseStatus, Callable[[], dict[str, JsonValue]], tuple[Reason, ...]]


@dataclass(slots=True)
class Notebook:
    """What phases 4-6 leave, written by whoever runs them and read once by who waits for them.

    A run that missed its deadline goes on writing into a notebook nobody opens any more: it
    reaches neither the phase chain nor the fail-safe (ORC-18).
    """

    lines: list[Line] = field(default_factory=list)
    answers: list[tuple[str, Failure | None]] = field(default_factory=list)

    def add(
        self,
        number: int,
        status: PhaseStatus,
        output: Callable[[], dict[str, JsonValue]],
        reasons: tuple[Reason, ...] = (),
    ) -> None:
        self.lines.append((number, status, output, reasons))


@dataclass(frozen=True, slots=True)
class Answers:
    """``voters`` are probabilities of the voting learned sources, 0.5 = none, declared order."""

    voters: FloatColumn
    shadow: tuple[Opinion, ...]
    shed: tuple[str, ...]
    asked: tuple[tuple[str, float], ...]


NOBODY = Answers(np.zeros(0), (), (), ())


class Asker:
    """Asks the panel: who votes first, then challengers, guards and controls.

    Latencies are measured anew after a restart; a source that is too slow for its own budget, or
    for what is left of the panel's, is asked now and then only, to see whether it has recovered.
    """

    def __init__(
        self,
        config: PipelineConfig,
        panel: SourcePanel,
        fail_safe: FailSafe,
        monotonic: Callable[[], float],
    ) -> None:
        self._config = config
        self._panel = panel
        self._fail_safe = fail_safe
        self._monotonic = monotonic
        self._latencies_us: dict[str, float] = {}
        self._thrift = 0

    def set_thrift(self, level: int) -> None:
        """Ask fewer: 0 everybody, 1 who votes, 2 the first half of who votes (ORC-36, ORC-74).

        Raises:
            ValueError: another level.
        """
        if level not in (0, 1, 2):
            raise ValueError(f"thrift was {level}, allowed: 0, 1 or 2")
        self._thrift = level

    def warm_up(self, rows: Mapping[SourceInput, FloatColumn]) -> None:
        """Ask everybody once for nothing, so that compiling costs no bar its budget."""
        for seated in self._panel.everyone:
            row = rows.get(seated.source.reads)
            if row is not None:
                attempt(lambda s=seated, r=row: s.source.predict(r), "warm up")  # type: ignore[misc]

    def latency_us(self, name: str) -> float:
        """Return the remembered latency of a source, 0 before it was ever asked."""
        return self._latencies_us.get(name, 0.0)

    def ask(self, bar_number: int, inputs: Inputs, notebook: Notebook) -> Answers:
        """Return everybody's probability; 0.5 where a source is not warm, failing or shed."""
        everyone = self._panel.everyone
        if not everyone:
            return NOBODY
        planned = self._planned(everyone, bar_number)
        config, started_s = self._config, self._monotonic()
        probabilities = np.full(len(everyone), 0.5)
        shed: list[str] = []
        for index, seated in enumerate(everyone):
            spent_us = (self._monotonic() - started_s) * 1e6
            if not planned[index] or spent_us > config.panel_budget_us:
                shed.append(seated.name)
                continue
            probabilities[index] = self._answer(seated, inputs, notebook)
        n = len(self._panel.voters)
        asked = tuple(
            [
                (s.name, p)
                for s, p in zip(everyone, probabilities.tolist(), strict=True)
                if s.name not in shed
            ]
        )
        shadow = self._shadow(probabilities[n:].tolist())
        return Answers(probabilities[:n], shadow, tuple(shed), asked)

    def ask_shadows(
        self, inputs: Inputs, notebook: Notebook
    ) -> tuple[tuple[Opinion, ...], tuple[tuple[str, float], ...]]:
        """Return the opinions of those who do not vote, and what each of them answered.

        For bars whose voters were foreseen: then nobody is left out for want of time.
        """
        shadows = self._panel.shadows
        answers = [self._answer(seated, inputs, notebook) for seated in shadows]
        asked = tuple([(s.name, p) for s, p in zip(shadows, answers, strict=True)])
        return self._shadow(answers), asked

    def _answer(self, seated: Seated, inputs: Inputs, notebook: Notebook) -> float:
        view = inputs[seated.source.reads]
        if isinstance(view, FeatureView) and view.ready:
            return self._ask(seated, view.values, notebook)
        return 0.5

    def foresee(
        self, rows: Sequence[FloatColumn], ready: Sequence[bool]
    ) -> npt.NDArray[np.float64] | None:
        """Return what the voters will say of rows of features, (n_rows, n_voters), 0.5 = nothing.

        Whoever reads anything else has nothing to read there. None where it cannot be told: a
        voter fails or fell silent, or some of the panel are not asked for want of time.

        Raises:
            Whatever a voter raises.
        """
        if not self._takes_no_time or self._fail_safe.degraded:
            return None
        voters = self._panel.voters
        answers = np.full((len(rows), len(voters)), 0.5)
        for index, seated in enumerate(voters):
            source = seated.source
            if source.reads is not SourceInput.FEATURES:
                continue
            for at, row in enumerate(rows):
                if ready[at]:
                    said = source.predict(row)
                    answers[at, index] = said if 0.0 <= said <= 1.0 else _probability(source, said)
        return answers

    def _shadow(self, answers: Sequence[float]) -> tuple[Opinion, ...]:
        margin = self._config.opinion_margin
        return tuple(
            [
                Opinion(s.name, p, self.latency_us(s.name), s.version)
                for s, p in zip(self._panel.shadows, answers, strict=True)
                if abs(p - 0.5) >= margin
            ]
        )

    def _planned(self, everyone: tuple[Seated, ...], bar_number: int) -> list[bool]:
        if self._takes_no_time:
            return [True] * len(everyone)
        config = self._config
        left_us = config.panel_budget_us
        planned, slow, is_full = [], [], False
        for index, seated in enumerate(everyone):
            latency_us = self.latency_us(seated.name)
            is_quick = latency_us <= config.latency_budget_us
            # nobody is asked in the place of one who comes before
            is_full = is_full or (is_quick and latency_us > left_us)
            fits = is_quick and not is_full
            planned.append(fits)
            if fits:
                left_us -= latency_us
            else:
                slow.append(index)
        turn, off_stride = divmod(bar_number, config.learn_every_bars)
        if slow and not off_stride:
            planned[slow[turn % len(slow)]] = True
        spared = self._asked_under_thrift(len(everyone))
        return [fits and index < spared for index, fits in enumerate(planned)]

    @property
    def _takes_no_time(self) -> bool:
        """True where nobody is left out for want of time: no time passes in a replay."""
        return not self._thrift and not any(self._latencies_us.values())

    def _asked_under_thrift(self, n: int) -> int:
        """Return how many of the panel may be asked, voters first."""
        voters = len(self._panel.voters)
        return (n, voters, (voters + 1) // 2)[self._thrift]

    def _ask(self, seated: Seated, values: FloatColumn, notebook: Notebook) -> float:
        source, name = seated.source, seated.name
        where = f"predictor {name}"
        if self._fail_safe.skipped(where) is not None:
            return 0.5
        started_s = self._monotonic()
        answer = attempt(lambda: _probability(source, source.predict(values)), where)
        # one hitch of the machine says nothing of the source: it takes two to call it slow
        worst_us = _WORST_OF_BUDGET * self._config.latency_budget_us
        took_us = min((self._monotonic() - started_s) * 1e6, worst_us)
        before_us = self.latency_us(name)
        step = _LATENCY_STEP if took_us > before_us else _RECOVERY_STEP
        self._latencies_us[name] = before_us + step * (took_us - before_us)
        failure = answer if isinstance(answer, Failure) else None
        notebook.answers.append((where, failure))
        return 0.5 if isinstance(answer, Failure) else answer


def _probability(source: LearnedSource, value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"probability of {source.code} must be in [0, 1], was {value}")
    return value


def note_answers(fail_safe: FailSafe, notebook: Notebook) -> None:
    """Tell the fail-safe how the sources answered, on the thread it belongs to."""
    for where, failure in tuple(notebook.answers):
        if failure is None:
            fail_safe.succeeded(where)
        else:
            fail_safe.failed(failure)
