from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.practice_process import PracticeProcess, practice_process


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PracticeProcess]:
    """One exchange a test module: starting a process costs a second."""
    with practice_process(tmp_path_factory.mktemp("practice")) as process:
        yield process


@pytest.fixture
def practice(running: PracticeProcess) -> Iterator[PracticeProcess]:
    """The module's exchange, without the faults of the test before."""
    running.clear_faults()
    yield running
    running.clear_faults()


@pytest.fixture
def client(practice: PracticeProcess) -> Any:
    return practice.client()


@pytest.fixture
def own_practice(tmp_path: Path) -> Iterator[PracticeProcess]:
    """An exchange of the test's own, with fresh balances."""
    with practice_process(tmp_path / "state") as process:
        yield process
