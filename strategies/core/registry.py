"""The one list of rules and predictors: to add one, write its file and its line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import TypeVar

from engine.features import FEATURES
from engine.ports import LearnedSource, RuleSource
from strategies.core.errors import StrategyError
from strategies.core.predictors.baselines import RunningRate
from strategies.core.predictors.load import source_of
from strategies.core.predictors.microstructure import Microstructure
from strategies.core.predictors.online_linear import OnlineLinear, OnlineLinearParams
from strategies.core.predictors.trained_source import TrainedSource
from strategies.core.rules.breakout import Breakout, BreakoutParams
from strategies.core.rules.continuation import Continuation, ContinuationParams
from strategies.core.rules.ema_trend import EmaTrend, EmaTrendParams
from strategies.core.rules.fair_value_gap import FairValueGap, FairValueGapParams
from strategies.core.rules.range_reversion import RangeReversion, RangeReversionParams
from strategies.core.trained import TrainedModel
from strategies.core.training.families import checked_parameters
from strategies.core.training.train import TRAINING_DEFAULTS

# The feature whose sign is the last bar's.
LAST_RETURN = "return_1_z"

P = TypeVar("P")
Params = Mapping[str, float]


def rule_sources(
    params: Mapping[str, Params] | None = None, codes: Iterable[str] | None = None
) -> tuple[RuleSource, ...]:
    """Return the rule strategies in declared order, ``params`` by strategy code over defaults.

    ``codes`` left out means all of them.

    Raises:
        StrategyError: an unknown code or parameter, or a value a rule refuses.
    """
    given = {} if params is None else params
    _known("strategy", given, RULES)
    wanted = set(RULES) if codes is None else set(codes)
    _known("strategy", wanted, RULES)
    return tuple(build(given.get(code, {})) for code, build in RULES.items() if code in wanted)


def learned_sources(
    names: Iterable[str] | None = None,
    models: Mapping[str, TrainedModel] | None = None,
    params: Mapping[str, Params] | None = None,
) -> tuple[LearnedSource, ...]:
    """Return predictors in declared order; ``names`` left out means all of them.

    One whose model is in ``models`` (by name) is that model; every other is fresh and untrained,
    without an opinion until it has learned or is trained. ``params`` by name: of those that learn
    as they go here and now, of those that are trained checked, and used by ``train``.

    Raises:
        StrategyError: an unknown name or parameter, or a model that is not whole or of another
            family.
    """
    wanted = set(PREDICTORS) if names is None else set(names)
    given = {} if models is None else models
    values = {} if params is None else params
    for known in (wanted, given, values):
        _known("predictor", known, PREDICTORS)
    return tuple(
        _trained(name, given[name]) if name in given else _untrained(name, values.get(name, {}))
        for name in PREDICTORS
        if name in wanted
    )


def control_sources() -> tuple[LearnedSource, ...]:
    """Return fresh baselines: what a predictor must beat. They are scored and never vote."""
    return tuple(build() for build in CONTROLS.values())


def _untrained(name: str, params: Params) -> LearnedSource:
    if name in TRAINING_DEFAULTS:
        checked_parameters(TRAINING_DEFAULTS[name], params, name)
        return PREDICTORS[name]()
    if name == "online-linear":
        return OnlineLinear(_params(name, OnlineLinearParams, params, "predictors"))
    if params:
        raise StrategyError(f"predictors.{name}: unknown parameter {min(params)!r}, known are none")
    return PREDICTORS[name]()


def _trained(name: str, model: TrainedModel) -> LearnedSource:
    source = source_of(model)
    if source.code != name:
        raise StrategyError(f"model of predictor {name} must be of its family, was {source.code}")
    return source


def parameter_defaults() -> dict[str, dict[str, float]]:
    """Return every rule's parameters with their defaults, by strategy code."""
    return {
        code: {field.name: float(getattr(kind(), field.name)) for field in fields(kind)}
        for code, kind in PARAMS.items()
    }


def _column(feature: str) -> int:
    return [name for name, *_ in FEATURES].index(feature)


def _rule(
    code: str, kind: type[P], build: Callable[[P], RuleSource]
) -> Callable[[Params], RuleSource]:
    def make(values: Params) -> RuleSource:
        return build(_params(code, kind, values))

    return make


def _params(code: str, kind: type[P], values: Params, section: str = "strategies") -> P:
    types = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type]
    checked: dict[str, float] = {}
    for name, value in values.items():
        if name not in types:
            raise StrategyError(
                f"{section}.{code}: unknown parameter {name!r}, known are {', '.join(types)}"
            )
        # A bool is an int to Python; in a file of parameters it is a slip.
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise StrategyError(f"{section}.{code}.{name} must be a number, was {value!r}")
        if types[name] == "int":
            if value != value or value in (float("inf"), float("-inf")) or int(value) != value:
                raise StrategyError(f"{section}.{code}.{name} must be whole, was {value!r}")
            checked[name] = int(value)
        else:
            checked[name] = float(value)
    try:
        return kind(**checked)
    except StrategyError as error:
        raise StrategyError(f"{section}.{code}.{error}") from error


def _known(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise StrategyError(f"unknown {what} {unknown[0]!r}, known are {', '.join(known)}")


PARAMS: Mapping[str, type] = {
    "ema-trend": EmaTrendParams,
    "fair-value-gap": FairValueGapParams,
    "continuation": ContinuationParams,
    "range-reversion": RangeReversionParams,
    "breakout": BreakoutParams,
}
RULES: Mapping[str, Callable[[Params], RuleSource]] = {
    "ema-trend": _rule("ema-trend", EmaTrendParams, EmaTrend),
    "fair-value-gap": _rule("fair-value-gap", FairValueGapParams, FairValueGap),
    "continuation": _rule("continuation", ContinuationParams, Continuation),
    "range-reversion": _rule("range-reversion", RangeReversionParams, RangeReversion),
    "breakout": _rule("breakout", BreakoutParams, Breakout),
}
PREDICTORS: Mapping[str, Callable[[], LearnedSource]] = {
    "online-linear": OnlineLinear,
    "gradient-boosting": lambda: TrainedSource("gradient-boosting"),
    "forest": lambda: TrainedSource("forest"),
    "neural-network": lambda: TrainedSource("neural-network"),
    "microstructure": Microstructure,
}
CONTROLS: Mapping[str, Callable[[], LearnedSource]] = {
    "base-rate": lambda: RunningRate("base-rate"),
    "last-return": lambda: RunningRate("last-return", _column(LAST_RETURN)),
}
