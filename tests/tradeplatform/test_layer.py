"""The optimization layer plugged into a replay, and left out of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from decimal import Context, Decimal, localcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.core.management import CommandError

from engine.failsafe import FailSafePolicy
from engine.phases.risk_and_sizing import Answer
from engine.ports import StrategyStatus
from engine.simulated_operator import SimulatedOperator
from engine.types.decisions import JsonValue
from engine.types.opinions import Regime
from market.sources.history import HistorySource, load_history
from optimization.core.actions import ActionKind
from optimization.core.bounds import HeldWeight
from optimization.core.layer import AdaptivePolicy
from optimization.core.replay_layer import ReplayLayer
from optimization.core.state import LayerState
from optimization.core.weighting import WeightBook
from tests.engine.phases.scene import STRATEGY, entry, fail_safe, risk, snapshot
from tests.engine.phases.sizing import ask
from tests.tradeplatform.test_replay import bar_file, replay
from tradeplatform import bootstrap
from tradeplatform.configuration import Configuration, ConfigurationError, load
from tradeplatform.layer import layer_settings, replay_layer
from tradeplatform.replay_run import Replay

__all__ = ["bar_file"]

ROOT = Path(__file__).resolve().parent.parent.parent
WITHOUT = """
import json, sys

class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "optimization":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Gone())
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings_test"
from decimal import Decimal
from market.sources.history import HistorySource, load_history
from tradeplatform import bootstrap
from tradeplatform.configuration import Configuration

class Quiet:
    def incident(self, where, error):
        raise error

history = load_history([sys.argv[1]], symbol=None, timeframe=None)
wiring = bootstrap.replay(
    Configuration(), HistorySource(history), cash_quote=Decimal("10000.0"), reporter=Quiet(),
    slippage_bps=Decimal(2),
)
wiring.run()
assert not any(name.split(".")[0] == "optimization" for name in sys.modules)
print(json.dumps({"digest": wiring.journal.hexdigest(), "orders": wiring.journal.counts.orders}))
"""


def test_a_replay_with_the_layer_off_equals_one_without_the_package(bar_file: Path) -> None:
    """OPT-01, OPT-43: the same digest, in a process where nobody can import the layer."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(bar_file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    without = json.loads(done.stdout.splitlines()[-1])
    # a decimal context of its own: ccxt changes the rounding of whatever process has used it
    with localcontext(Context()):
        off = replay(bar_file, layer="off")
    assert off["layer"] is None
    assert (off["digest"], off["orders"]) == (without["digest"], without["orders"])
    assert off["orders"] > 0


def test_layer_on_filters_sizes_and_repeats(bar_file: Path) -> None:
    """OPT-11, OPT-12, I-26: weak signals are skipped, and the same bars give the same answer."""
    off, on, again = (replay(bar_file, layer=one) for one in ("off", "on", "on"))
    layer = on["layer"]
    assert layer["assessed"] > 0
    assert layer["filtered"]["LOW_QUALITY"] > 0
    assert on["orders"] < off["orders"]
    assert 0.1 <= layer["mean_multiplier"] <= 2.0
    assert layer["updates"] >= 1
    assert set(layer["final_weights"]) == set(layer["final_statuses"])
    assert on["cap_breaches"] == 0
    assert (on["digest"], on["layer"]) == (again["digest"], again["layer"])


def test_a_layer_that_filters_and_sizes_nothing_gives_the_digest_of_no_layer(
    bar_file: Path, tmp_path: Path
) -> None:
    """OPT-04, OPT-22: with every part null and flat slopes a multiplier of 1 changes nothing."""
    config = tmp_path / "config.yaml"
    config.write_text(
        "optimization:\n"
        "  enable_quality_filtering: false\n"
        "  enable_adaptive_weighting: false\n"
        "  enable_retirement_management: false\n"
        "  sizing: {quality_slope: 0.0, alignment_slope: 0.0}\n"
    )
    off, on = (replay(bar_file, layer=one, config=str(config)) for one in ("off", "on"))
    assert on["layer"]["assessed"] > 0 and on["layer"]["filtered"] == {}
    assert on["layer"]["mean_multiplier"] == 1.0
    assert on["digest"] == off["digest"]


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("health: {window_trade: 3}", "optimization.health.window_trade was unknown, allowed:"),
        ("sizing: {quality_slope: 3.0}", "optimization.sizing.quality_slope was 3, allowed: 0 to"),
        ("weighting: {policy: best}", "optimization.weighting.policy was 'best', allowed:"),
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused_with_one_line(
    bar_file: Path, tmp_path: Path, section: str, line: str
) -> None:
    """OPT-81, F-087"""
    config = tmp_path / "config.yaml"
    config.write_text(f"optimization:\n  {section}\n")
    with pytest.raises(CommandError) as refused:
        replay(bar_file, layer="on", config=str(config))
    assert refused.value.returncode == 2
    assert line in str(refused.value) and "\n" not in str(refused.value)


