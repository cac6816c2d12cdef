"""``strategies check``: a rule that peeks is caught, one that forgets too late as well."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

# A rule file as an operator would write it; what is read one bar ahead is put in by each test.
RULE = """
import numpy as np
from engine.types.opinions import Regime, RuleColumns


class Mine:
    code = "mine"
    favourable_regimes = frozenset({Regime.TRENDING})
    warm_up_bars = 20

    def columns(self, store):
        close = store.bars.close
        n = len(close)
        rows = np.arange(n)
        mean = %s
        side = np.where(close > mean, 1, 0)
        side[:19] = 0
        return RuleColumns(
            side=side, probability_up=0.5 + 0.1 * side, confidence=np.full(n, 0.5),
            stop_price=close * 0.99, target_price=close * 1.02,
            exit_long=close < mean, exit_short=close > mean,
        )
"""
CAUSAL = "np.array([close[max(0, t - 19):t + 1].mean() for t in rows])"
PEEKING = "np.append(close[1:], close[-1])"
CENTRED = "np.convolve(close, np.ones(9) / 9, mode='same')"
FOREVER = "np.cumsum(close) / (rows + 1)"


def check(path: Path | None = None, **given: object) -> dict[str, object]:
    out = StringIO()
    named = [str(path)] if path else []
    call_command("strategies", "check", *named, json=True, cuts="12", stdout=out, **given)
    return json.loads(out.getvalue())


def told(path: Path) -> tuple[str, CommandError]:
    out = StringIO()
    with pytest.raises(CommandError) as refused:
        call_command("strategies", "check", str(path), cuts="12", stdout=out)
    return out.getvalue(), refused.value


@pytest.fixture
def rule(tmp_path):
    def write(mean: str) -> Path:
        path = tmp_path / "mine.py"
        path.write_text(RULE % mean)
        return path

    return write


def test_the_shipped_rules_neither_peek_nor_remember_too_long() -> None:
    found = check()
    assert len(found["rules"]) == 5
    assert all(one["passed"] and one["look_ahead"] == [] for one in found["rules"]), found


def test_a_causal_rule_passes(rule) -> None:
    (found,) = check(rule(CAUSAL))["rules"]
    assert found["passed"], found["verdict"]
    assert {m["column"]: m["stable_bars"] for m in found["memory"]}["side"] == 20


@pytest.mark.parametrize("mean", [PEEKING, CENTRED], ids=["next bar", "centred mean"])
def test_a_rule_that_knows_the_next_bars_is_caught(rule, mean) -> None:
    """Truncating the history changes what it said of bars before the cut."""
    said, refused = told(rule(mean))
    assert refused.returncode == 1
    assert "FAIL mine" in said and "look-ahead: side at bar" in said
    assert "its replay is worth nothing" in said


def test_a_rule_that_never_forgets_its_start_is_caught(rule) -> None:
    said, refused = told(rule(FOREVER))
    assert refused.returncode == 1
    assert "look-ahead" not in said.replace("no look-ahead", "")
    assert "depend on more history than the 2,500 bars" in said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x = 1", "rules were none, allowed: classes with code"),
        ("import nothing_like_it", "it could not be loaded: ModuleNotFoundError"),
        (RULE % "close[:3]", "mine: it failed on 6000 bars: ValueError"),
    ],
)
def test_a_file_that_is_no_rule_is_refused_with_one_line(tmp_path, text, line) -> None:
    """F-087"""
    path = tmp_path / "mine.py"
    path.write_text(text)
    _, refused = told(path)
    assert refused.returncode == 2
    assert line in str(refused) and "\n" not in str(refused)
