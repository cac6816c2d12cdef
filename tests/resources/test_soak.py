"""A short soak: a process that really leaks, a folder that really grows; restored or escalated.

What is read is real (resident memory of a process, bytes of files); only the clock is virtual,
so that a cool-down of minutes takes none.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from monitoring.models import Alert
from resources.core.config import MIB, OptimizerConfig
from resources.core.readings import Reading
from resources.core.windows import RollingRounds
from resources.models import IncidentState, OptimizerAction, ResourceIncident, Stage
from resources.optimizer import Optimizer, RoundReport
from resources.sampling.processes import ProcessSampler
from resources.sampling.sampler import Part, Sampler
from resources.services import as_ms
from resources.tasks import clear_caches, relieve_memory
from tests.resources.fakes import NOW, FakeWorkers
from tradeplatform.resource_levers import PlatformLevers

pytestmark = pytest.mark.django_db
LIMIT_BYTES = 64 * MIB
GROWTH_MIB = 8
# Grows by so many MiB a line it reads, touches every page, and answers when it has.
LEAK = """
import sys
kept = [b"x" * (int(sys.argv[1]) << 20)]
print("up", flush=True)
for line in sys.stdin:
    kept.append(b"x" * (int(line) << 20))
    print("grown", flush=True)
"""


class LeakingWorker:
    """One worker and its supervisor: when it ends it is started again."""

    def __init__(self, at_start_mib: int = 0) -> None:
        self._at_start_mib = at_start_mib
        self.starts = 0
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", LEAK, str(self._at_start_mib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.starts += 1
        self._answered()

    def grow(self, mib: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{mib}\n")
        self.process.stdin.flush()
        self._answered()

    def supervise(self) -> None:
        """Start it again if it was told to end."""
        if self.was_ended:
            self.process.wait()
            self._start()

    @property
    def was_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def rss(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _answered(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline(), "the leaking process ended by itself"


class Levers(PlatformLevers):
    """The platform's own, but for the restart: the supervisor of this worker is the test."""

    def __init__(self, worker: LeakingWorker | None) -> None:
        super().__init__()
        self._worker = worker

    def restart(self, worker: str) -> tuple[int, ...]:
        assert worker == "general" and self._worker is not None
        pid = self._worker.process.pid
        self._worker.process.terminate()
        self._worker.process.wait()
        return (pid,)


class AnsweringWorkers(FakeWorkers):
    """Runs what is sent to a worker at once; garbage and caches are really collected."""

    TASKS = {
        "resources.tasks.relieve_memory": relieve_memory,
        "resources.tasks.clear_caches": clear_caches,
    }

    def send(self, task: str, queue: str, arguments: dict[str, int]) -> None:
        super().send(task, queue, arguments)
        self.TASKS[task](**arguments)


class Soak:
    """The optimizer over real readings; ``minutes`` of virtual time pass at ten seconds a round."""

    def __init__(
        self, folder: Path, part: Part, config: OptimizerConfig, worker: LeakingWorker | None = None
    ) -> None:
        self.now, self._config = NOW, config
        self._rounds = RollingRounds(5_000)
        self._sampler = Sampler([part], self._raise)
        self._optimizer = Optimizer(
            levers=Levers(worker),
            rounds=self._rounds,
            var_dir=folder,
            workers=AnsweringWorkers(),
        )

    def round(self) -> RoundReport:
        for _ in range(2):
            self.now += timedelta(seconds=5)
            self._rounds.add(self._sampler.read(as_ms(self.now)))
        return self._optimizer.round(self.now, self._config)

    def until(self, over: Callable[[RoundReport], bool], *, at_most: int = 120) -> None:
        for _ in range(at_most):
            if over(self.round()):
                return
        raise AssertionError(f"not within {at_most} rounds: {list(ResourceIncident.objects.all())}")

    @staticmethod
    def _raise(where: str, error: BaseException) -> None:
        raise AssertionError(where) from error


@pytest.fixture
def leak() -> Iterator[Callable[[int], LeakingWorker]]:
    workers: list[LeakingWorker] = []

    def start(at_start_mib: int) -> LeakingWorker:
        workers.append(LeakingWorker(at_start_mib))
        return workers[-1]

    yield start
    for worker in workers:
        worker.end()


@pytest.fixture
def soaked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[LeakingWorker], Soak]:
    # actions are stamped by the worker that does them
    soaks: list[Soak] = []
    monkeypatch.setattr("resources.tasks.timezone.now", lambda: soaks[0].now)

    def of(worker: LeakingWorker) -> Soak:
        part = ProcessSampler(lambda: {"general": worker.process.pid})
        config = OptimizerConfig(
            worker_rss_limit_bytes=float(LIMIT_BYTES), cool_down_s=60.0, tries_without_effect=1
        )
        soaks.append(Soak(tmp_path, part, config, worker))
        return soaks[0]

    return of


