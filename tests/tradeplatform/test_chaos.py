"""An hour in which every component fails at random: nothing escapes, every bar is decided on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from monitoring.models import Alert, Incident
from resources.core.config import OptimizerConfig
from resources.core.readings import Reading
from resources.core.windows import RollingRounds
from resources.models import Sample
from resources.optimizer import Optimizer
from resources.sampling.flow import DatabaseSampler
from resources.sampling.host import HostSampler
from resources.sampling.sampler import Sampler
from resources.services import as_ms, sample_record
from tests.engine.phases.bars import TARGETS
from tests.local_venue import BTC, KEY, SECRET, LocalVenue
from tests.resources.fakes import FakeWorkers
from tradeplatform.configuration import Configuration, Trading
from tradeplatform.resource_levers import PlatformLevers
from tradeplatform.run_setup import run_ensure
from tradeplatform.running import running_session
from trades.invariants import check_all
from trades.models import Analysis, Decision, Lease, TradingRun
from trades.runner import Runner

pytestmark = pytest.mark.django_db(transaction=True)
BARS_OF_AN_HOUR = 60
ROUNDS_A_MINUTE = 3
VENUE_VERBS = ("5xx", "html", "drop", "truncate", "empty")
# Of each kind of component, on which share of the bars it fails.
KINDS = {"phase": 0.5, "venue": 0.25, "worker": 0.04, "sampler": 0.25, "action": 0.5}
# These run on every bar; 7 and 8 only where somebody proposed something.
EVERY_BAR = (1, 2, 3, 4, 5, 6, 9, 10)


class Injected(RuntimeError):
    """What a component fails with."""


@dataclass
class Chaos:
    """Which components fail on this bar; the dice are seeded, so the hour repeats."""

    venue: LocalVenue
    dice: np.random.Generator
    phases: set[int] = field(default_factory=set)
    parts: set[str] = field(default_factory=set)
    struck: Counter[str] = field(default_factory=Counter)

    def roll(self, bar: int) -> set[str]:
        """Choose what fails during the next bar: often several at once, now and then nothing, and
        on every twentieth all of it."""
        self.heal()
        chosen = {kind for kind, often in KINDS.items() if self.dice.random() < often}
        if bar % 20 == 10:
            chosen = set(KINDS)
        if "phase" in chosen:
            self.phases = {int(n) for n in self.dice.integers(1, 11, size=3)}
        if "venue" in chosen:
            verb = str(self.dice.choice(VENUE_VERBS))
            self.venue.fault("*", verb, nth=None)
        self.parts = chosen & {"sampler", "action"}
        return chosen

    def heal(self) -> None:
        self.phases, self.parts = set(), set()
        self.venue.venue.faults.clear()

    def phase(self, number: int, real: Callable[..., Any], *given: Any, **named: Any) -> Any:
        if number in self.phases:
            self.struck[f"phase {number}"] += 1
            raise Injected(f"phase {number} broke")
        return real(*given, **named)

    def part(self, name: str) -> None:
        if name in self.parts:
            self.struck[name] += 1
            raise Injected(f"{name} broke")


@dataclass
class FlakyPart:
    """A part of the sampler that fails when the dice say so."""

    chaos: Chaos

    def read(self, at_ms: int) -> list[Reading]:
        self.chaos.part("sampler")
        return [Reading("host", "cpu", 0.99, at_ms)]


class FlakyWorkers(FakeWorkers):
    """Workers that do not answer when the dice say so: every action on them fails."""

    def __init__(self, chaos: Chaos) -> None:
        super().__init__()
        self._chaos = chaos

    def consumes(self, queue: str) -> list[str]:
        self._chaos.part("action")
        return super().consumes(queue)


class Monitoring:
    """The sampler and the optimizer beside the run, on the hour's own clock."""

    def __init__(self, chaos: Chaos, folder: Path) -> None:
        levers = PlatformLevers()
        parts = (HostSampler({"data": folder}), DatabaseSampler(), FlakyPart(chaos))
        self._sampler = Sampler(parts, levers.incident)
        self._rounds = RollingRounds(2_000)
        self._optimizer = Optimizer(
            levers=levers, rounds=self._rounds, var_dir=folder, workers=FlakyWorkers(chaos)
        )
        self._now = timezone.now()

    def minute(self) -> None:
        for _ in range(ROUNDS_A_MINUTE):
            self._now += timedelta(seconds=60 / ROUNDS_A_MINUTE)
            vector = self._sampler.read(as_ms(self._now))
            self._rounds.add(vector)
            sample_record(vector=vector, host="here")
        self._optimizer.round(self._now, OptimizerConfig(window_s=60.0))


