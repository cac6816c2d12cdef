"""The resource optimizer's settings, as the page of settings changes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accounts.errors import SettingsRefused
from accounts.settings_sections import Field
from resources.core.config import OptimizerConfig, allowed_of
from resources.switches import SECTION, config_change, config_holding


class OptimizerSection:
    """Implements ``accounts.settings_sections.Section``."""

    name = SECTION
    title = "Resource optimizer"

    def fields(self) -> Sequence[Field]:
        return [
            Field(name, default, "", allowed_of(name))
            for name, default in OptimizerConfig().values().items()
        ]

    def holding(self) -> Mapping[str, Any]:
        return config_holding().values()

    def checked(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        try:
            values = OptimizerConfig.of(changes).values()
        except ValueError as error:
            raise SettingsRefused(f"{SECTION}: {error}") from error
        return {name: values[name] for name in changes}

    def change(
        self, *, changes: Mapping[str, Any], actor: str, reason: str, source: str, expected: int
    ) -> None:
        config_change(
            values=changes, actor=actor, reason=reason, source=source, expected_version=expected
        )
