"""The quarterly look at every control: what it is set to, how often it struck, who looked when.

Source: CTL-26, RTS 6 Art. 9. The report is made from rows and the configuration in force; nothing
in it is an opinion. A person says that they looked, with a reason, and the audit log keeps it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count

from accounts.models import AuditEvent
from accounts.services import audit_record
from monitoring.models import Severity
from monitoring.services import alert_raise, alert_resolve
from tradeplatform.configuration import Configuration
from trades.models import ControlEvent, Decision, Order, TradingRun

ACTION = "selfassessment.review"
ALERT = "SELF_ASSESSMENT"
QUARTER = timedelta(days=91)
DUE_AFTER = timedelta(days=100)


@dataclass(frozen=True, slots=True)
class Control:
    """One control: the keys of ``risk:`` that set it, the codes it leaves behind."""

    id: str
    name: str
    keys: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()


CONTROLS: tuple[Control, ...] = (
    Control("CTL-1", "order value", ("max_position_size", "max_order_quote"), ("MAX_ORDER",)),
    Control(
        "CTL-2",
        "order volume",
        ("max_book_share", "max_volume_share"),
        ("BOOK_SHARE", "VOLUME_SHARE"),
    ),
    Control(
        "CTL-3",
        "price collar",
        ("collar_majors", "collar", "max_slippage"),
        ("PRICE_COLLAR", "NO_REFERENCE", "REFERENCE_OLD", "SLIPPAGE"),
    ),
    Control(
        "CTL-4",
        "position and exposure",
        (
            "max_strategy_exposure",
            "max_group_exposure",
            "max_gross_exposure",
            "cash_reserve",
            "leverage",
        ),
        ("MAX_SYMBOL", "MAX_STRATEGY", "MAX_GROSS", "LEVERAGE", "CASH_RESERVE", "NO_SHORTS"),
    ),
    Control(
        "CTL-5",
        "open orders",
        ("max_open_orders", "max_open_orders_per_symbol", "max_open_positions"),
        ("OPEN_ORDERS", "OPEN_ORDERS_SYMBOL", "OPEN_POSITIONS"),
    ),
    Control(
        "CTL-6",
        "message throttle",
        ("max_orders_per_hour", "max_orders_per_day"),
        ("ORDERS_PER_HOUR", "ORDERS_PER_DAY"),
    ),
    Control(
        "CTL-7",
        "repeated entries",
        ("max_entries_per_15m", "max_entries_per_day"),
        ("REPEATED_ENTRIES", "REPEATED_ENTRIES_DAY"),
    ),
    Control("CTL-8", "duplicates", ("duplicate_window_s",), ("DUPLICATE", "DUPLICATE_ORDER")),
    Control(
        "CTL-9",
        "loss limits",
        ("max_day_loss", "max_week_loss", "max_drawdown", "min_equity_quote"),
        ("DAY_LOSS", "WEEK_LOSS", "MAX_DRAWDOWN", "MIN_EQUITY"),
    ),
    Control("CTL-10", "consecutive losses", ("loss_streak",), ("LOSS_STREAK",)),
    Control(
        "CTL-11",
        "market-data sanity",
        ("max_spread", "max_jump_1m", "max_jump_5m", "jump_pause_minutes"),
        ("STALE_BAR", "SPREAD", "PRICE_JUMP", "BOOK_UNAVAILABLE"),
    ),
    Control(
        "CTL-12",
        "clock",
        ("clock_alert_ms", "clock_stop_ms"),
        ("CLOCK_OFFSET", "CLOCK_UNKNOWN"),
    ),
    Control("CTL-13", "kill function", (), ("manual", "HALT_FILE", "HALTED", "REDUCING")),
    Control("CTL-14", "dead man", (), ()),
    Control("CTL-15", "protective stop at the venue", (), ()),
    Control(
        "CTL-16",
        "reconciliation",
        ("difference_alert", "difference_reduce"),
        ("BALANCE_DIFFERENCE",),
    ),
    Control(
        "CTL-17",
        "error breaker",
        ("rejections_in_a_row", "rejections_in_10_minutes"),
        ("REJECTIONS", "REJECTIONS_HALT", "AUTH"),
    ),
    Control(
        "CTL-18",
        "allow-lists",
        ("allowed_symbols", "allowed_sides", "allowed_order_types"),
        ("SYMBOL_NOT_ALLOWED", "SIDE_NOT_ALLOWED", "TYPE_NOT_ALLOWED"),
    ),
    Control(
        "CTL-19", "controlled deployment", ("paper_days", "paper_trades", "first_week_share"), ()
    ),
    Control("CTL-20", "bounds of the optimization layer", (), ()),
    Control("CTL-21", "alerts", (), ()),
    Control("CTL-22", "change of limits", (), ()),
    Control("CTL-23", "order attribution", (), ()),
    Control("CTL-24", "self-trade guard", (), ("SELF_TRADE",)),
    Control("CTL-25", "stress capacity", (), ()),
    Control("CTL-26", "self-assessment", (), ()),
)


def report(config: Configuration, now: datetime) -> dict[str, Any]:
    """Return every control with its settings and how often it struck in the last quarter."""
    risk = config.risk.values() | config.risk.order_path()
    struck = _struck(now - QUARTER)
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
                "struck": sum(struck[code] for code in control.codes),
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


def _struck(since: datetime) -> Counter[str]:
    """Count by code what decisions, orders and breakers denied or stopped since then."""
    found: Counter[str] = Counter()
    for rows, name in (
        (Decision.objects.filter(created_at__gte=since, action="HOLD"), "reason_code"),
        (Order.objects.filter(created_at__gte=since).exclude(refusal_code=""), "refusal_code"),
        (ControlEvent.objects.filter(at__gte=since).exclude(to_state="ACTIVE"), "reason_code"),
    ):
        counted = rows.order_by().values_list(name).annotate(n=Count("pk"))
        found.update(dict(counted))
    return found


def _review(row: AuditEvent) -> dict[str, Any]:
    return {"at": row.at.isoformat(), "actor": row.actor, "reason": row.reason}
