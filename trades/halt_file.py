"""The kill switch as a file: while it is there nothing leaves, whatever the database can say.

A person's file ``HALT`` in the installation's folder halts everything and is latched into the
control state; taking it away resumes nothing. Where the control state cannot be written (the
database is locked or gone) the page, the API and the commands leave a file of their own instead,
``HALT-pending``: all is halted while it waits, and the next worker that can write latches what was
asked and takes the file away. Workers look for both before each send.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from engine.ports import TradingState
from trades.errors import ControlRefused
from trades.models import ControlState
from trades.services import GLOBAL_SCOPE, control_set

logger = logging.getLogger(__name__)
NAME = "HALT"
PENDING = "HALT-pending"
REASON_CODE = "HALT_FILE"
_MAX_REASON = 500


def by_hand() -> Path:
    """Return where a person puts the file."""
    return Path(settings.VAR_DIR) / NAME


def pending() -> Path:
    """Return where an order to halt waits that the database did not take."""
    return Path(settings.VAR_DIR) / PENDING


def reason() -> str:
    """Say why nothing may leave, empty where no file is there.

    A folder that cannot be read counts as one with the file: what cannot be evaluated denies.
    """
    try:
        if pending().exists():
            return f"a halt waits in {PENDING} for the database"
        return f"the file {NAME} is there" if by_hand().exists() else ""
    except OSError as error:
        return f"the folder of the file {NAME} cannot be read: {error.strerror}"


def leave(*, scope: str, state: str, actor: str, reason: str) -> None:
    """Leave a halt for whoever can write it; a second one is added, the first stays.

    Raises:
        OSError: the folder cannot be written.
    """
    line = json.dumps({"scope": scope, "state": state, "actor": actor, "reason": reason})
    path = pending()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
    logger.error("halt left in %s scope=%s state=%s actor=%s", path.name, scope, state, actor)


def latch() -> None:
    """Write what the files ask into the control state; nothing where none is there.

    The waiting file goes once its rows are committed, the person's own file stays. What they ask
    never loosens a state. Safe to repeat.
    """
    if by_hand().exists():
        _latch(GLOBAL_SCOPE, TradingState.HALTED, "file", f"the file {NAME} was there")
    path = pending()
    if not path.exists():
        return
    size = path.stat().st_size
    with transaction.atomic():
        for asked in _asked(path):
            _latch(asked["scope"], asked["state"], asked["actor"], asked["reason"])
        transaction.on_commit(lambda: _take_away(path, size))


def _take_away(path: Path, size: int) -> None:
    """Remove the waiting file, unless another halt was added meanwhile: it is latched next."""
    if path.exists() and path.stat().st_size == size:
        path.unlink()


def _asked(path: Path) -> list[dict[str, Any]]:
    """Return what the file asks; a line that cannot be read halts everything."""
    found: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
            state = TradingState(row["state"])
            found.append({**row, "state": state, "reason": str(row["reason"])[:_MAX_REASON]})
        except (ValueError, TypeError, KeyError):
            text = f"a line of {PENDING} could not be read: {line[:100]!r}"
            found.append(
                {
                    "scope": GLOBAL_SCOPE,
                    "state": TradingState.HALTED,
                    "actor": "file",
                    "reason": text,
                }
            )
    return found


def _latch(scope: str, state: TradingState, actor: str, reason: str) -> None:
    row = ControlState.objects.filter(scope=scope).first()
    if row is not None and TradingState(row.state).severity >= state.severity:
        return
    try:
        control_set(
            scope=scope,
            state=state,
            actor=actor,
            reason=reason,
            reason_code=REASON_CODE,
            is_breaker=True,
        )
    except ControlRefused as error:
        # a scope that is none: whoever wrote it wanted something to stop
        _latch(GLOBAL_SCOPE, TradingState.HALTED, actor, f"{reason} ({error})")
