"""What a trading process is doing when it is killed: it notes each place it comes by.

The note is a few bytes in a file of its own, which outlive a SIGKILL. Places are the product's
failpoints and a few more that ``tests.crash.scripted`` puts around an advance and an event.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from trades import failpoints

FOLDER = "moments"
NOTE_BYTES = 24
BEGINNING, WAITING, DECIDING, BETWEEN = "session.begin", "advance.end", "event.begin", "event.end"

STARTING = "building a session"
UNBORN = "waiting for the lease"
IDLE = "idle"
CLAIMED = "after the claim, no answer yet"
MOMENTS = {
    "": UNBORN,
    BEGINNING: STARTING,
    "lease.after_take": IDLE,
    WAITING: IDLE,
    BETWEEN: IDLE,
    "recon.start": "reconciling",
    "recon.each_step": "reconciling",
    "recon.end": IDLE,
    DECIDING: "deciding, before anything is written",
    "fills.before": "booking fills",
    "fills.mid": "booking fills",
    "fills.after": "booking fills",
    "signal.after_persist": "within the event's transaction",
    "event.before_commit": "within the event's transaction",
    "event.after_commit": "between commit and claim",
    "oms.before_claim": "claiming",
    "oms.before_send": CLAIMED,
    "oms.after_send": "answered, not recorded",
    "oms.after_record": "between commit and claim",
    "cancel.before_send": "cancelling",
    "cancel.after_send": "cancelling",
    "stop.between": "cancelling",
}
# Where an order, a cancel or a fill is on its way: what a random kill should meet often.
BUSY = frozenset(
    place for place in MOMENTS if place.startswith(("oms.", "cancel.", "fills.", "stop."))
)


def noting(folder: Path) -> Callable[[str], None]:
    """Return how this process notes a place."""
    descriptor = _descriptor(folder / FOLDER, os.getpid())
    return lambda place: _write(descriptor, place)


def arm_notes(folder: Path, more: dict[str, failpoints.Armed]) -> None:
    """Have every failpoint of this process noted, besides what ``more`` does at some of them."""
    note = noting(folder)
    failpoints.arm({**{name: failpoints.Armed(note, 0) for name in failpoints.NAMES}, **more})


def place_of(folder: Path, pid: int) -> str:
    """Return the last place a process came by; empty where it has not begun a session."""
    try:
        return (folder / FOLDER / str(pid)).read_text().strip()
    except FileNotFoundError:
        return ""


@cache
def _descriptor(folder: Path, pid: int) -> int:
    folder.mkdir(exist_ok=True)
    return os.open(folder / str(pid), os.O_WRONLY | os.O_CREAT, 0o600)


def _write(descriptor: int, place: str) -> None:
    os.pwrite(descriptor, place.ljust(NOTE_BYTES).encode(), 0)
