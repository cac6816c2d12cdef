"""The layer of a replay: it updates itself on event time and enforces nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import mean
from typing import Any

import pytest

from engine.ports import StrategyStatus
from engine.simulated_operator import SimulatedOperator
from engine.types.decisions import JsonValue
from engine.types.opinions import Regime
from optimization.core.actions import ActionKind, sentence
from optimization.core.config import LayerSettings
from optimization.core.quality.learned import LearnedState
from optimization.core.replay_layer import ReplayLayer
from tests.engine.phases.scene import Gate, consensus, entry, market
from tests.engine.phases.sizing import ask, denial_of
from tests.optimization.core.outcomes import HOUR_MS, START_MS, trade

SETTINGS = LayerSettings(enabled=True)
CODES = ("one", "two")
STRONG = {"consensus": consensus(confluence_up=3)}


class Scene:
    """A layer with the operator whose statuses it sets, and everything it told."""

    def __init__(
        self,
        settings: LayerSettings = SETTINGS,
        *,
        begins: StrategyStatus = StrategyStatus.ACTIVE,
    ) -> None:
        statuses = {**dict.fromkeys(CODES, StrategyStatus.ACTIVE), "one": begins}
        self.operator = SimulatedOperator(statuses, 1)
        self.told: list[tuple[ActionKind, Mapping[str, JsonValue]]] = []
        self.layer = ReplayLayer(
            settings,
            base_weights=dict.fromkeys(CODES, 1.0),
            favourable={"one": frozenset({Regime.TRENDING})},
            statuses=statuses,
            set_status=self.operator.set_status,
            tell=lambda kind, fields: self.told.append((kind, fields)),
        )

    def run(self, hours: int, r: Mapping[str, float], first_hour: int = 0) -> None:
        """Trade twice an hour; what is suspended trades in the shadow."""
        for hour in range(first_hour, first_hour + hours):
            at_ms = START_MS + hour * HOUR_MS
            self.layer.refresh(at_ms)
            for part in range(2):
                for code, result in r.items():
                    number = hour * 10 + part
                    closed_ms = at_ms + (part + 1) * 60_000
                    done = trade(
                        number, result, closed_ms, strategy=code, trade_id=f"{code}{number}"
                    )
                    if self.operator.strategy_status(code).may_enter:
                        self.layer.record_outcome(done)
                    elif code in self.layer.suspended():
                        self.layer.record_shadow(done)


def gate_of(scene: Scene) -> Gate:
    return Gate(status=scene.operator.strategy_status("one"))


def test_a_strategy_that_lost_its_edge_is_stopped_without_anybodys_hand() -> None:
    """OPT-91: degraded, suspended, no new orders, alert and audit fields, within 72 hours."""
    scene = Scene()
    scene.run(30, {"one": 0.5, "two": 0.5})
    assert scene.layer.edges == []
    assert ask(entry(confidence=0.9), scene.layer, seen=STRONG).sizing.quantity_base > 0
    scene.run(72, {"one": -1.0, "two": 0.5}, first_hour=30)
    statuses = [(edge.strategy, edge.to_status.value) for edge in scene.layer.edges]
    assert statuses[:2] == [("one", "DEGRADED"), ("one", "SUSPENDED")]
    assert all(edge.strategy == "one" and edge.metrics for edge in scene.layer.edges)
    answer = ask(entry(confidence=0.9), scene.layer, seen=STRONG, gatekeeper=gate_of(scene))
    assert denial_of(answer) == "STRATEGY_SUSPENDED"
    alerts = [fields for kind, fields in scene.told if kind is ActionKind.ALERT]
    raised = [fields["code"] for fields in alerts if not fields["cleared"]]
    assert "SUSPENDED" in raised
    assert not any(fields["cleared"] for fields in alerts if fields["code"] == "SUSPENDED")


def test_a_strategy_that_recovers_in_the_shadow_comes_back_degraded_then_active() -> None:
    """D-07, OPT-36, OPT-87: and the alert clears."""
    scene = Scene()
    scene.run(60, {"one": -1.0, "two": 0.5})
    assert scene.operator.strategy_status("one") is StrategyStatus.SUSPENDED
    scene.run(110, {"one": 0.8, "two": 0.5}, first_hour=60)
    walked = [edge.to_status.value for edge in scene.layer.edges]
    assert walked == ["DEGRADED", "SUSPENDED", "DEGRADED", "ACTIVE"]
    assert scene.layer.tally.shadow_trades >= 2 * 48
    cleared = [f["code"] for k, f in scene.told if k is ActionKind.ALERT and f["cleared"]]
    assert "SUSPENDED" in cleared


def test_weights_follow_what_was_earned_and_turn_when_it_turns() -> None:
    """OPT-84, OPT-87: in the multiplier too (OPT-86)."""
    scene = Scene(
        LayerSettings.from_values({"enabled": True, "enable_retirement_management": False})
    )
    scene.run(200, {"one": 0.6, "two": -0.2})
    up = dict(scene.layer.state.weights())
    assert up["one"] > 1.0 > up["two"]
    answer = ask(entry(confidence=0.9), scene.layer, seen=STRONG)
    assert answer.sizing.multiplier_applied > 1.0
    scene.run(200, {"one": -0.2, "two": 0.6}, first_hour=200)
    turned = scene.layer.state.weights()
    assert scene.layer.weights(Regime.TRENDING) == turned, "the policy reads the newest state"
    assert turned["one"] < up["one"] and turned["two"] > up["two"]


def test_all_six_kinds_are_told_and_every_line_has_the_tag() -> None:
    """OPT-68"""
    scene = Scene()
    scene.run(60, {"one": -1.0, "two": 0.5})
    answer = ask(entry(strategy="two", confidence=0.9), scene.layer, seen=STRONG)
    assert answer.sizing.quantity_base > 0
    assert set(ActionKind) - {ActionKind.SCORER} <= {kind for kind, _ in scene.told}
    assert all(sentence(k, f).startswith("[OPTIMIZATION] ") for k, f in scene.told)


def test_a_trade_is_learned_with_the_inputs_of_the_signal_that_opened_it() -> None:
    """OPT-16, OPT-89: neither an earlier one that never filled nor a later one."""
    scene = Scene()
    scene.layer.refresh(START_MS)
    for at_ms, confidence in ((10, 0.8), (20, 0.9), (30, 1.0)):
        proposal = entry(confidence=confidence, bar_close_ms=START_MS + at_ms)
        assert scene.layer.assess(proposal, market(), 3).accepted
    scene.layer.record_outcome(trade(1, 1.0, START_MS + 100, opened_at_ms=START_MS + 21))
    waiting = scene.layer._waiting[0]
    assert waiting.inputs is not None and waiting.inputs.confidence == 0.9
    unknown = trade(2, 1.0, START_MS + 100, symbol="ETH/USDT")
    scene.layer.record_outcome(unknown)
    assert scene.layer._waiting[1].inputs is None


def test_an_update_knows_only_what_closed_before_it() -> None:
    """OPT-89, OPT-32: once a period; the trades of this event are booked after it."""
    scene = Scene()
    scene.layer.refresh(START_MS)
    scene.layer.record_outcome(trade(1, 1.0, START_MS + HOUR_MS + 5))
    scene.layer.refresh(START_MS + HOUR_MS)
    assert (scene.layer.state.as_of_trade_id, scene.layer.tally.updates) == (None, 2)
    scene.layer.refresh(START_MS + HOUR_MS + 10)
    assert scene.layer.tally.updates == 2
    scene.layer.refresh(START_MS + 2 * HOUR_MS)
    assert (scene.layer.state.as_of_trade_id, scene.layer.tally.updates) == ("t1", 3)


@pytest.mark.parametrize("toggles", range(8))
def test_all_eight_combinations_of_toggles_run(toggles: int) -> None:
    """OPT-04: quality off filters nothing, weighting off moves nothing, retirement off no edge."""
    quality, weighting, retirement = (bool(toggles & bit) for bit in (1, 2, 4))
    values: dict[str, Any] = {
        "enable_quality_filtering": quality,
        "enable_adaptive_weighting": weighting,
        "enable_retirement_management": retirement,
    }
    scene = Scene(LayerSettings.from_values(values))
    scene.run(80, {"one": -1.0, "two": 0.5})
    weak = ask(entry(strategy="two", confidence=0.3), scene.layer)
    assert (weak.sizing.quantity_base == 0) is quality
    assert (scene.layer.state.weights()["two"] != 1.0) is weighting
    assert bool(scene.layer.edges) is retirement
    moved = scene.operator.strategy_status("one") is not StrategyStatus.ACTIVE
    assert moved is retirement


def test_a_strategy_that_begins_degraded_has_its_full_day_from_the_replay_s_first_moment() -> None:
    """OPT-36, D-07: its status did not begin in 1970, nor does each event begin it anew."""
    scene = Scene(begins=StrategyStatus.DEGRADED)
    scene.run(24, {"one": -1.0, "two": 0.5})
    assert scene.layer.edges == []
    scene.run(2, {"one": -1.0, "two": 0.5}, first_hour=24)
    (edge,) = scene.layer.edges
    assert (edge.to_status, edge.at_ms) == (StrategyStatus.SUSPENDED, START_MS + 24 * HOUR_MS)


# -- what it tells of itself -----------------------------------------------------------------------


def test_a_layer_that_has_done_nothing_has_counted_nothing() -> None:
    """OPT-61: a count that begins at one tells of something that never was."""
    summary = Scene().layer.summary()
    counts = ("assessed", "updates", "weight_changes", "shadow_trades")
    assert [summary[name] for name in counts] == [0, 0, 0, 0]
    assert (summary["filtered"], summary["edges"]) == ({}, [])
    assert summary["mean_multiplier"] is None, "no size was asked for"
    assert (summary["scorer"], summary["as_of"]) == ("formula", None)


def test_each_signal_is_counted_once_and_sizes_by_their_mean() -> None:
    """OPT-61, OPT-24: the mean is of what phase 7 was given."""
    scene = Scene()
    scene.layer.refresh(START_MS)
    for confidence in (0.9, 0.7, 0.3, 0.2):
        ask(entry(confidence=confidence), scene.layer, seen=STRONG if confidence > 0.5 else None)
    given = [f["multiplier"] for kind, f in scene.told if kind is ActionKind.SIZING]
    multipliers = [one for one in given if isinstance(one, float)]
    assert len(set(multipliers)) == 2, "two sizes that differ, so that a mean says something"
    summary = scene.layer.summary()
    assert summary["assessed"] == 4
    assert summary["filtered"] == {"LOW_QUALITY": 2}
    assert summary["mean_multiplier"] == pytest.approx(mean(multipliers))


def test_updates_weights_and_shadow_trades_are_counted_as_they_were_told() -> None:
    """OPT-61, OPT-34, D-07: and the trades by their order, so that each is taken once."""
    scene = Scene()
    scene.run(60, {"one": -1.0, "two": 0.5})
    tally = scene.layer.tally
    told = [fields["changed"] for kind, fields in scene.told if kind is ActionKind.WEIGHTS]
    moved = [code for changed in told if isinstance(changed, dict) for code in changed]
    assert tally.updates == 60, "one an hour"
    assert tally.weight_changes == len(moved) > 0
    taken = 2 * 2 * 60
    shadow = taken - sum(kind is ActionKind.RECORDING for kind, _ in scene.told)
    assert 0 < tally.shadow_trades == shadow
    assert scene.layer.suspended() == {"one"}
    scene.layer.refresh(START_MS + 60 * HOUR_MS)
    assert scene.layer.state.as_of_sequence == taken
    assert scene.layer._waiting == [], "what was taken is kept nowhere else"


def test_the_summary_names_the_scorer_that_decides() -> None:
    """OPT-61: the learned one once it has won."""
    layer = Scene().layer
    layer._state = replace(layer.state, learned=LearnedState(champion=True))
    assert layer.summary()["scorer"] == "learned"


def test_a_trade_opened_at_the_close_of_a_signal_s_bar_is_of_that_signal() -> None:
    """OPT-16: the signal is known at its bar's close, and an order may fill at that moment."""
    layer = Scene().layer
    layer.refresh(START_MS)
    for at_ms, confidence in ((10, 0.8), (20, 0.9)):
        proposal = entry(confidence=confidence, bar_close_ms=START_MS + at_ms)
        assert layer.assess(proposal, market(), 3).accepted
    layer.record_outcome(trade(1, 1.0, START_MS + 100, opened_at_ms=START_MS + 20))
    inputs = layer._waiting[0].inputs
    assert inputs is not None and inputs.confidence == 0.9
