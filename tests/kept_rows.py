"""Rows that all tests of a file begin with, made once; what a test changes is rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction


@contextmanager
def kept_rows(blocker: Any) -> Iterator[None]:
    """Keep what is written inside until it is left; each test's own rows lie above it.

    For a fixture of a module's scope that asks for ``django_db_setup`` and ``django_db_blocker``,
    in a file whose tests need no transaction of their own.
    """
    with blocker.unblock():
        outermost = transaction.atomic()
        # as of a test case: code under test may still ask for the outermost transaction
        outermost._from_testcase = True  # type: ignore[attr-defined]
        with outermost:
            yield
            transaction.set_rollback(True)
