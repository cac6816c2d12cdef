"""The quarterly look at every control: what it is set to, how often it struck, who looked when.

Source: CTL-26, RTS 6 Art. 9. The report is made from rows and the configuration in force; nothing
in it is an opinion. A person says that they looked, with a reason, and the audit log keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from accounts.models import AuditEvent
from accounts.services import audit_record
from monitoring.models import Severity
from monitoring.services import alert_raise, alert_resolve
from tradeplatform.configuration import Configuration
from trades.core.controls import CONTROLS
from trades.models import TradingRun
from trades.selectors.controls import control_strikes

ACTION = "selfassessment.review"
ALERT = "SELF_ASSESSMENT"
QUARTER = timedelta(days=91)
DUE_AFTER = timedelta(days=100)


def report(config: Configuration, now: datetime) -> dict[str, Any]:
    """Return every control with its settings and how often it struck in the last quarter."""
    risk = config.risk.values() | config.risk.order_path()
    struck = control_strikes(since=now - QUARTER)
    last = review_last()
    return {
        "made_at": now.isoformat(),
        "config_digest": config.digest(),
        "since": (now - QUARTER).isoformat(),
        "last_review": None if last is None else _review(last),
        "is_due": is_due(now),
        "runs": [
            {"run": str(run.code), "mode": run.mode, "venue": run.venue, "code": run.code_version}
            for run in TradingRun.objects.filter(ended_at__isnull=True)
        ],
        "controls": [
            {
                "id": control.id,
                "name": control.name,
                "settings": {key: risk[key] for key in control.keys},
                "struck": control.strikes(struck),
            }
            for control in CONTROLS
        ],
    }


def review(*, actor: str, reason: str, document: Mapping[str, Any]) -> None:
    """Keep that a person has looked at a report, and end the banner.

    Raises:
        ValueError: no reason was given.
    """
    if not reason.strip():
        raise ValueError("reason was empty, a review needs one")
    with transaction.atomic():
        audit_record(
            actor=actor,
            action=ACTION,
            object_type="controls",
            object_id="all",
            reason=reason.strip(),
            after=dict(document),
        )
        alert_resolve(dedupe_key=ALERT)


def review_last() -> AuditEvent | None:
    return AuditEvent.objects.filter(action=ACTION).order_by("-at", "-pk").first()


def is_due(now: datetime) -> bool:
    """True where nobody looked for 100 days: since the last review, else since the first run."""
    last = review_last()
    first = TradingRun.objects.order_by("started_at").values_list("started_at", flat=True).first()
    since = first if last is None else last.at
    return since is not None and now - since > DUE_AFTER


def banner(now: datetime) -> bool:
    """Raise the alert that stays on every page while a review is due; True while it is."""
    if not is_due(now):
        return False
    last = review_last()
    when = "never" if last is None else f"on {last.at:%Y-%m-%d}"
    text = f"the controls were reviewed {when}, due every {DUE_AFTER.days} days: selfassessment"
    alert_raise(code=ALERT, severity=Severity.WARNING, text=text, dedupe_key=ALERT, at=now)
    return True


def _review(row: AuditEvent) -> dict[str, Any]:
    return {"at": row.at.isoformat(), "actor": row.actor, "reason": row.reason}
