"""The six checks of ``validate_optimization`` (OPT-48). Each drives real objects and can fail.

Nothing is written: the checks trade a synthetic market in memory. Parts of the layer are imported
by name, because a part that cannot be imported is what the first check is for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module
from typing import Any

from engine.failsafe import Failure, attempt
from market.sources.history import History, HistorySource
from market.sources.instruments import instrument_for
from market.sources.synthetic_path import synthetic_bars
from monitoring.layer import layer
from tradeplatform import bootstrap
from tradeplatform.configuration import Configuration, from_mapping
from tradeplatform.layer import replay_layer
from tradeplatform.replay_run import Replay
from tradeplatform.reporters import LogReporter

COMPONENTS = (
    "optimization.core.performance",
    "optimization.core.weighting",
    "optimization.core.quality.formula",
    "optimization.core.health.machine",
    "optimization.core.sizing",
    "optimization.core.update",
    "optimization.core.layer",
    "optimization.services",
    "optimization.selectors",
    "optimization.live",
    "optimization.wiring",
)
PLATFORM = (
    "tradeplatform.bootstrap",
    "tradeplatform.running",
    "tradeplatform.run_setup",
    "tradeplatform.urls",
    "tradeplatform.celery",
)
PLUGS = (
    "status",
    "api_patterns",
    "page_patterns",
    "settings_section",
    "adopt_file",
    "settings",
    "replay_layer",
    "live_policy",
    "live_announcer",
    "report_at_shutdown",
)
SYMBOL, START_MS, MINUTE_MS = "BTC/USDT", 1_700_000_040_000, 60_000
N_BARS, SEED = 4_000, 5
# what was written before the layer had a section of its own
LEGACY: Mapping[str, Any] = {
    "exchange": {"id": "practice", "account": "desk"},
    "trading": {"symbols": ["BTC/USDT"], "timeframe": "5m", "cash": 25_000.0},
    "risk": {"risk_per_trade": 0.005, "max_position_size": 0.08, "max_total_drawdown": 0.15},
    "strategies": {"ema-trend": {"base_weight": 1.2}},
    "predictors": {"online-linear": {"enabled": False}},
    "monitoring": {"heartbeat_grace_seconds": 20.0},
    "notifications": {"minimum_severity": "critical"},
}


class CheckFailed(Exception):
    """A check found something; the message says what it was and what it should have been."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    name: str
    passed: bool
    detail: str


def run_checks() -> list[CheckResult]:
    """Run all six; one that raises has failed, and the others are run all the same."""
    return [_result(name, check) for name, check in CHECKS.items()]


def _result(name: str, check: Callable[[], str]) -> CheckResult:
    found = attempt(check, name)
    if isinstance(found, Failure):
        return CheckResult(name, False, found.text.removeprefix("CheckFailed: "))
    return CheckResult(name, True, found)


