"""The one list of strategies and predictors, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from strategies.core.errors import StrategyError
from strategies.core.registry import (
    PREDICTORS,
    control_sources,
    learned_sources,
    parameter_defaults,
    rule_sources,
)
from tests.strategies.core.training.datasets import planted, planted_model
from tradeplatform.configuration import PREDICTOR_CODES

CODES = ("ema-trend", "fair-value-gap", "continuation", "range-reversion", "breakout")


def test_all_rules_come_in_declared_order() -> None:
    assert tuple(rule.code for rule in rule_sources()) == CODES
    assert tuple(rule.code for rule in rule_sources(codes=["breakout", "ema-trend"])) == (
        "ema-trend",
        "breakout",
    )
    assert rule_sources(codes=[]) == ()


def test_predictors_come_fresh_each_time() -> None:
    first, second = learned_sources(), learned_sources()
    assert tuple(source.code for source in first) == tuple(PREDICTORS) == PREDICTOR_CODES
    assert first[0] is not second[0]
    assert learned_sources([]) == ()


def test_a_trained_model_takes_its_predictors_seat_and_no_other() -> None:
    """ORC-81, ORC-85"""
    model = planted_model("forest")
    sources = learned_sources(models={"forest": model})
    row = np.ones(len(planted(1, 1, 1.0).names))
    assert [source.predict(row) != 0.5 for source in sources] == [
        source.code == "forest" for source in sources
    ]
    with pytest.raises(StrategyError, match="gradient-boosting must be of its family, was forest"):
        learned_sources(models={"gradient-boosting": model})


def test_parameters_reach_the_predictor_that_learns_as_it_goes() -> None:
    (linear,) = learned_sources(["online-linear"], params={"online-linear": {"max_lean": 0.1}})
    assert linear.params.max_lean == 0.1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("params", "line"),
    [
        ({"oracle": {}}, "unknown predictor 'oracle', known are online-linear"),
        ({"forest": {"trees": 3}}, "predictors.forest: unknown parameter 'trees', known are rou"),
        ({"forest": {"depth": -1.0}}, "predictors.forest.depth must be above 0, was -1"),
        ({"online-linear": {"max_lean": 0.9}}, "predictors.online-linear.max_lean must be at most"),
        ({"online-linear": {"rate": 1.0}}, "predictors.online-linear: unknown parameter 'rate'"),
    ],
)
def test_wrong_predictor_parameters_are_refused_in_one_line(
    params: dict[str, dict[str, float]], line: str
) -> None:
    with pytest.raises(StrategyError, match=line) as caught:
        learned_sources(params=params)
    assert "\n" not in str(caught.value)


def test_controls_are_no_predictors() -> None:
    controls = [source.code for source in control_sources()]
    assert controls == ["base-rate", "last-return"]
    assert not set(controls) & set(PREDICTORS)


def test_parameters_reach_their_rule_and_no_other() -> None:
    changed = rule_sources({"ema-trend": {"fast_span": 9, "stop_atr": 1.5}})
    defaults = rule_sources()
    assert changed[0].params.fast_span == 9  # type: ignore[attr-defined]
    assert changed[0].params.stop_atr == 1.5  # type: ignore[attr-defined]
    assert changed[1:] == defaults[1:]


def test_defaults_are_listed_and_accepted_as_given() -> None:
    defaults = parameter_defaults()
    assert tuple(defaults) == CODES
    assert rule_sources(defaults) == rule_sources()


@pytest.mark.parametrize(
    ("params", "line"),
    [
        ({"ema": {}}, "unknown strategy 'ema', known are ema-trend, "),
        ({"breakout": {"window": 3}}, r"strategies.breakout: unknown parameter 'window', known"),
        ({"ema-trend": {"fast_span": 9.5}}, "strategies.ema-trend.fast_span must be whole, was"),
        ({"ema-trend": {"fast_span": float("nan")}}, "fast_span must be whole, was nan"),
        ({"ema-trend": {"fast_span": float("inf")}}, "fast_span must be whole, was inf"),
        ({"ema-trend": {"fast_span": True}}, "fast_span must be a number, was True"),
        ({"ema-trend": {"stop_atr": "2"}}, "stop_atr must be a number, was '2'"),
        ({"ema-trend": {"slow_span": 200}}, r"slow_span must be within 2..60, was 200"),
        ({"ema-trend": {"fast_span": 50}}, "fast_span must be below slow_span 48, was 50"),
        ({"ema-trend": {"stop_atr": -1.0}}, "stop_atr must be at least 0.1, was -1"),
        ({"fair-value-gap": {"min_gap_atr": float("nan")}}, "min_gap_atr must be .*, was nan"),
        ({"continuation": {"min_retrace": 0.7}}, "min_retrace must be below max_retrace 0.62"),
        ({"range-reversion": {"oversold_rsi": 60}}, "oversold_rsi must be within 1..49, was 60"),
        ({"breakout": {"channel_bars": 2_000}}, "channel_bars must be within 4..256, was 2000"),
    ],
)
def test_wrong_configuration_is_refused_in_one_line(
    params: dict[str, dict[str, float]], line: str
) -> None:
    with pytest.raises(StrategyError, match=line) as caught:
        rule_sources(params)
    assert "\n" not in str(caught.value)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(StrategyError, match="unknown strategy 'x'"):
        rule_sources(codes=["x"])
    with pytest.raises(StrategyError, match="unknown predictor 'oracle', known are online-linear"):
        learned_sources(["oracle"])