@pytest.fixture
def chaos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Chaos]:
    found = Chaos(LocalVenue(tmp_path / "venue"), np.random.Generator(np.random.PCG64(20_261_121)))
    settings.PRACTICE_URL = "http://127.0.0.1:9"
    monkeypatch.setattr("trades.loop.KEEP_UP_S", 0.0)
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_KEY", KEY)
    monkeypatch.setenv("TRADEPLATFORM_EXCHANGE_SECRET", SECRET)
    for module in ("run_setup", "running"):
        monkeypatch.setattr(f"tradeplatform.{module}.venue_client", lambda _: found.venue.client)
    for number, (owner, name) in TARGETS.items():
        real = getattr(owner, name)
        if isinstance(owner, type):
            # a method: who is asked comes first
            flaky: Any = lambda self, *a, n=number, r=real, **k: found.phase(n, r, self, *a, **k)  # noqa: E731
        else:
            flaky = partial(found.phase, number, real)
        monkeypatch.setattr(owner, name, flaky)
    yield found
    found.venue.venue.close()


def worker() -> Runner:
    return Runner(running_session, django_settings.CODE_VERSION)


def the_last_worker_died(run: TradingRun) -> None:
    Lease.objects.filter(run=run).update(expires_at=timezone.now())


def test_an_hour_of_random_failures_leaves_a_decision_for_every_bar_and_raises_nothing(
    chaos: Chaos, tmp_path: Path
) -> None:
    """ORC-72: phases, venue, workers, sampler and actions fail at random for 60 one-minute bars.

    What is unhandled would end the test: nothing here catches. What was survived is on record.
    """
    config = msgspec.structs.replace(Configuration(), trading=Trading(symbols=(BTC,)))
    run = run_ensure(config, actor="test")
    runner, monitoring = worker(), Monitoring(chaos, tmp_path)
    runner.advance(run.pk)
    first_ms = chaos.venue.now_ms
    outcomes: Counter[str] = Counter()
    for bar in range(BARS_OF_AN_HOUR):
        chosen = chaos.roll(bar)
        if "worker" in chosen:
            chaos.struck["worker"] += 1
            the_last_worker_died(run)
            runner = worker()
        chaos.venue.step()
        outcomes[runner.advance(run.pk).outcome] += 1
        monitoring.minute()
    chaos.heal()
    last = runner.advance(run.pk)

    assert last.outcome == "advanced"
    closes = [first_ms + 60_000 * n for n in range(1, BARS_OF_AN_HOUR + 1)]
    for model in (Analysis, Decision):
        decided = {as_ms(at) for at in model.objects.values_list("bar_close_at", flat=True)}
        assert set(closes) <= decided, model
    # it was no calm hour: each kind of component failed, and each failure is on record
    assert all(chaos.struck[f"phase {n}"] for n in EVERY_BAR), chaos.struck
    assert all(chaos.struck[kind] for kind in ("worker", "sampler", "action")), chaos.struck
    assert outcomes["venue unavailable"] > 5
    told = dict(Incident.objects.values_list("where", "count"))
    assert told["sampler FlakyPart"] == chaos.struck["sampler"]
    held = Decision.objects.filter(reason_code="PHASE_ERROR")
    assert held.exists() and not held.exclude(action="HOLD").exists()
    assert Alert.objects.filter(code="VENUE_UNAVAILABLE").exists()
    assert not Alert.objects.filter(code="VENUE_UNAVAILABLE", resolved_at=None).exists()
    assert Sample.objects.count() == ROUNDS_A_MINUTE * BARS_OF_AN_HOUR
    assert check_all().breaches == []
