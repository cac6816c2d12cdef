"""Runs tests in forks of one process that has loaded before what no mutant touches.

``python -m tests.mutation.forks cold|warm``: a line of JSON in (the module that is wrong, and the
arguments of pytest), a line out: pytest's exit status, ``late`` where it took longer than it
may, ``loaded`` where the module was loaded already, so that its mutant would not be seen.
``cold`` has loaded libraries only; ``warm`` has loaded Django and the engine too.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import resource
import signal
import sys
from collections.abc import Sequence

import numba

# a mutant that turns an end into none must not hold up the rest; processor time, for a machine
# that others use too makes a test late without any fault of it, and a limit for who only waits
LONGEST_S, LONGEST_WAIT_S = 120, 900
LIBRARIES = (
    "numpy",
    "pytest",
    "hypothesis",
    "schemathesis",
    "scipy.linalg",
    "django.db.models",
    "rest_framework",
)
# nothing to keep between runs, and no look at every object of a process that ends at once
PLUGINS = ("-p", "no:cacheprovider", "-p", "no:unraisableexception")


def status_of(arguments: Sequence[str]) -> str:
    """Return pytest's exit status for these arguments, ``late`` where it had to be ended."""
    child = os.fork()
    if child == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (LONGEST_S, LONGEST_S))
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        import pytest

        os._exit(int(pytest.main([*arguments, *PLUGINS])))
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(child, signal.SIGKILL))
    signal.alarm(LONGEST_WAIT_S)
    _, ended = os.waitpid(child, 0)
    signal.alarm(0)
    return "late" if os.WIFSIGNALED(ended) else str(os.WEXITSTATUS(ended))


def load(temperature: str) -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    # the compiler sets itself up at its first function
    numba.njit(lambda number: number + 1)(1)
    if temperature == "warm":
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings_test"
        importlib.import_module("django").setup()
        engine = importlib.import_module("engine")
        for module in pkgutil.walk_packages(engine.__path__, "engine."):
            importlib.import_module(module.name)


def main() -> None:
    load(sys.argv[1])
    for line in sys.stdin:
        wrong, arguments = json.loads(line)
        print("loaded" if wrong in sys.modules else status_of(arguments), flush=True)


if __name__ == "__main__":
    main()
