"""Shared by the whole suite: where real data is, and what `manage.py acceptance` reads."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.flush import _flush_lifts_the_audit_triggers  # noqa: F401 (a fixture for all)
from tradeplatform.acceptance import ids_in, results_path
from tradeplatform.version import code_version

ROOT = Path(__file__).resolve().parent.parent
LONGEST = "tests/trades/test_killed_processes.py"


class ResultsFile:
    """Writes one line a test after the run: its id, the contract rows it carries, its outcome."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tests: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        known = self._tests.get(report.nodeid)
        if known is None or report.failed or (report.when == "call" and report.skipped):
            ids = dict(report.user_properties).get("contract_ids", [])
            outcome = "failed" if report.failed else "skipped" if report.skipped else "passed"
            self._tests[report.nodeid] = {"test": report.nodeid, "ids": ids, "outcome": outcome}

    def pytest_sessionfinish(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        document = {
            "commit": code_version(ROOT),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "tests": [self._tests[name] for name in sorted(self._tests)],
        }
        scratch = self._path.with_suffix(".new")
        scratch.write_text(json.dumps(document, indent=0))
        scratch.replace(self._path)


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    is_whole = config.args_source is not pytest.Config.ArgsSource.ARGS and not (
        config.option.keyword or config.option.markexpr or config.getoption("lf", False)
    )
    # part of the suite must not pass for the whole of it
    path = results_path(ROOT)
    if not is_whole and not os.environ.get("TRADEPLATFORM_RESULTS"):
        path = path.with_stem("test-results-partial")
    config.pluginmanager.register(ResultsFile(path), "contract-results")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        function = getattr(item, "function", None)
        owner = getattr(item, "cls", None)
        ids = ids_in(item.name, getattr(function, "__doc__", ""), getattr(owner, "__doc__", ""))
        item.user_properties.append(("contract_ids", ids))
    # Playwright keeps an event loop running until the session ends; after it no asyncio test can
    # start one of its own.
    items.sort(key=lambda item: "tests/browser/" in item.nodeid)
    # A file of minutes that one process works through alone: begun last, all others wait for it.
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture(scope="session")
def market_data() -> Path:
    """The folder of real recorded markets (D-44); tests that need it skip where it is not."""
    named = os.environ.get("TRADEPLATFORM_MARKET_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "market"
    if not folder.is_dir():
        pytest.skip(f"no market data at {folder}; TRADEPLATFORM_MARKET_DATA names the folder")
    return folder
