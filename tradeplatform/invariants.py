"""The invariants on a timer: a breach is a critical alert and REDUCING (faults.md, A0).

The rows are read while others write, so one look can see half of an event: a finding counts only
where a second look a few seconds later finds the same. A breach that stands pulls the brake once:
an operator who has looked and resumes is not stopped again by the same finding, by a new one is.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from engine.ports import TradingState
from monitoring.models import Alert, Severity
from monitoring.services import alert_raise, alert_resolve, heartbeat
from trades.invariants import Breach, Report, check_all
from trades.services import GLOBAL_SCOPE, control_set

COMPONENT = "invariants"
CODE = "INVARIANT"
EVERY_S = 600.0
CONFIRM_AFTER_S = 5.0
# An alert names this many findings; their number is said in any case.
_NAMED = 5


def invariants_run(
    *,
    check: Callable[[], Report] = check_all,
    pause: Callable[[float], None] = time.sleep,
    at: datetime | None = None,
) -> dict[str, int]:
    """Check all invariants of the rows, tell of breaches, brake; return the counts.

    The heartbeat is written last: a check that could not be made (the database is damaged, the
    time limit struck) grows late and is alerted by the watchdog.
    """
    report = check()
    found = report.breaches
    if found:
        pause(CONFIRM_AFTER_S)
        report = check()
        found = [breach for breach in report.breaches if breach in found]
    at = at or timezone.now()
    texts = _texts(found)
    for invariant_id, text in texts.items():
        _tell(invariant_id, text, at)
    for invariant_id in report.checked:
        if invariant_id not in texts:
            alert_resolve(dedupe_key=_key(invariant_id), at=at)
    heartbeat(
        component=COMPONENT,
        expected_every_s=EVERY_S,
        detail={"checked": len(report.checked), "breaches": len(found)},
        code_version=settings.CODE_VERSION,
        at=at,
    )
    return {"checked": len(report.checked), "breaches": len(found)}


def _texts(found: list[Breach]) -> dict[str, str]:
    details: defaultdict[str, list[str]] = defaultdict(list)
    for breach in found:
        details[breach.id].append(breach.detail)
    return {
        invariant_id: f"{invariant_id} does not hold ({len(lines)}): {'; '.join(lines[:_NAMED])}"
        for invariant_id, lines in details.items()
    }


def _tell(invariant_id: str, text: str, at: datetime) -> None:
    standing = Alert.objects.filter(
        dedupe_key=_key(invariant_id), resolved_at__isnull=True, text=text
    )
    if standing.exists():
        return
    with transaction.atomic():
        alert_raise(
            code=CODE,
            severity=Severity.CRITICAL,
            text=text,
            dedupe_key=_key(invariant_id),
            at=at,
        )
        control_set(
            scope=GLOBAL_SCOPE,
            state=TradingState.REDUCING,
            actor="invariants",
            reason=text,
            reason_code=CODE,
            is_breaker=True,
        )


def _key(invariant_id: str) -> str:
    return f"invariant:{invariant_id}"
