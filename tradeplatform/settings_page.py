"""Every setting as the page of settings lists it: what holds, what would without it, who said so.

Secrets are not in the configuration; of the environment only names are told, and values of the few
variables that hold none.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.utils import timezone

from accounts.models import SettingsVersion
from accounts.settings_sections import Section, versions_of
from monitoring.layer import layer
from resources.settings_section import OptimizerSection
from tradeplatform import env
from tradeplatform.configuration import (
    PREDICTOR_CODES,
    STRATEGY_CODES,
    Configuration,
    PredictorSettings,
    StrategySettings,
    load_accounts,
)
from tradeplatform.configuration_accounts import MAIN, each_account
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.configuration_file import read_yaml
from tradeplatform.several_accounts import account_named
from trades.ceilings import standing
from trades.models import TradingRun

DEFAULT, FILE, ENVIRONMENT = "default", "file", "environment"
BY_FILE = "config.yaml, then restart"
# of the environment, what holds neither a secret nor an address of one
_PLAIN = frozenset(
    env.PREFIX + name
    for name in ("ENV", "FREQTRADE_API", "LIVE_ARMED", "MACHINES", "PLAN", "PORT", "TOTP_REQUIRED")
)
_PER_CODE = {
    "strategies": (STRATEGY_CODES, StrategySettings),
    "predictors": (PREDICTOR_CODES, PredictorSettings),
}


class AccountGone(ConfigurationError):
    """The file does not name a run's account any more; the message says so and nothing else."""


@dataclass(frozen=True, slots=True)
class SettingRow:
    """``note`` says what holds instead, where that is something else: a file that was changed
    counts from the next start, a ceiling may be lowered. ``since`` is None for a default."""

    key: str
    value: str
    default: str
    source: str
    since: datetime | None
    note: str = ""

    @property
    def is_default(self) -> bool:
        return self.value == self.default


@dataclass(frozen=True, slots=True)
class SettingGroup:
    """A section; ``change`` names the section that may be changed here, empty for none."""

    name: str
    rows: list[SettingRow]
    where: str
    change: str = ""
    page: str = ""


def changeable() -> dict[str, Section]:
    """Return the sections that are changed on pages, by name; without the layer, without its."""
    found: list[Section] = [OptimizerSection()]
    if (of_layer := layer().settings_section()) is not None:
        found.insert(0, of_layer)
    return {section.name: section for section in found}


def setting_groups(run: TradingRun | None) -> list[SettingGroup]:
    """Return every section of the configuration a run's account goes by, without a run those of
    ``main``, and the sections that live in the database.

    Raises:
        AccountGone: the file does not name that account any more.
        ConfigurationError: the file was broken since the platform started.
    """
    path = Path(settings.CONFIG_FILE)
    config = _configuration(path, MAIN if run is None else run.account)
    said = _said(path, config.exchange.account)
    at = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC) if path.is_file() else None
    stored = changeable()
    groups = [
        _of_file(name, getattr(config, name), said.get(name) or {}, at, run)
        for name in Configuration.__struct_fields__
        if name != "accounts"
    ]
    for section in stored.values():
        groups.insert(0, _of_section(section))
    return groups


def environment_rows() -> list[SettingRow]:
    """Return each variable that is read and whether it is set; no value that may be secret."""
    rows = []
    for name in sorted({*env.KNOWN, *env.BY_ACCOUNT}):
        given = os.environ.get(name, "")
        shown = given if name in _PLAIN else "set, not shown"
        rows.append(
            SettingRow(name, shown if given else "", "", ENVIRONMENT if given else DEFAULT, None)
        )
    return rows


def plain_digits(value: float) -> str:
    """Return a number as one writes it: every digit, no power of ten; "inf" and "nan" as such."""
    if not math.isfinite(value):
        return str(value)
    return f"{Decimal(repr(float(value))):f}".removesuffix(".0")


def _configuration(path: Path, account: str) -> Configuration:
    accounts = load_accounts(path)
    try:
        return account_named(accounts, account)
    except ConfigurationError as error:
        raise AccountGone(f"account {account} is not in {path.name} any more") from error


