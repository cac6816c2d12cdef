"""The process that forks the others, and the places it notes: what a fork must not share."""

from __future__ import annotations

import socket
import threading

import pytest

from tests import zygote


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
