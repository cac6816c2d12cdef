"""What this process took of memory at its peak."""

from __future__ import annotations

import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_rss_mb() -> float:
    """Return the peak of this process's resident memory in MB, as the kernel counts it.

    Where there is no such count getrusage answers, whose peak of a process that another one began
    may be that of the other one.
    """
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
