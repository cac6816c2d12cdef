"""The whole preflight: the venue by ``market.preflight``, our own database and broker here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import redis
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from accounts.selectors import audit_list
from accounts.services import audit_record
from engine.risk import RiskLimits
from market.errors import DataError
from market.preflight import Finding, OrderSizes, Subject, Verdict, venue_findings
from market.venues import venue_of
from tradeplatform import bootstrap
from tradeplatform.addresses import without_password
from tradeplatform.configuration import PRACTICE, Configuration, practice_of
from tradeplatform.configuration_accounts import MAIN
from tradeplatform.credentials import key_variables
from tradeplatform.processes import practice_keys
from tradeplatform.supervisor import PRACTICE_FILE
from tradeplatform.venue import PRACTICE_PROTOCOL, venue_budget, venue_client
from trades.errors import RunRefused
from trades.models import Mode

ACTION = "preflight.run"
SMALLEST_MULTIPLIER = Decimal("0.1")
_REDIS_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Report:
    """Every finding, and when it was made; ``passed`` where none is red."""

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        return not self.count(Verdict.RED)

    def count(self, verdict: Verdict) -> int:
        return sum(finding.verdict is verdict for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        return {
            "checks": [asdict(finding) for finding in self.findings],
            "passed": self.passed,
            **{str(verdict): self.count(verdict) for verdict in Verdict},
        }


def preflight_run(config: Configuration, *, actor: str) -> Report:
    """Make every check of one account once and keep the answer in the audit log, where the page
    reads it.

    Nothing is kept where the database is one of the reds.
    """
    own = own_findings(config)
    report = Report((*own, *_venue_findings(config)))
    if any(f.name == "database" and f.verdict is Verdict.RED for f in own):
        return report
    with transaction.atomic():
        audit_record(
            actor=actor,
            action=ACTION,
            object_type="venue",
            object_id=_object_id(config),
            after=report.as_json(),
        )
    return report


def _object_id(config: Configuration) -> str:
    exchange = config.exchange
    return f"{exchange.id} {exchange.account}" if config.is_apart else exchange.id


@dataclass(frozen=True, slots=True)
class StoredReport:
    """The last preflight somebody ran."""

    at: datetime
    actor: str
    document: Mapping[str, Any]


def preflight_last(account: str = MAIN) -> StoredReport | None:
    """Return the last preflight of one account, None where there was none."""
    of_any = audit_list(action=ACTION)
    found = (
        of_any.exclude(object_id__contains=" ")
        if account == MAIN
        else of_any.filter(object_id__endswith=f" {account}")
    )
    event = found.first()
    return None if event is None else StoredReport(event.at, event.actor, event.after or {})


def adopt_practice_address(accounts: Iterable[Configuration]) -> None:
    """Learn from a running platform where its practice exchange is and what signs there, for a
    command beside it."""
    if settings.PRACTICE_URL:
        return
    path = settings.VAR_DIR / "run" / PRACTICE_FILE
    if not path.exists():
        return
    addresses = orjson.loads(path.read_bytes())
    settings.PRACTICE_URL = addresses.get("TRADEPLATFORM_PRACTICE_URL", "")
    for config in practice_of(accounts):
        ours = key_variables(config.exchange.account, is_apart=config.is_apart)
        for mine, venues in zip(ours, practice_keys(config), strict=False):
            file = Path(settings.VAR_DIR) / venues.lower()
            if file.exists():
                os.environ[mine] = file.read_text().strip()


def order_sizes(limits: RiskLimits) -> OrderSizes:
    """Return an order's usual size: half of the smallest notional cap (D-20)."""
    half = Decimal("0.5")
    ceiling = limits.max_order_quote
    return OrderSizes(
        base_fraction=limits.max_position_size * half,
        ceiling_quote=None if ceiling is None else ceiling * half,
        smallest_multiplier=SMALLEST_MULTIPLIER,
    )


def _venue_findings(config: Configuration) -> Iterable[Finding]:
    is_practice = config.exchange.id == PRACTICE
    try:
        client = venue_client(config)
    except (RunRefused, DataError) as error:
        return [Finding("reachable", Verdict.RED, str(error), "Start the platform: make run.")]
    return venue_findings(
        Subject(
            client=client,
            venue=venue_of(PRACTICE_PROTOCOL if is_practice else config.exchange.id),
            budget=venue_budget(config),
            # practice trades what the practice exchange lists: files decide the symbols
            symbols=() if is_practice else config.trading.symbols,
            sizes=order_sizes(bootstrap.risk_limits(config)),
            key_names=key_variables(config.exchange.account, is_apart=config.is_apart),
            needs_key=config.trading.mode != Mode.PAPER.value,
            wants_sandbox=config.exchange.sandbox,
            is_virtual_clock=is_practice,
        )
    )


def own_findings(config: Configuration) -> list[Finding]:
    """Return what needs no venue: the mode against the armed setting, database and broker."""
    return [_armed(config), _database(), _redis()]


def _armed(config: Configuration) -> Finding:
    """Live money needs the mode, the armed setting and keys together."""
    is_live = config.trading.mode == Mode.LIVE.value
    if is_live and not settings.LIVE_ARMED:
        text = "trading.mode was live and TRADEPLATFORM_LIVE_ARMED was not true"
        return Finding("mode", Verdict.RED, text, "Set both, or choose paper.")
    if settings.LIVE_ARMED and not is_live:
        text = f"TRADEPLATFORM_LIVE_ARMED was true and trading.mode was {config.trading.mode}"
        return Finding("mode", Verdict.AMBER, text, "Unset it until you trade live.")
    return Finding("mode", Verdict.GREEN, config.trading.mode)


def _database() -> Finding:
    shown = without_password(settings.DATABASE_URL)
    try:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        text = f"{shown}: {str(error).strip().splitlines()[0]}"
        return Finding("database", Verdict.RED, text, "Check DATABASE_URL and the server.")
    if plan:
        text = f"{shown}: {len(plan)} migrations are not applied"
        return Finding("database", Verdict.RED, text, "Run manage.py migrate, or make run.")
    return Finding("database", Verdict.GREEN, f"{connection.vendor}, every migration applied")


def _redis() -> Finding:
    client = redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=_REDIS_TIMEOUT_S,
        socket_connect_timeout=_REDIS_TIMEOUT_S,
    )
    try:
        with closing(client):
            client.ping()
            policy = _eviction_policy(client)
    except (redis.RedisError, OSError) as error:
        text = f"{without_password(settings.REDIS_URL)}: {error}"
        return Finding("redis", Verdict.RED, text, "Start Redis, or correct REDIS_URL.")
    if policy != "noeviction":
        text = f"maxmemory-policy was {policy}, allowed: noeviction"
        return Finding("redis", Verdict.AMBER, text, "Set maxmemory-policy noeviction.")
    return Finding("redis", Verdict.GREEN, "answers, evicts nothing")


def _eviction_policy(client: redis.Redis) -> str:
    """Return what Redis does when it is full; a server that does not say is taken as it comes."""
    try:
        told: Any = client.config_get("maxmemory-policy")
    except redis.ResponseError:
        return "noeviction"
    return str(told.get("maxmemory-policy", "noeviction"))
