"""Health is the worst of all checks."""

import pytest

from resources.core.health import Check, Health, assess
from resources.core.readings import MetricVector

CPU, MEMORY = Check("host.cpu", 0.8, 0.9), Check("host.memory_used", 0.85, 0.95)
LEFT = Check("host.memory_available", 2e9, 1e9)


def level(values, *checks):
    return assess(MetricVector.of(0, values), checks).level


def test_a_later_check_never_softens_an_earlier_one():
    """ORC-31: the predecessor called a critical processor a warning because of the memory."""
    values = {"host.cpu": 0.95, "host.memory_used": 0.86}
    assert level(values, CPU, MEMORY) is Health.CRITICAL
    assert level(values, MEMORY, CPU) is Health.CRITICAL
    assert level({"host.cpu": 0.5, "host.memory_used": 0.86}, CPU, MEMORY) is Health.WARNING
    assert level({"host.cpu": 0.5, "host.memory_used": 0.5}, CPU, MEMORY) is Health.HEALTHY


def test_without_samples_health_is_unknown():
    """ORC-31"""
    assert assess(None, [CPU]).level is Health.UNKNOWN
    assert assess(None, []).level is Health.UNKNOWN
    assert level({"host.cpu": None, "host.memory_used": 0.2}, CPU, MEMORY) is Health.UNKNOWN


def test_what_this_machine_does_not_have_is_not_held_against_it():
    """ORC-26"""
    gpu = Check("gpu:0.gpu", 0.9, 0.97, is_required=False)
    assert level({"host.cpu": 0.1}, CPU, gpu) is Health.HEALTHY


@pytest.mark.parametrize(
    ("left", "expected"),
    [(2e9, Health.HEALTHY), (1.9e9, Health.WARNING), (1e9, Health.WARNING), (9e8, Health.CRITICAL)],
)
def test_of_what_should_be_plenty_less_is_worse_and_a_limit_itself_is_fine(left, expected):
    assert level({"host.memory_available": left}, LEFT) is expected
