"""The sentences operators look for, and the alerts that fire and clear."""

from __future__ import annotations

import pytest

from engine.ports import StrategyStatus
from optimization.core.actions import ActionKind, sentence, severity
from optimization.core.alerts import alerts, normalized

ACTIVE, DEGRADED = StrategyStatus.ACTIVE, StrategyStatus.DEGRADED
SUSPENDED, RETIRED = StrategyStatus.SUSPENDED, StrategyStatus.RETIRED


@pytest.mark.parametrize(
    ("kind", "fields", "line"),
    [
        (
            ActionKind.SCORING,
            {"signal": "ab", "outcome": "evaluating"},
            "[OPTIMIZATION] Evaluating signal quality signal=ab outcome=evaluating",
        ),
        (
            ActionKind.SCORING,
            {"outcome": "approved", "quality": 0.8449},
            "[OPTIMIZATION] Signal approved - quality=0.845 outcome=approved quality=0.8449",
        ),
        (
            ActionKind.SCORING,
            {"outcome": "filtered", "quality": 0.5},
            "[OPTIMIZATION] Signal filtered - quality=0.500 below threshold outcome=filtered "
            "quality=0.5",
        ),
        (
            ActionKind.SIZING,
            {"multiplier": 1.3, "old_quantity": 0.5, "new_quantity": 0.65},
            "[OPTIMIZATION] Position size adjusted: 0.500000 → 0.650000 (1.30x multiplier) "
            "multiplier=1.3 old_quantity=0.5 new_quantity=0.65",
        ),
        (
            ActionKind.SIZING,
            {"multiplier": 1.3},
            "[OPTIMIZATION] Position size multiplier 1.30x multiplier=1.3",
        ),
        (
            ActionKind.RECORDING,
            {"strategy": "ema", "symbol": "BTC/USDT", "pnl_quote": -125.5, "regime": "TRENDING"},
            "[OPTIMIZATION] Trade completed: ema/BTC/USDT PnL=-$125.50 regime=TRENDING "
            "strategy=ema symbol=BTC/USDT pnl_quote=-125.5 regime=TRENDING",
        ),
        (
            ActionKind.HEALTH,
            {"strategy": "ema", "from": "ACTIVE", "to": "DEGRADED", "reason": "two words"},
            "[OPTIMIZATION] Strategy health: ema ACTIVE → DEGRADED "
            'strategy=ema from=ACTIVE to=DEGRADED reason="two words"',
        ),
        (
            ActionKind.ALERT,
            {"code": "SUSPENDED", "text": "1 strategy is suspended", "cleared": False},
            "[OPTIMIZATION] Alert raised: 1 strategy is suspended "
            'code=SUSPENDED text="1 strategy is suspended" cleared=False',
        ),
        (
            ActionKind.ALERT,
            {"text": "over", "cleared": True},
            "[OPTIMIZATION] Alert cleared: over text=over cleared=True",
        ),
        (
            ActionKind.SCORER,
            {"scorer": "learned"},
            "[OPTIMIZATION] Signals are scored by learned from now on scorer=learned",
        ),
    ],
)
def test_each_action_has_its_sentence(
    kind: ActionKind, fields: dict[str, object], line: str
) -> None:
    """OPT-24, OPT-57, OPT-58, OPT-59, D-58"""
    assert sentence(kind, fields) == line  # type: ignore[arg-type]


def test_weight_updates_are_told_as_a_map_of_the_changed() -> None:
    """OPT-60"""
    changed = {"ema": {"old": 1.0, "new": 1.15}, "fvg": {"old": 1.0, "new": 0.92}}
    line = sentence(ActionKind.WEIGHTS, {"changed": changed})  # type: ignore[dict-item]
    assert line.startswith("[OPTIMIZATION] Weight updates: {'ema': 1.15, 'fvg': 0.92}")


@pytest.mark.parametrize(
    ("kind", "fields", "level"),
    [
        (ActionKind.WEIGHTS, {}, "info"),
        (ActionKind.HEALTH, {"to": "DEGRADED"}, "warning"),
        (ActionKind.HEALTH, {"to": "SUSPENDED"}, "critical"),
        (ActionKind.HEALTH, {"to": "RETIRED"}, "critical"),
        (ActionKind.HEALTH, {"to": "ACTIVE"}, "info"),
        (ActionKind.ALERT, {"severity": "critical"}, "critical"),
    ],
)
def test_how_loud_an_action_is(kind: ActionKind, fields: dict[str, str], level: str) -> None:
    """OPT-38"""
    assert severity(kind, fields) == level  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("statuses", "weights", "codes"),
    [
        ({"a": ACTIVE, "b": ACTIVE}, {"a": 1.0, "b": 1.0}, []),
        ({}, {}, []),
        ({"a": DEGRADED}, {"a": 1.0}, ["NO_ACTIVE"]),
        ({"a": ACTIVE, "b": SUSPENDED}, {"a": 1.0, "b": 1.0}, ["SUSPENDED"]),
        ({"a": ACTIVE, **dict.fromkeys("bcd", DEGRADED)}, dict.fromkeys("abcd", 1.0), ["DEGRADED"]),
        ({"a": ACTIVE, **dict.fromkeys("bc", DEGRADED)}, dict.fromkeys("abc", 1.0), []),
        ({"a": ACTIVE, "b": ACTIVE}, {"a": 1.6, "b": 1.0}, ["IMBALANCE"]),
        ({"a": ACTIVE, "b": ACTIVE}, {"a": 1.5, "b": 1.0}, []),
        ({"a": ACTIVE, "b": RETIRED}, {"a": 2.0, "b": 0.1}, []),
    ],
)
def test_alerts_say_what_is_true_now(
    statuses: dict[str, StrategyStatus], weights: dict[str, float], codes: list[str]
) -> None:
    """OPT-65: each fires and clears; a single strategy is no imbalance (AW-24)."""
    assert [alert.code for alert in alerts(statuses, weights)] == codes


def test_no_active_is_critical() -> None:
    """OPT-65"""
    severities = {a.code: a.severity for a in alerts({"a": SUSPENDED}, {"a": 1.0})}
    assert severities == {"NO_ACTIVE": "critical", "SUSPENDED": "warning"}


def test_shares_are_of_those_who_may_enter_and_sum_to_one() -> None:
    """OPT-64"""
    found = normalized({"a": 1.15, "b": 0.92, "c": 2.0}, {"a": ACTIVE, "b": DEGRADED, "c": RETIRED})
    assert {code: round(share, 3) for code, share in found.items()} == {"a": 0.556, "b": 0.444}
    assert normalized({"a": 1.0}, {"a": RETIRED}) == {}
