"""The kill switch as people reach it: at once, or by a file where the database does not answer.

A person who halts must not wait for a lock: the wait is cut to a second, and what could then not
be written is left as a file that every worker looks for before it sends (see ``halt_file``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError

from accounts.locks import brief_wait
from engine.ports import TradingState
from trades import halt_file
from trades.errors import ControlRefused
from trades.services import GLOBAL_SCOPE

T = TypeVar("T")


def changed_or_left(
    change: Callable[[], T], *, scope: str, state: str, actor: str, reason: str
) -> T | None:
    """Make the change; None where the database could not and a halt was left as a file instead.

    Raises:
        ControlRefused: it could not be written and is no halt: what loosens waits for the database.
            Or it would resume while the file is there.
    """
    refuse_beside_file(scope=scope, state=state)
    try:
        with brief_wait():
            return change()
    except DatabaseError as error:
        leave_halt(scope=scope, state=state, actor=actor, reason=reason, because=error)
        return None


def refuse_beside_file(*, scope: str, state: str) -> None:
    """Refuse to resume everything while a file says halt: it would be latched again at once.

    Raises:
        ControlRefused: the file is there.
    """
    held = halt_file.reason() if scope == GLOBAL_SCOPE else ""
    if held and state != TradingState.HALTED.value:
        raise ControlRefused(f"{held}, take it away first; it lies in the installation's folder")


def leave_halt(*, scope: str, state: str, actor: str, reason: str, because: DatabaseError) -> None:
    """Leave the halt as a file.

    Raises:
        ControlRefused: the state is none that tightens, or no reason was given.
    """
    tightens = (TradingState.HALTED.value, TradingState.REDUCING.value)
    if state not in tightens:
        text = str(because).strip().splitlines()[0] if str(because).strip() else "no answer"
        raise ControlRefused(f"the database did not take it ({text}), try again") from because
    if not reason.strip():
        raise ControlRefused("reason was empty, a change of the control state needs one")
    halt_file.leave(scope=scope, state=state, actor=actor, reason=reason)
