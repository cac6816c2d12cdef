"""When something must be done: rules over the rounds of the last while (ORC-46 to ORC-50)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from resources.core.config import OptimizerConfig
from resources.core.health import beyond
from resources.core.readings import Worse, key_of, metric_of
from resources.core.windows import RollingRounds, is_worse_than_baseline


class Kind(StrEnum):
    THRESHOLD = "threshold"
    PERFORMANCE = "performance"
    ERROR = "error"
    REPEAT = "repeat"
    SCHEDULE = "schedule"


@dataclass(frozen=True, slots=True)
class Rule:
    """``code`` names the rule and its incident; ``key`` is what it looks at.

    Threshold and error: fires strictly beyond ``limit``, ends at or inside ``clear``.
    Performance: ``limit`` is the fraction by which a window must be worse than the baseline, and
    a latency must be above ``floor`` too, in its own unit.
    """

    code: str
    kind: Kind
    key: str
    limit: float
    clear: float
    about: str
    floor: float = 0.0

    @property
    def subject(self) -> str:
        return self.key.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class Trigger:
    """A rule that holds now: the value that made it so, in the metric's unit."""

    rule: Rule
    value: float
    at_ms: int

    @property
    def text(self) -> str:
        unit = metric_of(self.rule.key).unit
        return (
            f"{self.rule.about}: {self.rule.key} was {self.value:.6g} {unit}, "
            f"limit {self.rule.limit:.6g}"
        )


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often one failure was seen since the last look: the signature that stands for it."""

    where: str
    signature: str
    count: int


def _cleared(limit: float, margin: float, key: str) -> float:
    is_lower_worse = metric_of(key).worse is Worse.LOWER
    return limit * (1.0 + margin) if is_lower_worse else limit * (1.0 - margin)


def rules_of(config: OptimizerConfig, keys: Iterable[str]) -> tuple[Rule, ...]:
    """Return every rule that has something to look at, those switched off left out."""
    known = sorted(set(keys))
    rules = [
        Rule(
            code,
            kind,
            key,
            limit,
            _cleared(limit, config.clear_margin, key),
            about,
            _floors(config).get(code, 0.0),
        )
        for code, kind, key, limit, about in (
            *_host_rules(config),
            *(row for key in known for row in _rules_at(key, config)),
        )
        if key in known or kind is Kind.REPEAT
    ]
    return tuple(rule for rule in rules if rule.code not in config.disabled_rules)


def _floors(config: OptimizerConfig) -> Mapping[str, float]:
    """Return below which latency in ms a rule stays silent; slow queries have the one by which
    they are counted."""
    return {
        "slow-decision": config.slow_decision_ms,
        "slow-http": config.slow_http_ms,
        "slow-query": config.slow_query_ms,
    }


_Row = tuple[str, Kind, str, float, str]


def _host_rules(config: OptimizerConfig) -> tuple[_Row, ...]:
    threshold = Kind.THRESHOLD
    return (
        ("cpu", threshold, "host.cpu", config.cpu_limit, "the processors are busy"),
        ("load", threshold, "host.load_per_core", config.load_per_core_limit, "work queues up"),
        ("memory", threshold, "host.memory_used", config.memory_limit, "memory runs out"),
        (
            "available",
            threshold,
            "host.memory_available",
            config.available_bytes_limit,
            "little memory is left",
        ),
        ("disk", threshold, "volume:data.disk_used", config.disk_limit, "the disk fills up"),
        ("disk-logs", threshold, "volume:logs.disk_used", config.disk_limit, "the logs' disk"),
    )


def _rules_at(key: str, config: OptimizerConfig) -> tuple[_Row, ...]:
    subject, _, name = key.rpartition(".")
    kind, _, which = subject.partition(":")
    if kind == "process" and name == "rss" and which in ("trading", "general"):
        limit = config.worker_rss_limit_bytes
        return ((f"rss-{which}", Kind.THRESHOLD, key, limit, f"the {which} worker grows"),)
    if kind == "queue" and name == "age" and which.partition(".")[0] != "trading":
        limit, about = config.queue_age_limit_s, f"work waits in the queue {which}"
        return ((f"queue-{which}", Kind.THRESHOLD, key, limit, about),)
    if kind == "work" and name == "p95" and which in ("decision", "http", "query"):
        about = f"{which} is slower than usual"
        return ((f"slow-{which}", Kind.PERFORMANCE, key, config.slower_by, about),)
    if kind == "work" and name == "throughput" and which == "decision":
        about = "fewer decisions than usual"
        return (("fewer-decisions", Kind.PERFORMANCE, key, config.slower_by, about),)
    if kind == "work" and name == "errors" and which in ("decision", "http", "task", "venue"):
        about = f"{which} fails too often"
        return ((f"errors-{which}", Kind.ERROR, key, config.error_limit, about),)
    return ()


class Watchman:
    """Judges every rule each round. What fires stays fired until it is clear: hysteresis."""

    def __init__(self, config: OptimizerConfig) -> None:
        self._config = config

    def judge(
        self,
        rounds: RollingRounds,
        now_ms: int,
        firing: frozenset[str] = frozenset(),
        repeats: Sequence[Repeats] = (),
    ) -> list[Trigger]:
        """Return the rules that hold, in declared order; ``firing`` are those that held before."""
        found = []
        for rule in rules_of(self._config, rounds.every_key()):
            value = self._value(rule, rounds, now_ms)
            if value is not None and self._holds(rule, rounds, value, now_ms, rule.code in firing):
                found.append(Trigger(rule, value, now_ms))
        if "repeats" not in self._config.disabled_rules:
            found += self._repeated(repeats, now_ms)
        return found

    def _value(self, rule: Rule, rounds: RollingRounds, now_ms: int) -> float | None:
        """Return the mean of the last window; of a threshold three values at least, so that one
        breath of a busy machine is no overload."""
        since = now_ms - int(self._config.window_s * 1000)
        values = rounds.values(rule.key, since + 1)
        if rule.kind is Kind.ERROR and not self._has_calls(rule, rounds, since):
            return None
        least = 1 if rule.kind in (Kind.ERROR, Kind.PERFORMANCE) else 3
        # the mean of six times 0.8 is a little more than 0.8, and a limit itself is fine
        return round(fmean(values), 12) if len(values) >= least else None

    def _has_calls(self, rule: Rule, rounds: RollingRounds, since_ms: int) -> bool:
        rates = rounds.values(key_of(rule.subject, "throughput"), since_ms + 1)
        return bool(rates) and fmean(rates) * self._config.window_s >= self._config.least_calls

    def _holds(
        self, rule: Rule, rounds: RollingRounds, value: float, now_ms: int, is_firing: bool
    ) -> bool:
        if rule.kind is Kind.PERFORMANCE:
            return value >= rule.floor and self._is_worse(rule, rounds, now_ms)
        return beyond(rule.key, value, rule.clear if is_firing else rule.limit)

    def _is_worse(self, rule: Rule, rounds: RollingRounds, now_ms: int) -> bool:
        config, width = self._config, int(self._config.window_s * 1000)
        count = config.baseline_windows + config.slower_windows
        windows = []
        for index in range(count, 0, -1):
            since = now_ms - index * width
            values = rounds.values(rule.key, since + 1, since + width + 1)
            if values:
                windows.append(fmean(values))
        answer = is_worse_than_baseline(
            windows,
            recent=config.slower_windows,
            least=3,
            by_fraction=rule.limit,
            lower_is_worse=metric_of(rule.key).worse is Worse.LOWER,
        )
        return bool(answer)

    def _repeated(self, repeats: Sequence[Repeats], now_ms: int) -> list[Trigger]:
        limit = float(self._config.repeats_limit)
        return [
            Trigger(
                Rule(
                    f"repeats-{again.signature[:12]}",
                    Kind.REPEAT,
                    "work:incident.failures",
                    limit,
                    limit,
                    f"the same failure again and again in {again.where}",
                ),
                float(again.count),
                now_ms,
            )
            for again in repeats
            if again.count > limit
        ]


def needed(vector: Mapping[str, float | None], config: OptimizerConfig) -> list[str]:
    """Return which threshold rules one round alone would ask something of (ORC-69)."""
    return [
        rule.code
        for rule in rules_of(config, vector)
        if rule.kind in (Kind.THRESHOLD, Kind.ERROR)
        and (value := vector[rule.key]) is not None
        and beyond(rule.key, value, rule.limit)
    ]


def next_slot_ms(now_ms: int, every_s: float, at_s: float) -> int:
    """Return the first slot strictly after ``now_ms``: slots lie ``every_s`` apart, ``at_s`` after
    each whole multiple of it (UTC). However many were missed, the next one is one (ORC-49)."""
    every_ms, at_ms = int(every_s * 1000), int(at_s * 1000)
    return (now_ms - at_ms) // every_ms * every_ms + every_ms + at_ms
