"""The client's stream: each frame once and in order, whatever happens to the connection."""

from __future__ import annotations

import json

import pytest

from tradeplatform_client import StreamRefused, Unreachable
from tradeplatform_client.stream import ConnectionCut, Stream


def frame(seq, topic="trades", **more):
    return {"seq": seq, "topic": topic, "at": 1_000 + seq, "data": {"n": seq}} | more


def snapshot(seq, epoch="e1"):
    return frame(seq, "snapshot", epoch=epoch)


class Socket:
    """Plays its frames, then is cut; notes what was said to it."""

    def __init__(self, *frames, code=1006):
        self.frames = list(frames)
        self.code = code
        self.said = []

    def send(self, text):
        self.said.append(json.loads(text))

    def receive(self):
        if not self.frames:
            raise ConnectionCut(self.code)
        return json.dumps(self.frames.pop(0))

    def close(self):
        pass


def stream_of(*sockets, **given):
    line = iter(sockets)
    pauses = []

    def connect():
        socket = next(line, None)
        if socket is None:
            raise ConnectionCut(1006, "gone")
        return socket

    stream = Stream("http://127.0.0.1", "t", connect=connect, pause=pauses.append, **given)
    stream.pauses = pauses
    return stream


def seen_of(stream):
    """Everything until nobody answers any more."""
    found = []
    with pytest.raises(Unreachable):
        for one in stream:
            found.append((one.topic, one.seq))
    return found


def test_the_first_frame_is_a_snapshot_and_frames_follow_by_number():
    socket = Socket(snapshot(5), frame(6), frame(7))
    stream = stream_of(socket, patience=0)
    assert seen_of(stream) == [("snapshot", 5), ("trades", 6), ("trades", 7)]
    assert (stream.seq, stream.epoch) == (7, "e1")
    assert socket.said == []


def test_frames_of_other_topics_that_were_under_way_are_left_out():
    socket = Socket(snapshot(5), frame(6, "equity"), frame(7))
    stream = stream_of(socket, patience=0, topics=["trades"])
    assert seen_of(stream) == [("snapshot", 5), ("trades", 7)]
    assert socket.said == [{"subscribe": ["trades"]}]


def test_after_a_cut_it_goes_on_where_it_was_and_nothing_comes_twice_or_out_of_order():
    """The socket's own snapshot and a frame of now stand before what was missed."""
    again = Socket(
        snapshot(9), frame(10), frame(8), frame(9), frame(10), {"pong": "resumed"}, frame(11)
    )
    stream = stream_of(Socket(snapshot(5), frame(6), frame(7)), again, patience=1)
    numbers = [seq for _, seq in seen_of(stream)]
    assert numbers == [5, 6, 7, 8, 9, 10, 11]
    assert again.said == [{"since": 7, "epoch": "e1"}, {"ping": "resumed"}]


def test_where_the_log_no_longer_reaches_back_a_new_snapshot_stands_for_what_was_missed():
    again = Socket(snapshot(900, "e2"), snapshot(901, "e2"), {"pong": "resumed"}, frame(902))
    stream = stream_of(Socket(snapshot(5)), again, patience=1)
    assert seen_of(stream) == [("snapshot", 5), ("snapshot", 901), ("trades", 902)]
    assert stream.epoch == "e2"


def test_numbers_that_begin_anew_are_taken_with_their_snapshot():
    stream = stream_of(Socket(snapshot(50), snapshot(0, "e2"), frame(1)), patience=0)
    assert seen_of(stream) == [("snapshot", 50), ("snapshot", 0), ("trades", 1)]


def test_a_stream_goes_on_from_what_an_earlier_one_remembered():
    socket = Socket(snapshot(9), frame(9), {"pong": "resumed"})
    stream = stream_of(socket, since=8, epoch="e1", topics=["trades"], patience=0)
    assert seen_of(stream) == [("trades", 9)]
    assert socket.said[0] == {"since": 8, "subscribe": ["trades"], "epoch": "e1"}


def test_a_stream_that_began_before_anything_was_published_goes_on_by_number():
    again = Socket(snapshot(2), frame(1), frame(2), {"pong": "resumed"})
    stream = stream_of(Socket(snapshot(0, "")), again, patience=1)
    assert [seq for _, seq in seen_of(stream)] == [0, 1, 2]
    assert again.said[0] == {"since": 0}


@pytest.mark.parametrize("code", [4401, 4403, 4408, 1007])
def test_what_no_new_try_mends_ends_it(code):
    stream = stream_of(Socket(code=code), Socket(snapshot(1)))
    with pytest.raises(StreamRefused) as raised:
        list(stream)
    assert raised.value.code == code
    assert stream.pauses == []


def test_pauses_grow_while_nobody_answers_and_start_anew_with_a_frame():
    stream = stream_of(Socket(), Socket(), Socket(snapshot(1)), patience=3)
    seen_of(stream)
    assert stream.pauses == [0.2, 0.4, 0.2, 0.4, 0.8]


def test_closing_it_ends_whoever_iterates():
    stream = stream_of(Socket(snapshot(1), frame(2)))
    assert next(iter(stream)).seq == 1
    stream.close()
    assert list(stream) == []