def _expect(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise CheckFailed(otherwise)


# -- the checks ----------------------------------------------------------------------------------


def optimization_imports() -> str:
    """OPT-49: every component module imports."""
    for name in COMPONENTS:
        import_module(name)
    return f"{len(COMPONENTS)} component modules import"


def platform_import() -> str:
    """OPT-50: the platform imports, and the layer is plugged in by everything it needs."""
    for name in PLATFORM:
        import_module(name)
    plugged = layer()
    _expect(plugged.is_installed, "no layer is plugged in: OPTIMIZATION_WIRING is not set")
    missing = [plug for plug in PLUGS if not callable(getattr(plugged, plug, None))]
    _expect(not missing, f"the wiring has no {', '.join(missing)}")
    return f"{len(PLATFORM)} modules import, {len(PLUGS)} plugs are there"


def platform_initialisation() -> str:
    """OPT-51: the platform is built for real with the default configuration, the layer off."""
    config = default_configuration()
    _expect(not config.optimization.enabled, "optimization.enabled was true by default")
    wiring = _wired(config, None)
    _expect(wiring.layer is None, "a session of the default configuration had a layer")
    weights = bootstrap.base_weights(config)
    _expect(len(weights) == 6, f"base weights were of {len(weights)} strategies, allowed: 6")
    for _, event in zip(range(50), wiring.events(), strict=False):
        wiring.session.on_event(event)
    _expect(wiring.journal.counts.bars == 50, f"bars were {wiring.journal.counts.bars}, not 50")
    return "a session with six strategies takes 50 bars, the layer off"


def integration_points() -> str:
    """OPT-52: signals and fills go through all five points of one real session."""
    heard = _Heard()
    wiring = _wired(_switched_on(), heard)
    wiring.run()
    made, counts = wiring.layer, wiring.journal.counts
    _expect(made is not None, "point 1, initialisation: the session was built without the layer")
    done = made.summary() if made is not None else {}
    said = heard.said
    _expect(counts.trades > 0, "no trade closed: nothing was proven")
    _expect(said["evaluating"] > 0, "point 2, evaluation: no signal was scored")
    _expect(counts.orders > 0, "no order was sent: nothing was proven")
    _expect(said["sizing"] > 0, "point 3, multiplier: no size was asked for")
    _expect(
        said["sizing"] <= said["approved"],
        f"point 3, multiplier: {said['sizing']} sizes for {said['approved']} approved signals",
    )
    _expect(
        said["recording"] == counts.trades,
        f"point 4, recording: {said['recording']} of {counts.trades} closed trades were heard",
    )
    updates = done.get("updates", 0)
    _expect(isinstance(updates, int) and updates > 0, "point 5, update: none was made")
    return (
        f"{said['evaluating']} signals scored, {said['sizing']} sized, {said['recording']} trades"
        f" recorded, {updates} updates"
    )


def backward_compatibility() -> str:
    """OPT-53: a file from before the layer means what it meant."""
    config = from_mapping(dict(legacy_file()), source="legacy file")
    given = config.as_json()
    for section, keys in LEGACY.items():
        for key, value in keys.items():
            found = given[section].get(key)
            _expect(_says(found, value), f"{section}.{key} was {found}, the file says {value}")
    _expect(not config.optimization.enabled, "a file without the section switched the layer on")
    only = from_mapping({"optimization": {"enabled": True}}, source="legacy file").optimization
    _expect(only.update_interval_seconds == 3600.0, "a section with only enabled lost a default")
    return f"{len(LEGACY)} sections of a file without the layer's mean what they say"


def _says(found: Any, written: Any) -> bool:
    """Return whether a loaded value is what the file says; defaults may stand beside it."""
    if isinstance(written, dict):
        return isinstance(found, dict) and all(found.get(k) == v for k, v in written.items())
    return bool(list(found) == written if isinstance(written, list) else found == written)


def engine_lifecycle() -> str:
    """OPT-54: init, score, size, record, update, report, shutdown, within every bound."""
    state_module = import_module("optimization.core.state")
    heard = _Heard()
    wiring = _wired(_switched_on(), heard)
    wiring.run()
    made = wiring.layer
    _expect(made is not None, "the layer could not be made")
    for m in heard.multipliers:
        _expect(0.1 <= m <= 2.0, f"a multiplier was {m:g}, allowed: 0.1 to 2")
    for quality in heard.qualities:
        _expect(0.0 <= quality <= 1.0, f"a quality was {quality:g}, allowed: 0 to 1")
    _expect(bool(heard.moves), "no weight moved: the update was not proven")
    for strategy, old, new in heard.moves:
        moved = abs(new - old) / old
        _expect(moved <= 0.15 + 1e-9, f"{strategy} moved by {moved:.3f} in one update, bound 0.15")
        _expect(0.1 <= new <= 2.0, f"the weight of {strategy} was {new:g}, allowed: 0.1 to 2")
    _expect(wiring.journal.counts.cap_breaches == 0, "a position was above a hard cap")
    state: Any = getattr(made, "state", None)
    again = state_module.LayerState.from_json(state.to_json())
    _expect(again == state, "the state after a restart was another than before it")
    report = made.summary() if made is not None else {}
    statuses = report.get("final_statuses")
    _expect(isinstance(statuses, dict) and len(statuses) == 6, "the report lacks strategies")
    return (
        f"{len(heard.qualities)} scores, {len(heard.multipliers)} multipliers and"
        f" {len(heard.moves)} weight moves within their bounds; the state survives a restart"
    )


CHECKS: dict[str, Callable[[], str]] = {
    "Optimization Imports": optimization_imports,
    "Main Platform Import": platform_import,
    "Platform Initialization": platform_initialisation,
    "Integration Points": integration_points,
    "Backward Compatibility": backward_compatibility,
    "Engine Lifecycle": engine_lifecycle,
}


# -- what they are made of -----------------------------------------------------------------------


def default_configuration() -> Configuration:
    return Configuration()


def legacy_file() -> Mapping[str, Any]:
    return LEGACY


class _Heard:
    """Listens to every action of the layer and counts."""

    def __init__(self) -> None:
        self.said: Counter[str] = Counter()
        self.multipliers: list[float] = []
        self.qualities: list[float] = []
        self.moves: list[tuple[str, float, float]] = []

    def __call__(self, kind: str, fields: Mapping[str, Any]) -> None:
        self.said[str(fields.get("outcome", kind))] += 1
        if "quality" in fields:
            self.qualities.append(float(fields["quality"]))
        if "multiplier" in fields:
            self.multipliers.append(float(fields["multiplier"]))
        for code, change in (fields.get("changed") or {}).items():
            self.moves.append((code, float(change["old"]), float(change["new"])))


def _switched_on() -> Configuration:
    """Return the default configuration with the layer on, its threshold low enough that a
    synthetic market has entries on both sides of it."""
    section = {"enabled": True, "quality_threshold": 0.45, "update_interval_seconds": 600.0}
    return from_mapping({"optimization": section}, source="validation")


def _wired(config: Configuration, heard: _Heard | None) -> Replay:
    """Return a real session over a seeded synthetic market, with the layer where one listens."""
    bars = synthetic_bars(SEED, SYMBOL, START_MS, MINUTE_MS, N_BARS)
    history = History({SYMBOL: bars}, {SYMBOL: instrument_for(SYMBOL, bars)}, MINUTE_MS)
    return bootstrap.replay(
        config,
        HistorySource(history),
        cash_quote=Decimal(10_000),
        reporter=LogReporter(),
        slippage_bps=Decimal(2),
        layer=None
        if heard is None
        else lambda given, operator: replay_layer(given, operator, heard),
    )
