"""The layer's six settings, as the page of settings changes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accounts.settings_sections import Field
from optimization.switches import KEYS, SECTION, checked, effective, optimization_settings_change


class LayerSection:
    """Implements ``accounts.settings_sections.Section``."""

    name = SECTION
    title = "Optimization layer"

    def fields(self) -> Sequence[Field]:
        return [Field(key.name, key.default, key.help, key.allowed) for key in KEYS]

    def holding(self) -> Mapping[str, Any]:
        values = effective().values
        return {key.name: values[key.name] for key in KEYS}

    def checked(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        return checked(changes)

    def change(
        self, *, changes: Mapping[str, Any], actor: str, reason: str, source: str, expected: int
    ) -> None:
        optimization_settings_change(
            changes=changes, actor=actor, reason=reason, source=source, expected_version=expected
        )
