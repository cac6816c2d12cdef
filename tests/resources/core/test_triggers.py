"""When something must be done, and when not."""

import pytest

from resources.core.config import GIB, OptimizerConfig
from resources.core.readings import MetricVector
from resources.core.triggers import Kind, Repeats, Watchman, needed, next_slot_ms
from resources.core.windows import RollingRounds

STEP_MS = 5_000
CONFIG = OptimizerConfig()
FINE = {
    "host.cpu": 0.80,
    "host.load_per_core": 2.0,
    "host.memory_used": 0.85,
    "host.memory_available": float(GIB),
    "volume:data.disk_used": 0.90,
}


def rounds_of(*values, **keys):
    """Rounds five seconds apart; ``values`` are dicts."""
    rounds = RollingRounds(5_000)
    for index, each in enumerate(values):
        rounds.add(MetricVector.of(index * STEP_MS, each))
    return rounds, (len(values) - 1) * STEP_MS


def fired(config, values, firing=frozenset(), repeats=()):
    rounds, now = rounds_of(*values)
    return [t.rule.code for t in Watchman(config).judge(rounds, now, firing, repeats)]


@pytest.mark.parametrize(
    ("key", "beyond", "code"),
    [
        ("host.cpu", 0.801, "cpu"),
        ("host.load_per_core", 2.01, "load"),
        ("host.memory_used", 0.851, "memory"),
        ("host.memory_available", GIB - 1.0, "available"),
        ("volume:data.disk_used", 0.901, "disk"),
    ],
)
def test_a_threshold_fires_beyond_its_limit_not_at_it_and_can_be_switched_off(key, beyond, code):
    """ORC-46"""
    at, over = [FINE] * 8, [FINE | {key: beyond}] * 8
    assert fired(CONFIG, at) == []
    assert fired(CONFIG, over) == [code]
    assert fired(OptimizerConfig(disabled_rules=(code,)), over) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"host.cpu": 0.95}, ["cpu"]),
        ({"host.cpu": 0.80}, []),
        ({"host.cpu": 0.81, "host.memory_used": 0.90}, ["cpu", "memory"]),
        ({"host.memory_available": 0.0}, ["available"]),
        ({"host.memory_available": GIB + 0.0}, []),
        ({"volume:data.disk_used": 0.99, "host.load_per_core": 9.0}, ["load", "disk"]),
        ({"host.cpu": None}, []),
        ({"work:venue.errors": 0.05}, []),
        ({"work:venue.errors": 0.06}, ["errors-venue"]),
    ],
)
def test_the_need_to_optimize_follows_from_the_numbers(change, expected):
    """ORC-69"""
    assert needed(FINE | change, CONFIG) == expected


def test_more_workers_of_the_pool_never_answer_a_queue_of_trading():
    """ORC-46, D-59: no account's trading worker is the pool's."""
    late = {f"queue:{name}.age": 10_000.0 for name in ("io", "trading", "trading.second")}
    assert fired(CONFIG, [late] * 12) == ["queue-io"]


def test_one_busy_moment_is_no_overload():
    """ORC-50"""
    calm = FINE | {"host.cpu": 0.5}
    assert fired(CONFIG, [calm] * 5 + [FINE | {"host.cpu": 1.0}]) == []
    assert fired(CONFIG, [FINE | {"host.cpu": 1.0}] * 2) == []


def test_what_fired_stays_until_it_is_clearly_over():
    """ORC-50: hysteresis; between the two limits a rule keeps the state it is in."""
    between = [FINE | {"host.cpu": 0.78}] * 8
    assert fired(CONFIG, between) == []
    assert fired(CONFIG, between, firing=frozenset({"cpu"})) == ["cpu"]
    assert fired(CONFIG, [FINE | {"host.cpu": 0.75}] * 8, firing=frozenset({"cpu"})) == []


def slow(latencies):
    """Six rounds a window of 30 s, one value a window; a first round before them."""
    values = [{"work:decision.p95": latencies[0]}]
    for latency in latencies:
        values += [{"work:decision.p95": latency}] * 6
    return values


def test_latency_beyond_its_rolling_baseline_for_n_windows_is_one_trigger():
    """ORC-47"""
    calm = [100.0, 102.0, 98.0, 101.0, 99.0, 100.0]
    assert fired(CONFIG, slow([*calm, 160.0, 160.0])) == []
    assert fired(CONFIG, slow([*calm, 149.0, 149.0, 149.0])) == []
    assert fired(CONFIG, slow([*calm, 160.0, 155.0, 170.0])) == ["slow-decision"]
    off = OptimizerConfig(disabled_rules=("slow-decision",))
    assert fired(off, slow([*calm, 160.0, 155.0, 170.0])) == []


def test_a_latency_nobody_waits_for_is_not_called_slow():
    """ORC-47: three times slower than usual, and still below the floor of its kind."""
    calm = [5.0] * 10
    assert fired(CONFIG, slow([*calm, 15.0, 15.0, 15.0])) == []
    low = OptimizerConfig(slow_decision_ms=10.0)
    assert fired(low, slow([*calm, 15.0, 15.0, 15.0])) == ["slow-decision"]


def test_without_a_baseline_nothing_is_called_slow():
    """ORC-47"""
    assert fired(CONFIG, slow([160.0, 155.0, 170.0])) == []


@pytest.mark.parametrize(
    ("errors", "per_s", "expected"),
    [(0.10, 2.0, ["errors-venue"]), (0.05, 2.0, []), (0.50, 0.1, [])],
)
def test_an_error_rate_counts_above_its_limit_and_with_enough_calls(errors, per_s, expected):
    """ORC-41, ORC-48"""
    values = {"work:venue.errors": errors, "work:venue.throughput": per_s}
    assert fired(CONFIG, [values] * 8) == expected


def test_the_same_failure_again_and_again_is_an_incident_with_its_count():
    """ORC-41"""
    rounds, now = rounds_of(FINE)
    again = [Repeats("predictor forest", "a" * 64, 11), Repeats("elsewhere", "b" * 64, 10)]
    (trigger,) = Watchman(CONFIG).judge(rounds, now, repeats=again)
    assert trigger.rule.kind is Kind.REPEAT
    assert trigger.value == 11.0
    assert "predictor forest" in trigger.text


@pytest.mark.parametrize(
    ("now_s", "expected_s"),
    [(0.0, 600.0), (599.0, 600.0), (600.0, 4_200.0), (90_000.0, 90_600.0)],
)
def test_the_next_time_of_a_timetable_is_the_first_after_now(now_s, expected_s):
    """ORC-49: every hour at ten past; however many were missed, the next is one."""
    assert next_slot_ms(int(now_s * 1000), 3_600.0, 600.0) == expected_s * 1000


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cpu_limit": 2}, "cpu_limit was 2, allowed: 0.05 to 1"),
        ({"cpu_limit": float("nan")}, "cpu_limit was nan, allowed: a finite number"),
        ({"cpu": 0.5}, "cpu was unknown, allowed: available_bytes_limit"),
        ({"observe_only": 1}, "observe_only was 1, allowed: true or false"),
        ({"least_calls": 1.5}, "least_calls was 1.5, allowed: whole numbers 1 to 100000"),
        ({"disabled_rules": "cpu"}, "disabled_rules was 'cpu', allowed: a list of codes"),
    ],
)
def test_a_bad_setting_is_refused_in_one_line(given, message):
    with pytest.raises(ValueError, match=message):
        OptimizerConfig.of(given)
