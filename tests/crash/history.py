"""What people did and what was sent, side by side: no act that was acknowledged is forgotten (T6).

An act with an answer happened between its beginning and its end; one without an answer may have
happened at any time after its beginning, so nothing is concluded from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.crash.database import Query

_STATE_OF = {"halt": "HALTED", "reduce": "REDUCING", "resume": "ACTIVE"}


@dataclass(frozen=True)
class Act:
    """One act of the person: when it was begun, and acknowledged (None: no answer came)."""

    do: str
    began: datetime
    done: datetime | None = None
    epoch: int = 0
    version: int = 0

    @property
    def sets_state(self) -> bool:
        return self.do in _STATE_OF

    @classmethod
    def read(cls, answer: dict[str, Any]) -> Act:
        """Return the act of an answer of ``tests.crash.person``."""
        return cls(
            do=answer["do"],
            began=datetime.fromisoformat(answer["began"]),
            done=datetime.fromisoformat(answer["done"]),
            epoch=answer.get("epoch", 0),
            version=answer.get("version", 0),
        )


@dataclass(frozen=True)
class Send:
    """One order on its way to the venue: ``at`` is when the right to send it was taken, which is
    when its position's stop was taken away for it, where that was."""

    client_order_id: str
    purpose: str
    at: datetime


@dataclass(frozen=True)
class Rows:
    """What is on disk after the last crash."""

    sends: Sequence[Send]
    control: frozenset[tuple[int, str]]
    versions: frozenset[int]


def read_rows(query: Query) -> Rows:
    """Read the database of a harness run."""
    sends = query(
        "SELECT o.client_order_id, o.purpose, e.at, e.detail FROM trades_orderevent e "
        "JOIN trades_order o ON o.id = e.order_id WHERE e.to_status = 'SENDING'"
    )
    control = query("SELECT epoch, to_state FROM trades_controlevent WHERE scope = 'global'")
    versions = query("SELECT version FROM accounts_settingsversion WHERE section = 'optimization'")
    return Rows(
        sends=[Send(name, purpose, _right_taken(at, said)) for name, purpose, at, said in sends],
        control=frozenset((epoch, state) for epoch, state in control),
        versions=frozenset(version for (version,) in versions),
    )


def judge_history(acts: Sequence[Act], rows: Rows) -> list[str]:
    """Return every contradiction between what was acknowledged and what was done."""
    return [*_sent_against_a_state(acts, rows.sends), *_forgotten(acts, rows)]


def _sent_against_a_state(acts: Sequence[Act], sends: Sequence[Send]) -> Iterator[str]:
    """No send that began after a halt was acknowledged, and before anything else was begun."""
    states = [act for act in acts if act.sets_state]
    last = datetime.max.replace(tzinfo=UTC)
    ends = [*(act.began for act in states), last][1:]
    for act, until in zip(states, ends, strict=True):
        if act.done is None or act.do == "resume":
            continue
        for send in sends:
            is_barred = act.do == "halt" or send.purpose == "entry"
            if is_barred and act.done < send.at < until:
                yield (
                    f"{send.purpose} {send.client_order_id} was sent at {send.at}, "
                    f"{act.do} was acknowledged at {act.done}"
                )


def _forgotten(acts: Sequence[Act], rows: Rows) -> Iterator[str]:
    """Every acknowledged write is on disk, whatever crashed since."""
    for act in acts:
        if act.done is None:
            continue
        if act.sets_state and (act.epoch, _STATE_OF[act.do]) not in rows.control:
            yield f"{act.do} acknowledged at {act.done} with epoch {act.epoch} is in no row"
        if not act.sets_state and act.version not in rows.versions:
            yield f"{act.do} acknowledged at {act.done} as version {act.version} is in no row"


def _right_taken(sent_at: str, detail: str | dict[str, Any]) -> datetime:
    """SQLite gives the event's detail as text, PostgreSQL as what it says."""
    said = json.loads(detail) if isinstance(detail, str) else detail
    cleared = said.get("cleared_at")
    return datetime.fromisoformat(cleared) if cleared else _utc(sent_at)


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