def _said(path: Path, account: str) -> dict[str, Any]:
    """Return what the file says of an account, its own keys laid over the file's."""
    raw = read_yaml(path) if path.is_file() else {}
    if not isinstance(raw, dict):
        return {}
    if raw.get("accounts") is None:
        return raw
    return each_account(raw, source=str(path))[account]


def _of_file(
    name: str, section: Any, said: Mapping[str, Any], at: datetime | None, run: TradingRun | None
) -> SettingGroup:
    running = {} if run is None else run.config.get(name, {})
    lowered = standing(timezone.now()).overrides if name == "risk" else {}
    rows = []
    for key, value, default in _pairs(name, section):
        is_said = _at(said, key) is not None
        now = _at(running, key)
        differs = now is not None and _text(now) != _text(value)
        rows.append(
            SettingRow(
                key=f"{name}.{key}",
                value=_text(value),
                default=_text(default),
                source=FILE if is_said else DEFAULT,
                since=at if is_said else None,
                note=_note(name, key, differs, now, lowered),
            )
        )
    if name == "risk":
        return SettingGroup(name, rows, f"{BY_FILE}; lower on the page Limits", page="ceilings")
    return SettingGroup(name, rows, BY_FILE)


def _note(name: str, key: str, differs: bool, now: Any, lowered: Mapping[str, Any]) -> str:
    words = [f"until the next start: {_text(now)}"] if differs else []
    engine_name = _ENGINE_NAMES.get(key, key)
    if name == "risk" and engine_name in lowered:
        words.append(f"set on the page Limits: {lowered[engine_name]}")
    return "; ".join(words)


def _pairs(name: str, section: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield each key of a section with its value and its default; what is kept in the database is
    listed there."""
    if name in _PER_CODE:
        codes, kind = _PER_CODE[name]
        default = msgspec.to_builtins(kind())
        for code in codes:
            own = msgspec.to_builtins(section.get(code, kind()))
            for key, value in own.items():
                yield f"{code}.{key}", value, default[key]
        return
    own, default = msgspec.to_builtins(section), msgspec.to_builtins(type(section)())
    elsewhere = _STORED.get(name, frozenset())
    for key, value in own.items():
        if key not in elsewhere:
            yield key, value, default[key]


# the file's name of a limit, where the engine has another
_ENGINE_NAMES = {"max_total_drawdown": "max_drawdown"}
# of the file, what only gives the first version of a section in the database
_STORED = {
    "optimization": frozenset(
        (
            "enabled",
            "enable_quality_filtering",
            "enable_adaptive_weighting",
            "enable_retirement_management",
            "update_interval_seconds",
            "quality_threshold",
        )
    ),
    "monitoring": frozenset({"optimizer"}),
}


def _of_section(section: Section) -> SettingGroup:
    holding, versions = section.holding(), versions_of(section.name)
    rows = []
    for field in section.fields():
        value = holding[field.name]
        by = _set_by(versions, field.name, field.default)
        rows.append(
            SettingRow(
                key=f"{section.name}.{field.name}",
                value=_text(value),
                default=_text(field.default),
                source=DEFAULT if by is None else by.source,
                since=None if by is None else by.changed_at,
            )
        )
    return SettingGroup(section.title, rows, "here", change=section.name)


def _set_by(versions: list[SettingsVersion], name: str, default: Any) -> SettingsVersion | None:
    """Return the version since which a key has its value; None where it was always the default."""
    found = None
    for newer, older in zip(versions, [*versions, None][1:], strict=True):
        found = newer
        before = default if older is None else older.values.get(name, default)
        if newer.values.get(name, default) != before:
            return newer
    if found is None or found.values.get(name, default) == default:
        return None
    return found


def _at(values: Any, key: str) -> Any:
    """Return what stands at ``code.key`` or ``key``, None where nothing does."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(_text(one) for one in value) or "empty"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(one)}" for key, one in value.items()) or "empty"
    return plain_digits(value) if isinstance(value, float) else str(value)
