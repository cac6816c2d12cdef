"""Whose processes are read, and what of them."""

import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from resources.sampling.processes import ProcessSampler, installation_pids

BURN = """import time
b = bytearray(60_000_000)
t = time.monotonic() + 30
while time.monotonic() < t: pass
"""


@pytest.fixture
def burner():
    child = subprocess.Popen([sys.executable, "-c", BURN])
    time.sleep(0.5)
    yield child
    child.kill()
    child.wait()


def test_a_processes_share_and_memory_match_the_system(burner):
    """ORC-22, ORC-23"""
    sampler = ProcessSampler(lambda: {"burner": burner.pid})
    sampler.read(0)
    theirs = psutil.Process(burner.pid)
    before, began = sum(theirs.cpu_times()[:2]), time.monotonic()
    time.sleep(1.0)
    told = {r.key: r.value for r in sampler.read(0)}
    expected = (sum(theirs.cpu_times()[:2]) - before) / (time.monotonic() - began)
    assert told["process:burner.cpu"] == pytest.approx(expected, abs=0.15)
    assert told["process:burner.cpu"] > 0.05
    assert told["process:burner.rss"] == pytest.approx(theirs.memory_info().rss, rel=0.05)
    assert told["process:burner.rss"] > 60_000_000


def test_a_process_that_ends_is_told_as_unknown_then_left_out(burner):
    pids = {"burner": burner.pid}
    sampler = ProcessSampler(lambda: dict(pids))
    sampler.read(0)
    burner.kill()
    burner.wait()
    assert {r.value for r in sampler.read(0)} == {None}
    pids.clear()
    assert sampler.read(0) == []


def test_only_children_of_our_own_supervisor_are_read(tmp_path):
    """I-28: a number in a file may be a stranger's by now."""
    (tmp_path / "children.json").write_text(json.dumps({"trading": 1, "general": None, "web": "x"}))
    assert installation_pids(tmp_path) == {"up": os.getppid()}
    assert installation_pids(tmp_path / "none") == {"sampler": os.getpid()}
