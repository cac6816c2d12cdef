"""How long the database takes: every statement is timed, the slow ones are kept (ORC-43).

Slow statements wait in a bounded list of the process until the sampler's service takes them:
writing a row about a slow query inside its own transaction would make it slower.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.backends.signals import connection_created

from resources.counters import counters_dir, work

_VALUES = re.compile(r"'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b")
_LISTS = re.compile(r"\((?:\s*(?:%s|\?|#)\s*,?)+\)")
_LONGEST = 2_000
_MOST_BYTES = 256_000
_SUFFIX = ".slow"


def signature_of(statement: str) -> tuple[str, str]:
    """Return (SHA-256, text) of a statement without its values: they may be secret."""
    text = _LISTS.sub("(…)", _VALUES.sub("#", statement))[:_LONGEST]
    return hashlib.sha256(text.encode()).hexdigest(), text


class QueryWatch:
    """Django's ``execute_wrapper``: times each statement, notes the slow ones in a file."""

    def __init__(self, folder: Path, slow_s: float) -> None:
        self._folder = folder
        self._slow_s = slow_s

    def __call__(
        self,
        execute: Callable[..., Any],
        sql: str,
        params: Any,
        many: bool,
        context: dict[str, Any],
    ) -> Any:
        began, failed = time.monotonic(), True
        try:
            result = execute(sql, params, many, context)
            failed = False
            return result
        finally:
            took_s = time.monotonic() - began
            work().add("query", took_s, failed=failed)
            if took_s >= self._slow_s:
                self._note(str(sql), took_s)

    def _note(self, statement: str, took_s: float) -> None:
        _, text = signature_of(statement)
        line = json.dumps({"sql": text, "ms": took_s * 1000.0, "at": time.time()})
        path = self._folder / f"{os.getpid()}{_SUFFIX}"
        try:
            if not path.exists() or path.stat().st_size < _MOST_BYTES:
                with open(path, "a", encoding="utf-8") as file:
                    file.write(line + "\n")
        except OSError:
            # a full disk: what is lost is a line about slowness, never a statement
            return


def slow_lines(folder: Path) -> list[dict[str, Any]]:
    """Take what all processes noted, each line once; half a line of a full disk is left out."""
    taken: list[dict[str, Any]] = []
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        aside = path.with_suffix(".taken")
        try:
            os.replace(path, aside)
            lines = aside.read_text(encoding="utf-8").splitlines()
            aside.unlink()
        except OSError:
            continue
        for line in lines:
            try:
                found = json.loads(line)
                taken.append({k: found[k] for k in ("sql", "ms", "at")})
            except (ValueError, KeyError, TypeError):
                continue
    return taken


def watch_queries() -> None:
    """Time every statement of every connection this process opens."""
    watch = QueryWatch(counters_dir(), settings.SLOW_QUERY_MS / 1000.0)

    def install(connection: Any, **_: Any) -> None:
        if not any(isinstance(w, QueryWatch) for w in connection.execute_wrappers):
            connection.execute_wrappers.append(watch)

    connection_created.connect(install, weak=False, dispatch_uid="resources.queries")