def actions() -> list[tuple[str, str]]:
    return list(OptimizerAction.objects.order_by("id").values_list("action", "verdict"))


def test_a_process_that_leaks_is_brought_back_under_its_limit(
    leak: Callable[[int], LeakingWorker], soaked: Callable[[LeakingWorker], Soak]
) -> None:
    """ORC-88, ORC-47: it grows past its limit; what does not help is found out, what does is kept.

    Memory that is still referred to is not garbage: the first two actions do not help, are judged
    so, and the worker is started again.
    """
    worker = leak(0)
    soak = soaked(worker)
    opened = False
    while not opened:
        worker.grow(GROWTH_MIB)
        opened = soak.round().opened == ("rss-general",)
    assert worker.rss > LIMIT_BYTES

    def is_over(report: RoundReport) -> bool:
        worker.supervise()
        return report.resolved == ("rss-general",)

    soak.until(is_over)
    for _ in range(4):
        soak.round()
    assert worker.starts == 2
    assert worker.rss < LIMIT_BYTES
    done = actions()
    assert [action for action, _ in done] == ["collect-garbage", "clear-caches", "restart-worker"]
    assert [verdict == "success" for _, verdict in done] == [False, False, True]
    restarted = OptimizerAction.objects.get(action="restart-worker")
    assert restarted.improvement is not None and restarted.improvement > 0.5
    assert restarted.before["process:general.rss"][-1] > LIMIT_BYTES
    assert restarted.after["process:general.rss"][-1] < LIMIT_BYTES
    assert ResourceIncident.objects.get().state == IncidentState.RESOLVED
    assert not Alert.objects.filter(resolved_at=None).exists()


def test_a_process_that_is_as_large_again_after_its_restart_is_told_to_a_person(
    leak: Callable[[int], LeakingWorker], soaked: Callable[[LeakingWorker], Soak]
) -> None:
    """ORC-88: what cannot be restored is escalated once, and nothing is tried for ever."""
    worker = leak(LIMIT_BYTES // MIB + GROWTH_MIB)
    soak = soaked(worker)

    def is_told(report: RoundReport) -> bool:
        worker.supervise()
        return report.escalated == ("rss-general",)

    soak.until(is_told)
    for _ in range(30):
        assert soak.round().acted == ()
    assert worker.starts == 2, "restarted once an incident"
    incident = ResourceIncident.objects.get()
    assert (incident.state, incident.resolved_at) == (IncidentState.ESCALATED, None)
    (alert,) = Alert.objects.filter(resolved_at=None)
    assert alert.dedupe_key == "resources:rss-general"
    assert "tried in vain: clear-caches, collect-garbage, restart-worker" in alert.text
    assert "success" not in dict(actions()).values()


class Folder:
    """What a folder holds, as the share of a volume of ``size`` bytes."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._size = folder, size

    def read(self, at_ms: int) -> list[Reading]:
        used = sum(p.stat().st_blocks * 512 for p in self._folder.rglob("*") if p.is_file())
        return [Reading("volume:data", "disk_used", used / self._size, at_ms)]


def grown(folder: Path, number: int, *, age_s: float) -> None:
    """Leave one more file of a MiB, written ``age_s`` ago."""
    path = folder / f"scratch-{number}"
    path.write_bytes(os.urandom(MIB))
    written = NOW.timestamp() - age_s
    os.utime(path, (written, written))


@pytest.mark.parametrize(("age_s", "is_restored"), [(172_800.0, True), (0.0, False)])
def test_a_folder_that_grows_is_cleaned_or_told_of(
    tmp_path: Path, age_s: float, is_restored: bool
) -> None:
    """ORC-88, ORC-40: old scratch files go; files that somebody may still need are a person's."""
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    config = OptimizerConfig(cool_down_s=60.0, tries_without_effect=1)
    soak = Soak(tmp_path, Folder(tmp_path, 10 * MIB), config)
    opened, number = False, 0
    while not opened:
        number += 1
        grown(scratch, number, age_s=age_s)
        opened = soak.round().opened == ("disk",)
    assert number > 9
    if is_restored:
        soak.until(lambda report: report.resolved == ("disk",))
        for _ in range(6):
            soak.round()
        assert list(scratch.iterdir()) == []
        assert actions() == [("clean-temp", "success")]
        assert OptimizerAction.objects.get().saved["bytes"] >= number * MIB
        assert not Alert.objects.exists()
    else:
        soak.until(lambda report: report.escalated == ("disk",))
        assert len(list(scratch.iterdir())) == number
        assert Alert.objects.get().dedupe_key == "resources:disk"
        assert ResourceIncident.objects.get().steps.filter(stage=Stage.ESCALATE).count() == 1
