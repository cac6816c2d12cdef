"""The host's readings against what the system itself says."""

import time

import psutil
import pytest

from resources.sampling.host import HostSampler


def read(sampler):
    return {reading.key: reading.value for reading in sampler.read(0)}


def test_the_processors_share_matches_what_was_burnt(tmp_path):
    """ORC-22"""
    sampler = HostSampler({"data": tmp_path})
    assert read(sampler)["host.cpu"] is None
    psutil.cpu_percent(None)
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        pass
    told, theirs = read(sampler)["host.cpu"], psutil.cpu_percent(None) / 100.0
    assert told == pytest.approx(theirs, abs=0.10)
    assert told > 0.9 / psutil.cpu_count()


def test_memory_and_disk_are_as_the_system_tells_them(tmp_path):
    """ORC-23, ORC-24"""
    told, memory = read(HostSampler({"data": tmp_path})), psutil.virtual_memory()
    assert told["host.memory_available"] == pytest.approx(memory.available, rel=0.05)
    assert told["host.memory_used"] == pytest.approx(1 - memory.available / memory.total, abs=0.02)
    usage = psutil.disk_usage(str(tmp_path))
    assert told["volume:data.disk_free"] == pytest.approx(usage.free, rel=0.01)
    assert told["volume:data.disk_used"] == pytest.approx(usage.percent / 100, abs=0.01)


def test_a_volume_that_cannot_be_read_is_not_told_as_empty(tmp_path):
    """ORC-24"""
    told = read(HostSampler({"data": tmp_path / "gone"}))
    assert told["volume:data.disk_used"] is None


def test_network_figures_are_rates_not_totals(monkeypatch, tmp_path):
    """ORC-25"""
    totals, clock = [(10_000, 500), (16_000, 800), (1_000, 900)], iter([0.0, 2.0, 4.0])
    counters = iter(totals)

    class Counters:
        def __init__(self, received, sent):
            self.bytes_recv, self.bytes_sent = received, sent

    monkeypatch.setattr(psutil, "net_io_counters", lambda: Counters(*next(counters)))
    sampler = HostSampler({}, monotonic=lambda: next(clock))
    assert read(sampler)["host.net_received"] is None
    second = read(sampler)
    assert (second["host.net_received"], second["host.net_sent"]) == (3_000.0, 150.0)
    assert read(sampler)["host.net_received"] == 0.0
