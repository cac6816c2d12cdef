"""A copy of the tree in which a file may be wrong for a while, and who runs which of its lines."""

from __future__ import annotations

import ast
import compileall
import json
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import coverage

ROOT = Path(__file__).resolve().parent.parent.parent
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "var", "__pycache__", ".*_cache")
MEASURED = "engine,optimization"
# Tests that one process runs on the right code: few enough to end within a fork's limit.
TOGETHER = 10


@dataclass(slots=True)
class Reached:
    """Tests by the line they run and by the file, as ``tests/….py::name``; ``cost`` is how many
    lines each of them runs."""

    by_line: dict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    by_file: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    cost: Counter[str] = field(default_factory=Counter)

    def tests_of(self, name: str, line: int) -> list[str]:
        """Return the tests that run a line, those that run least first.

        Those of the file where no test is seen on its statement.
        """
        found: set[str] = set()
        for inside in range(_statement(name, line), line + 1):
            found |= self.by_line.get((name, inside), set())
        return sorted(
            found or self.by_file.get(name, set()), key=lambda test: (self.cost[test], test)
        )


def _statement(name: str, line: int) -> int:
    """Return the first line of the innermost statement that holds a line."""
    statements = (n for n in ast.walk(_parsed(name)) if isinstance(n, ast.stmt))
    around = [s.lineno for s in statements if s.lineno <= line <= (s.end_lineno or s.lineno)]
    return max(around, default=line)


@cache
def _parsed(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text())


class TestTree:
    """One copy; ``is_noticed`` may be called from one thread at a time. With ``database`` the tests
    that need one share its migration, which takes longer than most of them."""

    __test__ = False

    def __init__(self, folder: Path, *, database: bool = False) -> None:
        self._folder = folder
        self._more = ["database"] if database else []
        shutil.copytree(ROOT, folder, ignore=LEFT_OUT, symlinks=True)
        compileall.compile_dir(folder, quiet=2, maxlevels=20)
        # what is wrong for a while must not be kept as if it were right
        self._environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        self._forks = {temperature: self._started(temperature) for temperature in ("warm", "cold")}

    def _started(self, temperature: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.mutation.forks", temperature, *self._more],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        for forks in self._forks.values():
            forks.communicate()

    def reached(self, tests: Sequence[str]) -> Reached:
        """Run the tests on the right code and return what each of them runs.

        Raises:
            RuntimeError: one of them fails: nothing could be learned from it.
        """
        data = self._folder / "who-runs-what"
        command = [sys.executable, "-m", "coverage", "run", "--rcfile="]
        command += [f"--data-file={data}", f"--source={MEASURED}", "-m", "pytest", "-q"]
        command += ["-p", "tests.mutation.contexts", *tests]
        done = subprocess.run(
            command, cwd=self._folder, env=self._environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"the tests must pass on the right code: {done.stdout[-2000:]}")
        found = measured_lines(data, self._folder)
        # by name, as a mutant meets them: a name that is no test would pass for one that failed
        named = sorted(set().union(*found.by_file.values()))
        if self._status("", ["-q", "-x", *named]) != "0":
            raise RuntimeError("the tests must pass on the right code in a fork, by name, too")
        return found

    def is_noticed(self, name: str, text: str, tests: Sequence[str]) -> bool:
        """Plant one wrong text and run the tests; True where one of them fails or never ends."""
        status = self._planted(name, text, ["-q", "-x", *tests])
        if status == "late":
            sys.stderr.write(f"never ended: {name}\n")
        return status != "0"

    def failed(self, name: str, text: str, tests: Sequence[str]) -> tuple[str, ...]:
        """Plant one wrong text, run the tests and return the names of those that failed.

        A test with several cases is named once; ``never ended`` is the name of a run that did not.

        Raises:
            RuntimeError: the tests could not be run, which is no test that failed.
        """
        status = self._planted(name, text, self._reported(tests))
        if status == "late":
            return ("never ended",)
        if status not in ("0", "1"):
            raise RuntimeError(f"tests of {name} could not be run, pytest's status was {status}")
        return _failures(self._report)

    def failing(self, tests: Sequence[str]) -> tuple[str, ...]:
        """Run the tests on the right code, some at a time, and return those that fail.

        Raises:
            RuntimeError: some could not be run.
        """
        found: tuple[str, ...] = ()
        for first in range(0, len(tests), TOGETHER):
            found += self._failing(tests[first : first + TOGETHER])
        return found

    def _failing(self, tests: Sequence[str]) -> tuple[str, ...]:
        status = self._status("", self._reported(tests))
        if status in ("0", "1"):
            return _failures(self._report)
        if status != "late":
            raise RuntimeError(f"pytest's status was {status}, not 0 or 1: {', '.join(tests)}")
        if len(tests) == 1:
            return tuple(tests)
        # too much for one run, which says nothing of any of them
        return tuple(name for test in tests for name in self._failing([test]))

    @property
    def _report(self) -> Path:
        return self._folder / "failed.xml"

    def _reported(self, tests: Sequence[str]) -> list[str]:
        return ["-q", f"--junit-xml={self._report}", "-o", "junit_family=xunit1", *tests]

    def _planted(self, name: str, text: str, arguments: Sequence[str]) -> str:
        target = self._folder / name
        right, stamp = target.read_text(), target.stat()
        target.write_text(text)
        try:
            return self._status(name.removesuffix(".py").replace("/", "."), arguments)
        finally:
            target.write_text(right)
            os.utime(target, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    def _status(self, wrong: str, arguments: Sequence[str]) -> str:
        status = ""
        for forks in self._forks.values():
            assert forks.stdin is not None and forks.stdout is not None
            forks.stdin.write(json.dumps([wrong, arguments]) + "\n")
            forks.stdin.flush()
            status = forks.stdout.readline().strip()
            if status != "loaded":
                break
        return status


def _failures(report: Path) -> tuple[str, ...]:
    cases = ElementTree.parse(report).getroot().iter("testcase")
    names = (
        f"{case.get('file')}::{str(case.get('name')).partition('[')[0]}"
        for case in cases
        if case.find("failure") is not None
    )
    return tuple(dict.fromkeys(names))


def measured_lines(data: Path, folder: Path) -> Reached:
    """Return which tests run which lines, of a measurement whose contexts are names of tests."""
    found = Reached()
    measured = coverage.CoverageData(basename=str(data))
    measured.read()
    for path in measured.measured_files():
        name = str(Path(path).relative_to(folder))
        for line, contexts in measured.contexts_by_lineno(path).items():
            tests = {context for context in contexts if context}
            if tests:
                found.by_line[name, line] |= tests
                found.by_file[name] |= tests
                found.cost.update(tests)
    return found
