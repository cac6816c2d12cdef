from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.practice_process import PracticeProcess, practice_process
from tests.trades.order_factory import World, make_run


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PracticeProcess]:
    with practice_process(tmp_path_factory.mktemp("practice")) as process:
        yield process


@pytest.fixture
def practice(running: PracticeProcess) -> Iterator[PracticeProcess]:
    """The module's exchange without faults, on bars that no earlier test traded on."""
    running.clear_faults()
    running.step(5)
    yield running
    idle = [f for f in running.admin("GET", "/fault")["faults"] if f["fired"] == 0]
    running.clear_faults()
    assert idle == [], "a fault that never struck proves nothing"


@pytest.fixture
def world(db: Any, practice: PracticeProcess) -> World:
    now_ms = practice.status()["server_time_ms"]
    return World(make_run(), practice.client(timeout_s=1.0), now_ms)
