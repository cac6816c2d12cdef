"""Levers and workers that write down what was asked of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from resources.actions.base import Context
from resources.core.config import OptimizerConfig
from resources.core.readings import MetricVector
from resources.core.windows import RollingRounds
from resources.errors import ActionFailed
from resources.services import as_ms

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


class FakeLevers:
    def __init__(self) -> None:
        self.restarted: list[str] = []
        self.alerts: dict[str, str] = {}
        self.resolved: list[str] = []
        self.incidents: list[str] = []
        self.beats: list[str] = []
        self.told: list[dict] = []
        self.seen: dict[str, tuple[str, int]] = {}
        self.pids = [4711]

    def restart(self, worker):
        self.restarted.append(worker)
        return self.pids

    def alert(self, *, code, severity, text, key):
        self.alerts[key] = text

    def resolve(self, key):
        self.resolved.append(key)
        self.alerts.pop(key, None)

    def incident(self, where, error):
        self.incidents.append(where)

    def heartbeat(self, component, expected_every_s):
        self.beats.append(component)

    def publish(self, data):
        self.told.append(data)

    def repeats(self):
        return self.seen


class FakeWorkers:
    """One general worker of ``size`` processes that consumes research."""

    def __init__(self, size: int = 2) -> None:
        self.sizes = {"general@here": size}
        self.research = {"general@here"}
        self.sent: list[tuple[str, str, dict]] = []
        self.is_away = False

    def pools(self, name):
        self._check()
        return {w: n for w, n in self.sizes.items() if w.startswith(f"{name}@")}

    def resize(self, worker, by):
        self._check()
        self.sizes[worker] += by

    def consumes(self, queue):
        self._check()
        return sorted(self.research)

    def consume(self, worker, queue, *, is_on):
        self._check()
        (self.research.add if is_on else self.research.discard)(worker)

    def send(self, task, queue, arguments):
        self._check()
        self.sent.append((task, queue, dict(arguments)))

    def _check(self) -> None:
        if self.is_away:
            raise ActionFailed("the broker did not answer: gone")


def rounds_of(values: dict, *, until: datetime = NOW, n: int = 12, every_s: float = 5.0):
    """``n`` equal rounds, the last at ``until``."""
    rounds = RollingRounds(5_000)
    add_rounds(rounds, values, until=until, n=n, every_s=every_s)
    return rounds


def add_rounds(rounds, values, *, until, n, every_s=5.0):
    for index in range(n):
        at = until - timedelta(seconds=every_s * (n - 1 - index))
        rounds.add(MetricVector.of(as_ms(at), values))


def context(tmp_path: Path, **given) -> Context:
    fields = {
        "now": NOW,
        "config": OptimizerConfig(),
        "levers": FakeLevers(),
        "workers": FakeWorkers(),
        "rounds": RollingRounds(100),
        "var_dir": tmp_path,
    }
    return Context(**fields | given)
