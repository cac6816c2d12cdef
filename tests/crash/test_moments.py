"""The places where a process may die, and what it noted before it did."""

from __future__ import annotations

import os
from pathlib import Path

from tests.crash import moments
from trades import failpoints


def test_every_place_where_a_process_may_die_is_a_moment() -> None:
    assert failpoints.NAMES - {"opt.mid_update"} <= moments.MOMENTS.keys()


def test_what_a_process_noted_is_read_after_it(tmp_path: Path) -> None:
    note = moments.noting(tmp_path)
    assert moments.place_of(tmp_path, os.getpid()) == ""
    note("oms.before_send")
    note("fills.mid")
    assert moments.place_of(tmp_path, os.getpid()) == "fills.mid"
