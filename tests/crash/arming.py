"""How the harness arms a failpoint in a trading process that is already running.

A file in the platform's folder; whichever trading process comes by first takes it, alone, by
renaming it. A process that was made to die this way needs no start of a worker with other
variables, which costs seconds, only a new pool process, which costs a fork.
"""

from __future__ import annotations

import os
from pathlib import Path

WISH = "failpoints.wanted"
TAKEN = "failpoints.taken"


def wish(folder: Path, places: str) -> None:
    """Ask the next trading process that comes by to arm ``places``."""
    unfinished = folder / f"{WISH}.new"
    unfinished.write_text(places)
    unfinished.replace(folder / WISH)


def withdraw(folder: Path) -> None:
    """Take back what nobody has taken."""
    (folder / WISH).unlink(missing_ok=True)


def take(folder: Path) -> str:
    """Return the places that are wished for, to one process only; empty where there are none."""
    mine = folder / f"{WISH}.{os.getpid()}"
    try:
        (folder / WISH).rename(mine)
    except FileNotFoundError:
        return ""
    places = mine.read_text()
    mine.write_text(str(os.getpid()))
    mine.rename(folder / TAKEN)
    return places


def taker(folder: Path) -> int | None:
    """Return the pid of the process that took the last wish, None while it is still there."""
    try:
        return int((folder / TAKEN).read_text())
    except (OSError, ValueError):
        return None


def forget(folder: Path) -> None:
    """Forget who took the last wish."""
    (folder / TAKEN).unlink(missing_ok=True)
