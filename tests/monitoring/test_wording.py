"""Measures in words and in units a person reads."""

import pytest

from monitoring.wording import NOTHING, figure_words, measure_words, percent_words, size_words
from resources.core.readings import METRICS


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("host.cpu", "Machine, processor"),
        ("volume:data.disk_used", "Data volume, disk in use"),
        ("process:trading.rss", "Trading process, memory"),
        ("work:decision.p95", "Decision, p95"),
        ("work:http.p50", "HTTP, median"),
        ("queue:io.age", "I/O queue, oldest waits"),
        ("gpu:0.gpu", "GPU 0, in use"),
        ("database.size", "Database, size"),
        ("repeats", "repeats"),
    ],
)
def test_a_filed_key_reads_as_words(key, words):
    assert measure_words(key) == words


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("host.cpu", 0.0, "0.0 %"),
        ("host.cpu", 1.0, "100.0 %"),
        ("host.memory_available", 20_946_427_904, "19.5 GiB"),
        ("host.net_sent", 1536.0, "1.5 KiB/s"),
        ("work:decision.p95", 1377.04, "1,377.0 ms"),
        ("work:decision.throughput", 4.125, "4.12 a second"),
        ("queue:io.age", 120, "120.0 s"),
        ("process:web.threads", 1200, "1,200"),
        ("host.cpu", None, NOTHING),
    ],
)
def test_a_value_is_told_in_the_unit_of_its_key(key, value, words):
    assert figure_words(key, value) == words


def test_every_measure_has_words_without_an_underscore():
    assert [name for name in METRICS if "_" in measure_words(f"host.{name}")] == []


def test_sizes_step_by_1024_and_keep_their_sign():
    told = [size_words(n) for n in (0, 1023, 1024, 900 * 2**20, -5 * 2**30, 3000 * 2**40, None)]
    assert told == ["0 B", "1,023 B", "1.0 KiB", "900.0 MiB", "-5.0 GiB", "3,000.0 TiB", NOTHING]


def test_a_missing_fraction_is_a_dash_and_not_zero():
    assert (percent_words(None), percent_words(0)) == (NOTHING, "0.0 %")
