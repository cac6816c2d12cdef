"""A person at the controls, as a process: ``python -m tests.crash.person`` obeys line by line.

Halts, resumes and switches through the services that pages and API call, while the trading
processes die. Each line on standard input is ``{"do": ...}``, each answer one line with the times
at which the act was begun and acknowledged (T6). No answer means: it may have happened.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import django

django.setup()

from django.db import DatabaseError  # noqa: E402
from django.utils import timezone  # noqa: E402

from engine.ports import TradingState  # noqa: E402
from optimization.switches import optimization_settings_change  # noqa: E402
from trades.services import GLOBAL_SCOPE, control_set  # noqa: E402

ACTOR = "crash harness"


def set_state(state: TradingState) -> dict[str, Any]:
    row = control_set(scope=GLOBAL_SCOPE, state=state, actor=ACTOR, reason="a fault on purpose")
    return {"state": row.state, "epoch": row.epoch}


def switch(enabled: bool) -> dict[str, Any]:
    holds = optimization_settings_change(
        changes={"enabled": enabled}, actor=ACTOR, reason="a fault on purpose", source="page"
    )
    return {"enabled": holds.is_enabled, "version": holds.version}


ACTS: dict[str, Callable[[], dict[str, Any]]] = {
    "halt": lambda: set_state(TradingState.HALTED),
    "reduce": lambda: set_state(TradingState.REDUCING),
    "resume": lambda: set_state(TradingState.ACTIVE),
    "layer-on": lambda: switch(True),
    "layer-off": lambda: switch(False),
}


def obey(line: str) -> dict[str, Any]:
    """Do one act; a database that is held or full is an answer too, and nothing was changed."""
    act = json.loads(line)["do"]
    began: datetime = timezone.now()
    try:
        done = ACTS[act]()
    except DatabaseError as error:
        return {"do": act, "began": began.isoformat(), "refused": str(error)}
    return {"do": act, "began": began.isoformat(), "done": timezone.now().isoformat(), **done}


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"ready": True}) + "\n")
    sys.stdout.flush()
    for order in sys.stdin:
        sys.stdout.write(json.dumps(obey(order)) + "\n")
        sys.stdout.flush()
