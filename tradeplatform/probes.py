"""What the watchdog asks on behalf of those that write no heartbeat of their own.

The web process, the broker and the practice exchange answer requests; a good answer is their
useful work, so it becomes their heartbeat and its age the time since they last answered. What
the supervisor wrote down of children that ended becomes an alert and an incident (F-096).
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import redis
from django.conf import settings

from monitoring.models import Alert, Severity
from monitoring.services import (
    alert_raise,
    alert_resolve,
    heartbeat,
    heartbeat_forget,
    incident_record,
)
from tradeplatform.supervisor import ENDS_FILE
from tradeplatform.watchdog import EVERY_S

PROBED = ("web", "redis", "exchange")
RESTARTED = "PROCESS_RESTARTED"
# Two looks, so that one slow answer is no lateness.
EXPECTED_EVERY_S = 2 * EVERY_S
_TIMEOUT_S = 2.0
# A restarted process that stays up this long has recovered.
_STEADY_AFTER = timedelta(minutes=10)

Probe = Callable[[], bool]


class ProcessEnded(Exception):
    """A supervised process ended by itself."""


def answers_http(url: str) -> bool:
    """Return whether a server of ours answers, whatever it thinks of the request."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S):  # noqa: S310 (our own addresses)
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def answers_redis(url: str) -> bool:
    client = redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
    try:
        with closing(client):
            return bool(client.ping())
    except redis.RedisError:
        return False


def probes(environment: Mapping[str, str]) -> dict[str, Probe]:
    """Return what can be asked here: without a known port or a practice exchange it is less."""
    found: dict[str, Probe] = {"redis": lambda: answers_redis(settings.REDIS_URL)}
    if port := environment.get("TRADEPLATFORM_PORT"):
        health = f"http://127.0.0.1:{port}/api/v1/health"
        found["web"] = lambda: answers_http(health)
    if settings.PRACTICE_URL:
        ping = f"{settings.PRACTICE_URL}/api/v3/ping"
        found["exchange"] = lambda: answers_http(ping)
    return found


def forget_the_unasked(asked: Mapping[str, Probe]) -> None:
    """Drop what an earlier start asked and this one does not: it would be late for ever."""
    heartbeat_forget(sorted(set(PROBED) - set(asked)))


def ask(asked: Mapping[str, Probe], now: datetime) -> list[str]:
    """Write a heartbeat for each that answered; return those that did not."""
    silent = []
    for component, probe in asked.items():
        if probe():
            heartbeat(
                component=component,
                expected_every_s=EXPECTED_EVERY_S,
                detail={"seen_by": "watchdog"},
                code_version=settings.CODE_VERSION,
                at=now,
            )
        else:
            silent.append(component)
    return silent


def tell_of_ends(run_dir: Path, now: datetime) -> int:
    """Make an alert and an incident of every end the supervisor wrote down; return how many.

    The file is moved aside first and deleted last, so that no line is lost where the database
    is away meanwhile.
    """
    aside = run_dir / f"{ENDS_FILE}.reading"
    if not aside.exists():
        try:
            os.replace(run_dir / ENDS_FILE, aside)
        except FileNotFoundError:
            return 0
    told = 0
    for line in aside.read_text().splitlines():
        try:
            end = json.loads(line)
            name, how, at_s = str(end["name"]), str(end["how"]), float(end["at"])
        except (ValueError, KeyError, TypeError):
            # half a line of a full disk
            continue
        _tell(name, how, datetime.fromtimestamp(at_s, UTC))
        told += 1
    aside.unlink()
    return told


def _tell(name: str, how: str, at: datetime) -> None:
    text = f"{name} {how}, started again"
    incident_record(where=f"process {name}", error=ProcessEnded(text), at=at)
    alert_raise(
        code=RESTARTED,
        severity=Severity.WARNING,
        text=f"{text} ({at:%Y-%m-%d %H:%M:%S} UTC)",
        dedupe_key=f"restarted:{name}",
        at=at,
    )


def resolve_steady(now: datetime) -> int:
    """Close the alerts of processes that have been up for a while since; return how many."""
    due = Alert.objects.filter(
        code=RESTARTED, resolved_at__isnull=True, last_at__lte=now - _STEADY_AFTER
    )
    return sum(alert_resolve(dedupe_key=alert.dedupe_key, at=now) for alert in due)


def look_around(asked: Mapping[str, Probe], run_dir: Path, now: datetime) -> list[str]:
    """Do all of the above once; return the components that did not answer."""
    silent = ask(asked, now)
    tell_of_ends(run_dir, now)
    resolve_steady(now)
    return silent
