"""A plugin of pytest: says to the running measurement which test a line is run by.

``coverage``'s own way takes the first function whose name begins with "test", which within a
property test is one of Hypothesis and no test at all.
"""

from __future__ import annotations

from collections.abc import Iterator

import coverage
import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    running = coverage.Coverage.current()
    if running is None:
        raise RuntimeError("lines can be told apart by test under coverage only")
    # its parameters are left out: whoever runs a test again runs it with all of them
    running.switch_context(item.nodeid.partition("[")[0])
    done = yield
    running.switch_context("")
    return done
