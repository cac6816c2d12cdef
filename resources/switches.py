"""Which settings of the optimizer hold: the file's, or what a person changed since (D-31)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accounts.errors import SettingsRefused
from accounts.models import SettingsSource, SettingsVersion
from accounts.versioned_settings import settings_adopt_file, settings_change, settings_newest
from resources.core.config import OptimizerConfig

SECTION = "optimizer"


def config_holding() -> OptimizerConfig:
    """Return the settings that hold; a stored value that no longer fits falls back to the default
    of that name, so that an upgrade never stops the optimizer."""
    newest = settings_newest(SECTION)
    if newest is None:
        return OptimizerConfig()
    kept: dict[str, object] = {}
    for name, value in newest.values.items():
        try:
            OptimizerConfig.of({name: value})
        except ValueError:
            continue
        kept[name] = value
    return OptimizerConfig.of(kept)


def file_adopt(values: Mapping[str, Any]) -> None:
    """Take the file's section over where it differs from the file last taken over."""
    settings_adopt_file(section=SECTION, values=values)


def config_change(
    *,
    values: Mapping[str, Any],
    actor: str,
    reason: str,
    source: str = SettingsSource.API,
    expected_version: int | None = None,
) -> SettingsVersion:
    """Change single settings for a person, audited, with a reason.

    Raises:
        SettingsRefused: an unknown name, a value outside its range, no reason, or a
            version that is not the newest any more.
    """
    try:
        changed = OptimizerConfig.of({**config_holding().values(), **values})
    except ValueError as error:
        raise SettingsRefused(str(error)) from error
    return settings_change(
        section=SECTION,
        values=changed.values(),
        actor=actor,
        reason=reason,
        source=source,
        expected_version=expected_version,
    )
