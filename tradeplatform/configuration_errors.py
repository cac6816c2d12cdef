"""Turns a validation error into one line a person can act on: key, value, what is allowed."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import inspect

_WHERE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*)`")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_LONGEST_VALUE = 80


class ConfigurationError(ValueError):
    """A configuration that must not be used; the message is one line."""


def one_line(value: object) -> str:
    """Return text without line breaks, cut to a readable length."""
    return " ".join(str(value).split())[:200]


def allowed_at(root: type, raw: object, message: str) -> str:
    """Return ``KEY was VALUE, allowed: …`` for an error message of msgspec.

    Args:
        root: the type that ``raw`` was converted to.
        message: msgspec's message, ending in `` - at `$.path` `` below the top level.
    """
    match = _WHERE.match(message)
    what, path = (match["what"], match["path"] or "$") if match else (message, "$")
    steps = _resolved(root, raw, _steps(path))
    if unknown := _UNKNOWN.match(what):
        key, value = _found(raw, [*steps, unknown["field"]])
        keys = _described(_type_at(root, steps))
        return f"{key} was {value} but is not a known key, allowed: {keys}"
    if " was " in what:
        # one of our own checks across fields; it names its key relative to the section
        prefix = ".".join(step for step in steps if isinstance(step, str))
        return f"{prefix}.{what}" if prefix else what
    key, value = _found(raw, steps)
    return f"{key} was {value}, allowed: {_described(_type_at(root, steps))}"


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    for name, index in _STEP.findall(path.removeprefix("$")):
        steps.append(name or (index if index == "..." else int(index)))
    return steps


def _resolved(root: type, raw: Any, steps: list[str | int]) -> list[str | int]:
    """Replace ``...``, msgspec's "some key of this mapping", by the first key that fails."""
    resolved: list[str | int] = []
    value = raw
    for step in steps:
        if step == "..." and isinstance(value, dict):
            kind = _type_at(root, [*resolved, "..."])
            step = next((key for key, item in value.items() if not _fits(item, kind)), step)
        resolved.append(step)
        value = value[step] if _has(value, step) else None
    return resolved


def _fits(item: Any, kind: inspect.Type) -> bool:
    target = kind.cls if isinstance(kind, inspect.StructType) else float
    try:
        msgspec.convert(item, target, strict=True)
    except msgspec.ValidationError:
        return False
    return True


def _found(raw: Any, steps: list[str | int]) -> tuple[str, str]:
    """Return the dotted key and the value it had."""
    key, value = "", raw
    for step in steps:
        if not _has(value, step):
            break
        value = value[step]
        key += f"[{step}]" if isinstance(step, int) else f".{step}" if key else str(step)
    text = "empty" if value is None else one_line(value)
    return key or "file", text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"


def _has(value: Any, step: str | int) -> bool:
    if isinstance(step, int):
        return isinstance(value, list) and step < len(value)
    return isinstance(value, dict) and step in value


def _type_at(root: type, steps: list[str | int]) -> inspect.Type:
    kind: inspect.Type = inspect.type_info(root)
    for step in steps:
        if isinstance(kind, inspect.StructType):
            fields = {field.encode_name: field.type for field in kind.fields}
            kind = fields.get(str(step), kind)
        elif isinstance(kind, inspect.DictType):
            kind = kind.value_type
        elif isinstance(kind, inspect.VarTupleType):
            kind = kind.item_type
    return kind


def _described(kind: inspect.Type) -> str:
    """Say in words what a type allows."""
    if isinstance(kind, inspect.StructType):
        return "the keys " + ", ".join(field.encode_name for field in kind.fields)
    if isinstance(kind, inspect.DictType):
        return "a mapping, each value " + _described(kind.value_type)
    if isinstance(kind, inspect.VarTupleType):
        return f"a list of 1 to {kind.max_length} items, each {_described(kind.item_type)}"
    if isinstance(kind, inspect.LiteralType):
        return ", ".join(str(value) for value in kind.values)
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_described(part) for part in kind.types)
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return _number(kind)
    if isinstance(kind, inspect.StrType):
        return f"text like {kind.pattern}" if kind.pattern else "text"
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    return "empty" if isinstance(kind, inspect.NoneType) else msgspec.json.encode(kind).decode()


def _number(kind: inspect.IntType | inspect.FloatType) -> str:
    bounds = [
        f"{words} {bound:g}"
        for words, bound in (
            ("at least", kind.ge),
            ("above", kind.gt),
            ("at most", kind.le),
            ("below", kind.lt),
        )
        if bound is not None
    ]
    noun = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
    return f"{noun} {' and '.join(bounds)}" if bounds else noun
