"""Runs tests in forks of one process that has the libraries loaded already, never our own code.

``python -m tests.mutation.forks``: a line of JSON in (the arguments of pytest), a line out (its
exit status, or -1 where it took longer than ``LONGEST_S``).
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Sequence

# a mutant that turns an end into none must not hold up the rest
LONGEST_S = 120
LOADED = ("numpy", "numba", "pytest", "hypothesis", "django.db.models", "rest_framework", "celery")


def status_of(arguments: Sequence[str]) -> int:
    """Return pytest's exit status for these arguments, -1 where it had to be ended."""
    child = os.fork()
    if child == 0:
        os.setsid()
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        import pytest

        os._exit(int(pytest.main([*arguments, "-p", "no:cacheprovider"])))
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(child, signal.SIGKILL))
    signal.alarm(LONGEST_S)
    _, ended = os.waitpid(child, 0)
    signal.alarm(0)
    return -1 if os.WIFSIGNALED(ended) else os.WEXITSTATUS(ended)


def main() -> None:
    for name in LOADED:
        importlib.import_module(name)
    for line in sys.stdin:
        print(status_of(json.loads(line)), flush=True)


if __name__ == "__main__":
    main()
