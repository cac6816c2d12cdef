"""The loop of sampling and optimizing: a thread of the watchdog's process.

There, and not in a worker: what overloads the workers must not stop the one who looks at them. A
thread of its own, so that a slow driver or disk never keeps the watchdog from its heartbeats; its
own heartbeat is watched like everybody's (ORC-60).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from engine.types.decisions import JsonValue
from resources.core.config import OptimizerConfig
from resources.core.readings import MetricVector
from resources.core.windows import RollingRounds
from resources.counters import counters_dir
from resources.levers import Levers
from resources.optimizer import Optimizer
from resources.queries import slow_lines
from resources.sampling.sampler import Sampler, build_sampler, host_name
from resources.selectors import rounds_stored
from resources.services import as_ms, sample_record, samples_roll_up, slow_queries_record
from resources.switches import config_holding, file_adopt
from resources.tunables import SAMPLE_EVERY_S, tunable_value

logger = logging.getLogger(__name__)
COMPONENT = "sampler"
_ROUNDS = 1_500
_ROLL_UP_EVERY_S = 60.0


class ResourceWatch:
    """Samples, stores, decides; each step at its own pace."""

    def __init__(
        self,
        levers: Levers,
        var_dir: Path,
        file_settings: Mapping[str, Any],
        *,
        sampler: Sampler | None = None,
    ) -> None:
        self._levers = levers
        self._sampler = sampler or build_sampler(levers.incident)
        self._rounds = RollingRounds(_ROUNDS)
        self._optimizer = Optimizer(levers=levers, rounds=self._rounds, var_dir=var_dir)
        self._file_settings = file_settings
        self._host = host_name()
        self._is_started = False
        self._config = OptimizerConfig()
        self._decided_s = self._rolled_s = float("-inf")

    @property
    def rounds(self) -> RollingRounds:
        return self._rounds

    def run(self, stopping: threading.Event) -> None:
        """Work until told to stop. A database that is away costs its rounds, nothing else."""
        while not stopping.is_set():
            began = time.monotonic()
            every_s = self._config.sample_every_s
            try:
                every_s = self.step()
            except DatabaseError as error:
                logger.warning("resources were not recorded: %s", error)
            close_old_connections()
            stopping.wait(max(every_s - (time.monotonic() - began), 0.2))

    def step(self) -> float:
        """Do one round; return the seconds until the next."""
        now = timezone.now()
        if not self._is_started:
            self._start()
        vector = self._sampler.read(as_ms(now))
        self._rounds.add(vector)
        sample_record(vector=vector, host=self._host)
        config = self._config
        every_s = tunable_value(SAMPLE_EVERY_S, config.sample_every_s)
        monotonic = time.monotonic()
        if monotonic - self._decided_s >= config.decide_every_s - 0.5:
            self._decided_s = monotonic
            self._config = config = config_holding()
            slow_queries_record(slow_lines(counters_dir()))
            self._optimizer.round(now, config)
            self._optimizer.revert_leftovers(now, config)
        if monotonic - self._rolled_s >= _ROLL_UP_EVERY_S:
            self._rolled_s = monotonic
            samples_roll_up(now=now, host=self._host)
        self._levers.heartbeat(COMPONENT, every_s)
        self._levers.publish(_told(vector))
        return every_s

    def _start(self) -> None:
        file_adopt(OptimizerConfig.of(self._file_settings).values())
        self._config = config_holding()
        config = self._config
        span_s = config.window_s * (config.baseline_windows + config.slower_windows)
        for vector in rounds_stored(now=timezone.now(), window_s=span_s):
            self._rounds.add(vector)
        self._is_started = True


def _told(vector: MetricVector) -> dict[str, JsonValue]:
    values: dict[str, JsonValue] = dict(vector.values())
    return {"at_ms": vector.at_ms, "values": values}
