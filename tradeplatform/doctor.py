"""What somebody who helps needs to see, in one document, with no secret in it.

Reads only: rows, files of the installation, the process table. Asks no venue and no network but
the database and the broker. A section that cannot be read says so and the others stand.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
import zipfile
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from accounts.services import audit_head
from engine.failsafe import Failure, attempt
from monitoring.components import component_list
from monitoring.jobs import job_list
from monitoring.models import Alert, Heartbeat, Incident
from monitoring.selectors import control_status
from notifications.models import Message
from notifications.selectors import channel_rows
from tradeplatform import invariants
from tradeplatform.addresses import without_password
from tradeplatform.backup import ROOMS
from tradeplatform.configuration import Configuration, load
from tradeplatform.preflight import own_findings, preflight_last
from tradeplatform.scrubbing import Scrubber, known_secrets
from trades.invariants import check_all
from trades.models import TradingRun

PACKAGES = ("Django", "celery", "channels", "ccxt", "numpy", "numba", "redis", "apprise", "psycopg")
_OURS = (
    *("TRADEPLATFORM_", "NOTIFY_", "DJANGO_", "DATABASE_URL", "REDIS_URL", "SECRET_KEY"),
    *("ALLOWED_HOSTS", "DEBUG", "LOG_LEVEL", "PORT", "BIND", "OMP_NUM_THREADS"),
)
ALERTS_SHOWN, INCIDENTS_SHOWN, RUNS_SHOWN = 50, 30, 5
LOG_LINES, LONGEST_LINE = 300, 2_000
FORMAT = 1


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def bundle(*, check: bool) -> dict[str, Any]:
    """Return the whole document, every text of it scrubbed.

    Args:
        check: also check the invariants now; minutes on a large database, so not for a web page.
    """
    config = load(settings.CONFIG_FILE)
    now = timezone.now()
    sections: Mapping[str, Callable[[], Any]] = {
        "versions": _versions,
        "settings": _settings,
        "configuration": lambda: {"digest": config.digest(), **config.as_json()},
        "processes": _processes,
        "components": lambda: _components(now),
        "database": _database,
        "runs": _runs,
        "control": control_status,
        "alerts": _alerts,
        "incidents": _incidents,
        "audit": lambda: {"events": audit_head()[0]},
        "invariants": lambda: _invariants(check),
        "preflight": lambda: _preflight(config),
        "notifications": lambda: _notifications(now),
        "disk": _disk,
        "clock": _clock,
        "logs": _logs,
    }
    found = {"format": FORMAT, "made_at": now} | {
        name: _section(name, read) for name, read in sections.items()
    }
    plain = json.loads(json.dumps(found, default=_plain))
    scrubbed: dict[str, Any] = scrubber().plain(plain)
    return scrubbed


def scrubber() -> Scrubber:
    """Return what removes the secrets this process knows of."""
    database = settings.DATABASES["default"]
    more = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    more += [str(database.get("PASSWORD", "")), settings.DATABASE_URL, settings.REDIS_URL]
    # addresses without a password are no secrets, and stand in the bundle on purpose
    more = [text for text in more if "://" not in text or without_password(text) != text]
    return Scrubber(known_secrets(os.environ, Path(settings.VAR_DIR), more))


def write_zip(document: Mapping[str, Any], path: Path) -> int:
    """Write the document and its logs as one zip for the owner's eyes only; return its size.

    Raises:
        FileExistsError: something stands there already.
    """
    rest = {name: value for name, value in document.items() if name != "logs"}
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("doctor.json", json.dumps(rest, indent=1))
        logs = document.get("logs")
        for name, lines in (logs if isinstance(logs, dict) else {}).items():
            z.writestr(f"logs/{name}", "\n".join(lines) if isinstance(lines, list) else str(lines))
    return path.stat().st_size


def _section(name: str, read: Callable[[], Any]) -> Any:
    """Return a section, or why it could not be read: a sick platform is what this is for."""
    found = attempt(read, f"doctor {name}")
    return {"could_not_be_read": found.text} if isinstance(found, Failure) else found


def _versions() -> dict[str, Any]:
    packages = {name: attempt(lambda name=name: version(name), name) for name in PACKAGES}  # type: ignore[misc]
    return {
        "platform": settings.CODE_VERSION,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {n: v for n, v in packages.items() if not isinstance(v, Failure)},
        "executable": sys.executable,
    }


def _settings() -> dict[str, Any]:
    names = sorted(name for name in os.environ if name.startswith(_OURS))
    return {
        "environment": settings.ENVIRONMENT,
        "database": without_password(settings.DATABASE_URL),
        "redis": without_password(settings.REDIS_URL),
        "live_armed": settings.LIVE_ARMED,
        "second_step_required": settings.TOTP_REQUIRED,
        "trusted_proxy": settings.TRUSTED_PROXY,
        "config_file": settings.CONFIG_FILE,
        "installation": settings.INSTALLATION_ID,
        # which are set; never to what
        "variables_set": names,
    }


def _processes() -> list[dict[str, Any]]:
    path = Path(settings.VAR_DIR) / "run" / "children.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    return [{"name": name, "pid": pid, **_process(pid)} for name, pid in sorted(known.items())]


def _process(pid: int | None) -> dict[str, Any]:
    if pid is None or not psutil.pid_exists(pid):
        return {"state": "not running"}
    process = psutil.Process(pid)
    with process.oneshot():
        return {
            "state": process.status(),
            "rss_bytes": process.memory_info().rss,
            "up_s": round(time.time() - process.create_time()),
            "threads": process.num_threads(),
        }


def _components(now: datetime) -> list[dict[str, Any]]:
    return [*map(asdict, component_list(now)), *map(asdict, job_list(now))]


def _database() -> dict[str, Any]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    models = [model for room in ROOMS if apps.is_installed(room) for model in _models(room)]
    return {
        "vendor": connection.vendor,
        "server": ".".join(map(str, connection.get_database_version())),
        "bytes": _database_bytes(),
        "rows": {model._meta.label: model._default_manager.count() for model in models},
        "migrations_not_applied": [f"{step.app_label}.{step.name}" for step, _ in plan],
        "migrations_applied": len(executor.loader.applied_migrations),
    }


def _models(room: str) -> list[Any]:
    return list(apps.get_app_config(room).get_models())


def _database_bytes() -> int | None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            return int(cursor.fetchone()[0])
    path = Path(str(connection.settings_dict["NAME"]))
    parts = [path.with_name(path.name + end) for end in ("", "-wal", "-shm")]
    return sum(part.stat().st_size for part in parts if part.exists())


def _runs() -> list[dict[str, Any]]:
    names = (
        *("code", "mode", "venue", "account", "symbols", "code_version", "config_digest"),
        *("started_at", "ended_at", "last_event_at", "last_error", "reconciled_at"),
    )
    return list(TradingRun.objects.order_by("-started_at").values(*names)[:RUNS_SHOWN])


def _alerts() -> list[dict[str, Any]]:
    names = ("code", "severity", "text", "count", "first_at", "last_at", "resolved_at")
    return list(Alert.objects.order_by("-last_at").values(*names)[:ALERTS_SHOWN])


def _incidents() -> list[dict[str, Any]]:
    names = ("where", "error_type", "message", "count", "first_at", "last_at")
    return list(Incident.objects.order_by("-last_at").values(*names)[:INCIDENTS_SHOWN])


def _invariants(check: bool) -> dict[str, Any]:
    last = Heartbeat.objects.filter(component=invariants.COMPONENT).values("at", "detail").first()
    if not check:
        return {"last": last, "now": None}
    report = check_all()
    return {
        "last": last,
        "now": {"checked": len(report.checked), "breaches": [asdict(b) for b in report.breaches]},
    }


def _preflight(config: Configuration) -> dict[str, Any]:
    last = preflight_last()
    return {
        "without_network": [asdict(finding) for finding in own_findings(config)],
        "last": None if last is None else {"at": last.at, "document": last.document},
    }


def _notifications(now: datetime) -> dict[str, Any]:
    names = ("created_at", "channel", "kind", "state", "tries", "why")
    rows = Message.objects.order_by("-created_at", "-id").values(*names)[:ALERTS_SHOWN]
    return {"channels": channel_rows(now), "messages": list(rows)}


def _disk() -> dict[str, Any]:
    var = Path(settings.VAR_DIR)
    usage = psutil.disk_usage(str(var))
    files = {path.name: path.stat().st_size for path in sorted(var.iterdir()) if path.is_file()}
    return {"total_bytes": usage.total, "free_bytes": usage.free, "files": files}


def _clock() -> dict[str, Any]:
    """Return our time, and how far the database server's is ahead of it where it has its own."""
    ours = timezone.now()
    ahead_s = None
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            ahead_s = (cursor.fetchone()[0] - ours).total_seconds()
    up_s = round(time.time() - psutil.boot_time())
    return {
        "now": ours,
        "time_zone": time.tzname,
        "database_ahead_s": ahead_s,
        "machine_up_s": up_s,
    }


def _logs() -> dict[str, list[str]]:
    folder = Path(settings.VAR_DIR) / "log"
    if not folder.is_dir():
        return {}
    return {path.name: tail(path) for path in sorted(folder.glob("*.log")) if path.is_file()}


def tail(path: Path) -> list[str]:
    """Return the last lines of a log, each cut to a length that can be read."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return [line.rstrip("\n")[:LONGEST_LINE] for line in deque(file, maxlen=LOG_LINES)]
