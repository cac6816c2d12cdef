"""validate_optimization: six checks, and for each one something that breaks it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from engine.policy import BasePolicy
from engine.trading_book import TradingBook
from optimization.core.layer import AdaptivePolicy
from optimization.core.state import LayerState
from optimization.wiring import Wiring
from tradeplatform import bootstrap, validation
from tradeplatform.configuration import Configuration, Optimization
from tradeplatform.validation import CHECKS, CheckResult, _result


def check(name: str) -> CheckResult:
    return _result(name, CHECKS[name])


@pytest.fixture(scope="module")
def all_results() -> Iterator[list[CheckResult]]:
    yield validation.run_checks()


def test_all_six_pass_on_the_platform_as_it_is(all_results: list[CheckResult]) -> None:
    """OPT-48, OPT-44: the names of the six, and a detail with numbers for each."""
    assert [result.name for result in all_results] == [
        "Optimization Imports",
        "Main Platform Import",
        "Platform Initialization",
        "Integration Points",
        "Backward Compatibility",
        "Engine Lifecycle",
    ]
    assert [result.detail for result in all_results if not result.passed] == []


def _said(results: list[CheckResult], monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    monkeypatch.setattr(
        "tradeplatform.management.commands.validate_optimization.run_checks", lambda: results
    )
    out, code = StringIO(), 0
    try:
        call_command("validate_optimization", stdout=out, **options)
    except SystemExit as ended:
        code = int(str(ended.code))
    return out.getvalue().splitlines(), code


def test_the_command_prints_six_lines_a_total_and_exits_by_it(
    all_results: list[CheckResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OPT-48"""
    lines, code = _said(all_results, monkeypatch)
    assert [line.split()[0] for line in lines[:6]] == ["PASS"] * 6
    assert (lines[6], code) == ("Result: 6/6", 0)
    broken = [*all_results[:5], CheckResult("Engine Lifecycle", False, "a bound was broken")]
    lines, code = _said(broken, monkeypatch)
    assert lines[5] == "FAIL  Engine Lifecycle: a bound was broken"
    assert (lines[6], code) == ("Result: 5/6", 1)


def test_json_is_one_object_on_the_last_line(
    all_results: list[CheckResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OPT-48"""
    lines, _ = _said(all_results, monkeypatch, json=True)
    document = json.loads(lines[-1])
    assert (document["passed"], document["total"]) == (6, 6)
    assert set(document["checks"][0]) == {"name", "passed", "detail"}


@pytest.mark.parametrize("name", validation.COMPONENTS)
def test_a_component_that_does_not_import_fails_the_first(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OPT-49"""
    monkeypatch.setitem(sys.modules, name, None)
    found = check("Optimization Imports")
    assert not found.passed and name in found.detail


def test_a_broken_integration_fails_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """OPT-50"""
    monkeypatch.delattr(Wiring, "live_policy")
    found = check("Main Platform Import")
    assert (found.passed, found.detail) == (False, "the wiring has no live_policy")


def test_a_platform_without_the_layer_fails_the_second(settings: Any) -> None:
    """OPT-50"""
    del settings.OPTIMIZATION_WIRING
    assert "no layer is plugged in" in check("Main Platform Import").detail


def test_on_by_default_fails_the_third(monkeypatch: pytest.MonkeyPatch) -> None:
    """OPT-51: a failure, not a warning."""
    on = Configuration(optimization=Optimization(enabled=True))
    monkeypatch.setattr(validation, "default_configuration", lambda: on)
    found = check("Platform Initialization")
    assert (found.passed, found.detail) == (False, "optimization.enabled was true by default")


def test_a_platform_that_cannot_be_built_fails_the_third(monkeypatch: pytest.MonkeyPatch) -> None:
    """OPT-51"""

    def broken(*given: Any, **named: Any) -> None:
        raise RuntimeError("no pipeline")

    monkeypatch.setattr(bootstrap, "build_pipeline", broken)
    assert check("Platform Initialization").detail == "RuntimeError: no pipeline"


@pytest.mark.parametrize(
    ("owner", "method", "said"),
    [
        (AdaptivePolicy, "assess", "point 2"),
        (AdaptivePolicy, "size_multiplier", "point 3"),
        (AdaptivePolicy, "record_outcome", "point 4"),
    ],
)
def test_a_point_that_is_not_reached_fails_the_fourth(
    owner: type, method: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OPT-52, OPT-02: the base policy's answer in the place of one point, the multiplier too."""
    base = BasePolicy()
    monkeypatch.setattr(owner, method, lambda self, *given: getattr(base, method)(*given))
    found = check("Integration Points")
    assert not found.passed and said in found.detail


def test_a_session_that_never_updates_fails_the_fourth(monkeypatch: pytest.MonkeyPatch) -> None:
    """OPT-52: the fifth point is the call once an event."""
    observe = TradingBook.observe

    def without_refresh(self: TradingBook, event: Any) -> None:
        policy, self._policy = self._policy, BasePolicy()
        observe(self, event)
        self._policy = policy

    monkeypatch.setattr(TradingBook, "observe", without_refresh)
    assert "point 5" in check("Integration Points").detail


@pytest.mark.parametrize("section", sorted(validation.LEGACY))
def test_a_section_that_is_dropped_fails_the_fifth(
    section: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OPT-53"""
    kept = {name: keys for name, keys in validation.LEGACY.items() if name != section}
    monkeypatch.setattr(validation, "legacy_file", lambda: kept)
    found = check("Backward Compatibility")
    assert (not found.passed and found.detail.startswith(section)) or "KeyError" in found.detail


def test_a_weight_that_jumps_fails_the_sixth(monkeypatch: pytest.MonkeyPatch) -> None:
    """OPT-54: the bound is judged from what was told, not from what the layer believes."""
    heard = validation._Heard.__call__

    def doubled(self: Any, kind: str, fields: Any) -> None:
        changed = fields.get("changed")
        if changed:
            moved = {code: {**one, "new": 2.5 * one["old"]} for code, one in changed.items()}
            fields = {**fields, "changed": moved}
        heard(self, kind, fields)

    monkeypatch.setattr(validation._Heard, "__call__", doubled)
    found = check("Engine Lifecycle")
    assert not found.passed and "in one update, bound 0.15" in found.detail


def test_a_state_that_forgets_fails_the_sixth(monkeypatch: pytest.MonkeyPatch) -> None:
    """OPT-54"""
    monkeypatch.setattr(LayerState, "from_json", staticmethod(lambda document: LayerState()))
    assert "after a restart" in check("Engine Lifecycle").detail
