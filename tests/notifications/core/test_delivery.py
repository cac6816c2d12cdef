"""Pauses between tries, and several messages as one text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from notifications.core.delivery import digest_text, is_given_up, wait_after

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def test_a_channel_rests_longer_each_time_up_to_a_quarter_of_an_hour() -> None:
    waits = [wait_after(n).total_seconds() for n in (0, 1, 2, 3, 7, 8, 1_000_000)]
    assert waits == [0, 10, 20, 40, 640, 900, 900]


def test_a_message_is_given_up_after_a_day_and_not_before() -> None:
    assert not is_given_up(AT, AT + timedelta(hours=23, minutes=59))
    assert is_given_up(AT, AT + timedelta(hours=24))


def test_a_digest_has_a_line_each_and_says_what_it_left_out() -> None:
    lines = [(AT + timedelta(minutes=n), f"message {n}\nsecond line") for n in range(3)]
    assert digest_text(lines).splitlines() == [
        "12:00 message 0 · second line",
        "12:01 message 1 · second line",
        "12:02 message 2 · second line",
    ]
    many = [(AT, f"message {n} {'x' * 400}") for n in range(50)]
    text = digest_text(many)
    assert len(text) <= 1_800
    shown = text.splitlines()[1:]
    assert text.startswith(f"… {50 - len(shown)} earlier ones stand on the page")
    assert shown[-1].startswith("12:00 message 49 ")
    assert all(line.endswith("…") for line in shown)
