"""Rule strategies of one's own file, loaded to be checked before anybody trades on them."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from types import ModuleType

from engine.failsafe import Failure, attempt
from engine.ports import RuleSource
from strategies.core.registry import rule_sources
from tradeplatform.configuration_errors import ConfigurationError

_WANTED = ("code", "favourable_regimes", "warm_up_bars", "columns")


def rules_in(path: str | None) -> tuple[RuleSource, ...]:
    """Return the rules that a Python file defines, with their defaults; without one the shipped.

    The file is run as Python does on import: it is the operator's own code.

    Raises:
        ConfigurationError: it cannot be run, or defines no rule.
    """
    if path is None:
        return rule_sources()
    module = _module(Path(path))
    kinds = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__ and all(hasattr(kind, name) for name in _WANTED)
    ]
    if not kinds:
        raise ConfigurationError(
            f"{path}: rules were none, allowed: classes with {', '.join(_WANTED)}"
        )
    return tuple(_made(path, kind) for kind in kinds)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"checked_{path.stem}", path)
    if not path.is_file() or path.suffix != ".py" or spec is None or spec.loader is None:
        raise ConfigurationError(f"{path}: file was not there, allowed: an existing .py file")
    module = importlib.util.module_from_spec(spec)
    loader = spec.loader
    outcome = attempt(lambda: loader.exec_module(module), str(path))
    if isinstance(outcome, Failure):
        raise ConfigurationError(f"{path}: it could not be loaded: {_line(outcome.text)}")
    return module


def _made(path: str, kind: type) -> RuleSource:
    made = attempt(kind, path)
    if isinstance(made, Failure):
        raise ConfigurationError(
            f"{path}: {kind.__name__} could not be made without arguments: {_line(made.text)}"
        )
    rule: RuleSource = made
    return rule


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
