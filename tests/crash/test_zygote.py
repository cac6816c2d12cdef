"""The process that forks the others, and the places it notes: what a fork must not share."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from tests.crash import moments, zygote
from trades import failpoints


def test_a_second_thread_is_named_before_the_first_fork() -> None:
    done = threading.Event()
    second = threading.Thread(target=done.wait)
    second.start()
    try:
        with pytest.raises(zygote.NotForkable, match="threads were running, allowed: 1"):
            zygote.assert_forkable(set())
    finally:
        done.set()
        second.join()


def test_an_open_socket_is_named_unless_it_is_the_one_it_is_asked_over() -> None:
    before = set(zygote.sockets_besides(set()))
    with socket.socket() as one, socket.socket() as ours:
        assert zygote.sockets_besides(before | {ours.fileno()}) == [one.fileno()]


def test_every_place_where_a_process_may_die_is_a_moment() -> None:
    assert failpoints.NAMES - {"opt.mid_update"} <= moments.MOMENTS.keys()


def test_what_a_process_noted_is_read_after_it(tmp_path: Path) -> None:
    note = moments.noting(tmp_path)
    assert moments.place_of(tmp_path, os.getpid()) == ""
    note("oms.before_send")
    note("fills.mid")
    assert moments.place_of(tmp_path, os.getpid()) == "fills.mid"
