"""The platform's own tests with the layer in the place of the base policy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PATHS = (
    "tests/engine/test_session.py",
    "tests/engine/phases/test_pipeline.py",
    "tests/engine/phases/test_final_decision.py",
    "tests/engine/phases/test_entry_gates.py",
)


@pytest.mark.slow
def test_tests_of_sessions_and_phases_pass_with_the_layer_on_too(tmp_path: Path) -> None:
    """OPT-45: the suite itself is the run with it off; here each session gets a whole layer."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         "-p", "tests.with_layer", *PATHS],
        cwd=ROOT,
        env={**os.environ, "TRADEPLATFORM_RESULTS": str(tmp_path / "results.json")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    passed, built = (re.search(text, done.stdout) for text in (r"(\d+) passed", r"built: (\d+)"))
    assert passed is not None and int(passed[1]) > 90
    assert built is not None and int(built[1]) > 200
