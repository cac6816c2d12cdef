"""Twenty kills of a trading platform: both ledgers agree afterwards."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.harness import run

pytestmark = [pytest.mark.crash, pytest.mark.slow]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because the path of a unix socket may have 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="tpc-"))
    yield path
    shutil.rmtree(path)


def test_twenty_kills_double_no_order_and_lose_no_fill(folder: Path) -> None:
    """ORC-76, F-002, F-009, F-011, F-021, F-022, I-2, I-3, I-5: two workers, real processes.

    The workers, their pool processes, the broker, beat and the exchange are killed, frozen and
    made to die at named places, while the venue answers late, wrongly or not at all, the disk is
    full, the database is held, a message comes three times and a person halts and resumes.
    """
    document = run(kills=20, seed=1, folder=folder / "var")
    print(json.dumps(document))
    assert document["kills"] >= 20
    assert document["orders"] >= 10, "a platform that does not trade proves nothing"
    assert document["details"] == []
    assert document["breaches"] == []
    assert (document["doubled"], document["lost_fills"]) == (0, 0)
    # no intent is left hanging, and the venue has no order that no row intended
    assert (document["unsettled"], document["unknown_orders"]) == (0, 0)
    assert document["equity_error"] == "0"
