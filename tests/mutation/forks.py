"""Runs tests in forks of one process that has loaded before what no mutant touches.

``python -m tests.mutation.forks cold|warm [database]``: a line of JSON in (the module that is
wrong, and the arguments of pytest), a line out: pytest's exit status, ``late`` where it took longer
than it may, ``loaded`` where the module was loaded already, so that its mutant would not be seen.
``cold`` has loaded libraries only; ``warm`` has loaded Django and the engine too. With ``database``
what is warm migrates a database once, of which every run gets a copy: SQLite only.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import resource
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

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


class Database:
    """The migrated database of the tests, as a file that is copied before each run."""

    def __init__(self) -> None:
        settings = importlib.import_module("django.conf").settings
        self._used = Path(settings.DATABASES["default"]["TEST"]["NAME"])
        self._kept = self._used.with_name("migrated.sqlite3")
        child = os.fork()
        if child == 0:
            setup = importlib.import_module("django.test.utils").setup_databases
            setup(verbosity=0, interactive=False, keepdb=True)
            importlib.import_module("django.db").connections.close_all()
            os._exit(0)
        os.waitpid(child, 0)
        self._used.rename(self._kept)

    def renew(self) -> list[str]:
        """Put a copy in place; return the argument that makes pytest take it as it is."""
        for left in self._used.parent.glob(f"{self._used.name}*"):
            left.unlink()
        shutil.copyfile(self._kept, self._used)
        return ["--reuse-db"]


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
    database = Database() if sys.argv[1:] == ["warm", "database"] else None
    for line in sys.stdin:
        wrong, arguments = json.loads(line)
        if wrong in sys.modules:
            print("loaded", flush=True)
        else:
            kept = database.renew() if database else []
            print(status_of([*arguments, *kept]), flush=True)


if __name__ == "__main__":
    main()
