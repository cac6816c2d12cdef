"""What the venue may answer, and what may be done to a process besides killing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil

VENUE_FAULTS = (
    {"op": "order.create", "verb": "accept_then_timeout", "args": {"hold_s": 1.5}},
    {"op": "order.create", "verb": "drop", "args": {"hold_s": 1.5}},
    {"op": "order.create", "verb": "5xx", "args": {"accept": True}},
    {"op": "order.create", "verb": "html", "args": {}},
    {"op": "order.create", "verb": "truncate", "args": {}},
    {"op": "order.create", "verb": "empty", "args": {}},
    {"op": "order.create", "verb": "delay", "args": {"ms": 700}},
    {"op": "order.create", "verb": "reject:-2010", "args": {}},
    {"op": "order.create", "verb": "429", "args": {"retry_after_s": 1}},
    {"op": "order.query", "verb": "5xx", "args": {}},
    {"op": "order.query", "verb": "not_found_lag", "args": {"lag_s": 3}},
    {"op": "myTrades", "verb": "5xx", "args": {}},
    {"op": "myTrades", "verb": "truncate", "args": {}},
    {"op": "account", "verb": "stale_balance", "args": {}},
    {"op": "order.fill", "verb": "partial", "args": {"fraction": "0.5"}},
)


@contextmanager
def limited(pids: list[int], size: int) -> Iterator[None]:
    """Let no file that these processes write grow beyond ``size`` bytes."""
    before: list[tuple[psutil.Process, tuple[int, int]]] = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            limits = process.rlimit(psutil.RLIMIT_FSIZE)
            process.rlimit(psutil.RLIMIT_FSIZE, (size, limits[1]))
        except psutil.NoSuchProcess:
            continue  # a pool process that was just replaced
        before.append((process, limits))
    try:
        yield
    finally:
        for process, limits in before:
            if process.is_running():
                process.rlimit(psutil.RLIMIT_FSIZE, limits)


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
