"""Who runs a line is told by the name that runs that test again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.mutation.trees import ROOT, measured_lines

DOUBLED = "def doubled(number):\n    return number * 2\n"
TESTS = """
import pytest
from hypothesis import given, settings, strategies as st
from room import doubled

@settings(max_examples=2)
@given(st.integers())
def test_property(number):
    assert doubled(number) == number + number

@pytest.mark.parametrize("number", [1, 2])
def test_each(number):
    assert doubled(number) == number + number
"""


def test_the_lines_of_a_property_test_are_of_that_test_by_its_name(tmp_path: Path) -> None:
    """OPT-44: Hypothesis has a function whose name begins with "test", which is no test; a name
    that cannot be run looked like a test that failed, so that every such mutant was noticed."""
    (tmp_path / "room.py").write_text(DOUBLED)
    (tmp_path / "test_room.py").write_text(TESTS)
    command = [sys.executable, "-m", "coverage", "run", "--rcfile=", "--data-file=data"]
    command += ["--include=room.py", "-m", "pytest", "-q", "-c", os.devnull, "--rootdir=."]
    command += ["-p", "tests.mutation.contexts", "-p", "no:django", "test_room.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    found = measured_lines(tmp_path / "data", tmp_path)
    both = {"test_room.py::test_property", "test_room.py::test_each"}
    assert found.by_line["room.py", 2] == both
    assert found.by_file == {"room.py": both}
