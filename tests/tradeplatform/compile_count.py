"""A pytest plugin that writes down what numba compiled: ``-p tests.tradeplatform.compile_count``.

What came out of the cache is not in the list; the file is named by ``COMPILED_FILE``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from numba.core import event

_compiled: list[str] = []


class _Listener(event.Listener):
    def on_start(self, event: Any) -> None:
        _compiled.append(f"{event.data['dispatcher'].py_func.__name__} {event.data['args']}")

    def on_end(self, event: Any) -> None: ...


event.register("numba:compile", _Listener())


def pytest_sessionfinish() -> None:
    Path(os.environ["COMPILED_FILE"]).write_text(json.dumps(_compiled))
