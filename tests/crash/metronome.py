"""The market's clock under the harness: a bar closes when the platform has taken the one before.

On a busy machine a clock that runs by itself leaves the platform behind, and on old bars nobody
enters. Here every bar is traded on, however slow the machine; while nobody trades at all the market
goes on at a slow pace, so that whoever takes over finds bars that he missed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.crash.platform import Platform

# After how long a bar closes although the one before was not taken.
ANYHOW_S = 1.5


@contextmanager
def metronome(platform: Platform, bars_per_s: float) -> Iterator[None]:
    """Close at most ``bars_per_s`` bars a second while the body runs."""
    done = threading.Event()
    beat = threading.Thread(target=_beat, args=(platform, bars_per_s, done), name="metronome")
    beat.start()
    try:
        yield
    finally:
        done.set()
        beat.join()


def _beat(platform: Platform, bars_per_s: float, done: threading.Event) -> None:
    last_s = time.monotonic()
    while not done.wait(1 / bars_per_s):
        if platform.bars_behind() > 0 and time.monotonic() - last_s < ANYHOW_S:
            continue
        try:
            platform.admin("POST", "/clock/step", {"bars": 1})
        except OSError:
            continue  # the exchange is dead or frozen: no bar closes
        last_s = time.monotonic()
