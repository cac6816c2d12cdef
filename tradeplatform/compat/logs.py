"""The newest log lines of this installation's processes, as rows; secrets are removed again.

``up`` keeps a file for each child; under another supervisor there is none, and the list is empty.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# of each file: the end of it, so that an answer costs the same however old the installation is
TAIL_BYTES = 64 * 1024
MOST_LINES = 1_000
_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) ([A-Z]+) (\S+) (.*)$")


def log_rows(folder: Path, limit: int, cleaned: Callable[[str], str]) -> list[list[Any]]:
    """Return at most ``limit`` rows ``[date, ts_ms, logger, level, text]``, oldest first.

    ``cleaned`` takes secrets out of a text.

    What follows a line without a date of its own (a stack trace) is left out.
    """
    rows = [row for path in sorted(folder.glob("*.log")) for row in _rows_of(path)]
    rows.sort(key=lambda row: row[1])
    newest = rows[-limit:] if limit else []
    return [[*row[:4], cleaned(row[4])] for row in newest]


def _rows_of(path: Path) -> list[list[Any]]:
    found = (_LINE.match(line) for line in _tail(path).splitlines())
    return [_row(match, path.stem) for match in found if match]


def _row(match: re.Match[str], process: str) -> list[Any]:
    at = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    ts_ms = int(at.timestamp()) * 1000 + int(match[2])
    return [match[1], ts_ms, f"{process}.{match[4]}", match[3], match[5]]


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - TAIL_BYTES, 0))
        return file.read().decode("utf-8", errors="replace")
