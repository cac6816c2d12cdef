"""System checks: `manage.py check` says what would otherwise show only when trading starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from engine.limits import LimitsError, RiskLimits
from tradeplatform.configuration import load_accounts
from tradeplatform.configuration_errors import ConfigurationError

# A task that outlives the broker's patience would run twice at once (faults.md, section 0.3).
_LONGER_THAN_THE_LONGEST_TASK = 1.5


@register()
def configuration_is_usable(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """F-087: the file loads, and the engine accepts the limits of each account."""
    try:
        accounts = load_accounts(settings.CONFIG_FILE)
    except ConfigurationError as error:
        return [Error(str(error), id="tradeplatform.E001")]
    try:
        for config in accounts:
            RiskLimits.parse(config.risk.values())
    except LimitsError as error:
        return [Error(f"{settings.CONFIG_FILE}: {error}", id="tradeplatform.E002")]
    return []


@register(Tags.database)
def sqlite_is_safe_for_money(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """F-033, F-039: every commit on disk, and no upgrade of a stale snapshot."""
    database = settings.DATABASES["default"]
    if not database["ENGINE"].endswith("sqlite3"):
        return []
    options = database.get("OPTIONS", {})
    pragmas = options.get("init_command", "")
    problems = [
        f"SQLite must run with {wanted}"
        for wanted, holds in (
            ("PRAGMA journal_mode=WAL", "journal_mode=WAL" in pragmas),
            ("PRAGMA synchronous=FULL", "synchronous=FULL" in pragmas),
            ("transaction_mode IMMEDIATE", options.get("transaction_mode") == "IMMEDIATE"),
            ("a timeout of 20 s or more", options.get("timeout", 0) >= 20),
        )
        if not holds
    ]
    return [Error(problem, id="tradeplatform.E003") for problem in problems]


@register()
def broker_waits_longer_than_tasks_run(
    app_configs: Sequence[Any] | None, **_: Any
) -> list[CheckMessage]:
    """F-024: a task redelivered while it still runs runs twice."""
    options: dict[str, Any] = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    patience = options.get("visibility_timeout", 0)
    limit = settings.CELERY_TASK_TIME_LIMIT
    if patience < limit * _LONGER_THAN_THE_LONGEST_TASK:
        text = f"visibility_timeout was {patience} s, needs 1.5 times the task limit of {limit} s"
        return [Error(text, id="tradeplatform.E004")]
    return []
