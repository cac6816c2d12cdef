"""The peak of memory that a replay reports is its own."""

from __future__ import annotations

import subprocess
import sys

from tradeplatform import peak_memory


def test_a_process_does_not_report_the_peak_of_the_one_that_began_it() -> None:
    """A benchmark that made a million candles first would else be what its replays took."""
    held = bytearray(b"x") * 200_000_000
    script = "import runpy, sys; print(runpy.run_path(sys.argv[1])['peak_rss_mb']())"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script, str(peak_memory.__file__)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert 1.0 < float(done.stdout) < 100.0
    assert peak_memory.peak_rss_mb() > len(held) / 1_048_576
