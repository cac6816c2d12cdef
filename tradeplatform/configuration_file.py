"""Reads a configuration file as plain values: nothing is guessed, nothing wins silently."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml

from tradeplatform.configuration_errors import ConfigurationError, one_line


def read_yaml(path: Path) -> object:
    """Return what one file says; an empty file says an empty mapping.

    Raises:
        ConfigurationError: it is not readable as YAML, or says a key twice.
    """
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError, OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path}: file was not readable as YAML ({one_line(error)}), allowed: UTF-8 YAML"
        ) from error
    return {} if raw is None else raw


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key written twice: the second would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise ValueError(f"line {key_node.start_mark.line + 1}: key {key!r} was not text")
            if key in seen:
                raise ValueError(f"line {key_node.start_mark.line + 1}: key {key} was there twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


def refuse_odd_values(value: object, source: str, path: str) -> None:
    """Refuse what a range check lets pass: NaN and the infinities."""
    if isinstance(value, dict):
        for key, inner in value.items():
            refuse_odd_values(inner, source, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            refuse_odd_values(inner, source, f"{path}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigurationError(f"{source}: {path} was {value}, allowed: a finite number")