def enabled() -> Configuration:
    return bootstrap.with_layer(Configuration(), True)


def test_the_layer_is_built_from_the_configured_base_weights(
    bar_file: Path, tmp_path: Path
) -> None:
    """OPT-03: exactly the configured strategies, each at its own weight."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "optimization: {enabled: true}\nstrategies:\n"
        "  breakout: {base_weight: 1.3}\n  ema-trend: {base_weight: 0.7}\n"
    )
    config = load(path)
    wiring = bootstrap.replay(
        config,
        HistorySource(load_history([str(bar_file)], symbol=None, timeframe=None)),
        cash_quote=Decimal(10_000),
        reporter=Quiet(),
        layer=replay_layer,
    )
    assert wiring.layer is not None
    assert wiring.layer.policy.weights(Regime.TRENDING) == {
        "ema-trend": 0.7,
        "fair-value-gap": 1.0,
        "continuation": 1.0,
        "range-reversion": 1.0,
        "breakout": 1.3,
        "ensemble": 1.0,
    }
    assert layer_settings(config).update_interval_seconds == 3600.0
    assert layer_settings(config).quality_threshold == 0.60


class Quiet:
    def incident(self, where: str, error: BaseException) -> None:
        raise error


RULES = ("ema-trend", "fair-value-gap", "breakout", "range-reversion", "continuation")


def wired(bar_file: Path, suspended: tuple[str, ...]) -> Replay:
    """A replay that begins with some strategies suspended."""

    def layer(config: Configuration, operator: SimulatedOperator) -> ReplayLayer:
        for code in suspended:
            operator.set_status(code, StrategyStatus.SUSPENDED)
        return replay_layer(config, operator)

    return bootstrap.replay(
        enabled(),
        HistorySource(load_history([str(bar_file)], symbol=None, timeframe=None)),
        cash_quote=Decimal(10_000),
        reporter=Quiet(),
        layer=layer,
    )


def test_a_suspended_strategy_goes_on_in_a_shadow_book_and_in_no_other(bar_file: Path) -> None:
    """D-07, D-02: virtual trades only; no entry of it reaches the real account."""
    wiring = wired(bar_file, RULES)
    wiring.run()
    assert wiring.layer is not None
    summary = wiring.layer.summary()
    assert isinstance(summary["shadow_trades"], int) and summary["shadow_trades"] > 3
    assert {cut.strategy for cut in wiring.journal.trades.by_key()} <= {None, "ensemble"}


def test_nobody_suspended_needs_no_shadow_book(bar_file: Path) -> None:
    """D-07"""
    wiring = wired(bar_file, ())
    wiring.run()
    assert wiring.layer is not None and wiring.layer.summary()["shadow_trades"] == 0
    assert wiring.journal.counts.trades > 0


POINTS = ("refresh", "assess", "size_multiplier", "record_outcome")


def test_all_five_integration_points_are_exercised_in_a_replay(bar_file: Path) -> None:
    """OPT-02: start, scoring, multiplier, outcome, update; each counted at the seam."""
    seen: Counter[str] = Counter()

    class Counting(ReplayLayer):
        def __getattribute__(self, name: str) -> Any:
            if name in POINTS:
                seen[name] += 1
            return super().__getattribute__(name)

    def layer(config: Configuration, operator: SimulatedOperator) -> ReplayLayer:
        made = replay_layer(config, operator)
        made.__class__ = Counting
        seen["start"] += 1
        return made

    wiring = bootstrap.replay(
        enabled(),
        HistorySource(load_history([str(bar_file)], symbol=None, timeframe=None)),
        cash_quote=Decimal(10_000),
        reporter=Quiet(),
        layer=layer,
    )
    wiring.run()
    assert wiring.layer is not None
    summary, counts = wiring.layer.summary(), wiring.journal.counts
    assert seen["start"] == 1
    assert seen["refresh"] == counts.bars
    assert seen["record_outcome"] == counts.trades > 0
    assert seen["assess"] == summary["assessed"]
    assert isinstance(summary["filtered"], dict)
    refused = summary["filtered"]["LOW_QUALITY"]
    assert isinstance(refused, int)
    assert seen["size_multiplier"] == seen["assess"] - refused > 0
    assert summary["as_of"] is not None and summary["updates"] == 1 + 1_500 // 60


def test_entries_in_a_favourable_regime_are_larger_on_average(bar_file: Path) -> None:
    """OPT-85: over a replay with nothing filtered, by what the policy itself told."""
    told: list[tuple[float, float]] = []

    def tell(kind: ActionKind, fields: Mapping[str, JsonValue]) -> None:
        if kind is ActionKind.SIZING:
            alignment, found = fields["alignment_factor"], fields["multiplier"]
            assert isinstance(alignment, float) and isinstance(found, float)
            told.append((alignment, found))

    section = msgspec.structs.replace(enabled().optimization, enable_quality_filtering=False)
    wiring = bootstrap.replay(
        msgspec.structs.replace(enabled(), optimization=section),
        HistorySource(load_history([str(bar_file)], symbol=None, timeframe=None)),
        cash_quote=Decimal(10_000),
        reporter=Quiet(),
        layer=lambda config, operator: replay_layer(config, operator, tell),
    )
    wiring.run()
    unfavourable = [m for alignment, m in told if alignment < 1.0]
    favourable = [m for alignment, m in told if alignment > 1.0]
    assert min(len(favourable), len(unfavourable)) >= 5
    assert sum(unfavourable) / len(unfavourable) < sum(favourable) / len(favourable)


# -- the risk section and the layer ----------------------------------------------------------------


def best_layer(config: Configuration) -> FailSafePolicy:
    """The layer of this configuration, to which every signal is as good as its confidence."""
    book = WeightBook("t", {STRATEGY: HeldWeight(2.0)})
    policy = AdaptivePolicy(
        layer_settings(config),
        base_weights=bootstrap.base_weights(config),
        favourable=bootstrap.favourable_regimes(config),
        read=lambda version: LayerState(version=1, book=book) if version is None else None,
    )
    policy.refresh(0)
    return FailSafePolicy(policy, fail_safe())


def judged(config: Configuration, **account: Any) -> Answer:
    limits = bootstrap.risk_limits(config)
    signal = entry(confidence=1.0, stop_price=snapshot().close * 0.99)
    return ask(signal, best_layer(config), limits=limits, risk=risk(**account))


def written(tmp_path: Path, risk_section: str) -> Configuration:
    path = tmp_path / "config.yaml"
    path.write_text(f"optimization: {{enabled: true}}\nrisk: {risk_section}\n")
    return load(path)


def test_the_layer_trades_under_the_limits_of_the_risk_section(tmp_path: Path) -> None:
    """OPT-05: 20 % of the peak and 10 % of equity if unset, as fractions, in the wiring itself."""
    unset = written(tmp_path, "{}")
    limits = bootstrap.risk_limits(unset)
    assert (limits.max_drawdown, limits.max_position_size) == (Decimal("0.2"), Decimal("0.1"))
    edited = written(tmp_path, "{max_total_drawdown: 0.12, max_position_size: 0.04}")
    limits = bootstrap.risk_limits(edited)
    assert (limits.max_drawdown, limits.max_position_size) == (Decimal("0.12"), Decimal("0.04"))
    for value in ("20", "12 %"):
        with pytest.raises(ConfigurationError, match="max_total_drawdown"):
            written(tmp_path, f"{{max_total_drawdown: {value}}}")


def test_an_edit_of_the_risk_section_moves_both_gates_with_the_layer_on(tmp_path: Path) -> None:
    """OPT-05, OPT-70: the cap of a position and the drawdown from the peak, each at its number."""
    for section, cap, peak in (
        ("{}", Decimal("1000"), Decimal("12500")),
        ("{max_position_size: 0.04}", Decimal("400"), Decimal("12500")),
        ("{max_total_drawdown: 0.1}", Decimal("1000"), Decimal("11111.2")),
    ):
        config = written(tmp_path, section)
        sizing = judged(config).sizing
        assert sizing.multiplier_applied == 2.0
        assert cap * Decimal("0.97") < sizing.notional_quote <= cap
        denied = judged(config, peak_equity_quote=peak).sizing
        assert denied.denied is not None and denied.denied.code == "MAX_DRAWDOWN"
        assert judged(config, peak_equity_quote=peak - 1).sizing.quantity_base > 0
