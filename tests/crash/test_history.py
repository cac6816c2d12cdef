"""What was acknowledged against what was done: planted contradictions, one at a time (T6)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.crash.history import Act, Rows, Send, judge_history, read_rows

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


HALT = Act("halt", at(10), at(11), epoch=1)
RESUME = Act("resume", at(20), at(21), epoch=2)
CONTROL = frozenset({(1, "HALTED"), (2, "ACTIVE")})


def judged(*sends: Send, acts: tuple[Act, ...] = (HALT, RESUME)) -> list[str]:
    return judge_history(acts, Rows(sends, CONTROL | {(1, "REDUCING")}, frozenset()))


@pytest.mark.parametrize("purpose", ["entry", "exit"])
def test_send_begun_after_an_acknowledged_halt_is_named(purpose: str) -> None:
    """I-9, F-103."""
    (line,) = judged(Send("a", purpose, at(12)))
    assert "halt was acknowledged" in line


@pytest.mark.parametrize("second", [9.0, 10.5, 20.5, 25.0])
def test_send_before_during_or_after_the_halt_is_fine(second: float) -> None:
    """Between beginning and acknowledgement either order of the two is right."""
    assert judged(Send("a", "entry", at(second))) == []


def test_a_right_that_was_taken_with_the_stop_counts_from_then() -> None:
    """I-9, I-20: sent after the halt, cleared before it; one that was not cleared is named."""

    def query(sql: str) -> list[tuple[Any, ...]]:
        if "trades_orderevent" not in sql:
            return []
        cleared = {"cleared_at": at(9).isoformat()}
        late = at(12).replace(tzinfo=None).isoformat(" ")
        rows = [("a", json.dumps(cleared)), ("b", cleared), ("c", "{}")]
        return [(name, "exit", late, detail) for name, detail in rows]

    (line,) = judged(*read_rows(query).sends)
    assert line.startswith("exit c was sent")


def test_reducing_bars_entries_alone() -> None:
    """I-9."""
    acts = (Act("reduce", at(10), at(11), epoch=1), RESUME)
    assert judged(Send("a", "exit", at(12)), acts=acts) == []
    assert len(judged(Send("a", "entry", at(12)), acts=acts)) == 1


def test_nothing_is_concluded_from_an_act_without_an_answer() -> None:
    unanswered = Act("halt", at(10))
    assert judged(Send("a", "entry", at(12)), acts=(unanswered, RESUME)) == []
    maybe_resumed = (HALT, Act("resume", at(13)), RESUME)
    assert judged(Send("a", "entry", at(14)), acts=maybe_resumed) == []


def test_acknowledged_act_without_a_row_is_named() -> None:
    """I-17: each write that was acknowledged is visible after any crash."""
    assert judge_history((HALT,), Rows((), frozenset(), frozenset())) != []
    switched = Act("layer-on", at(1), at(2), version=3)
    assert judge_history((switched,), Rows((), frozenset(), frozenset({2}))) != []
    assert judge_history((switched,), Rows((), frozenset(), frozenset({3}))) == []
