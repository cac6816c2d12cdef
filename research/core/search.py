"""Which parameters to try next: Optuna's tree of Parzen estimators, fed from stored trials.

The study is made anew for each question, so whoever resumes after a crash asks what would have
been asked without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

from strategies.core.errors import StrategyError
from strategies.core.registry import PARAMS, parameter_defaults

MAX_RANGES = 12


@dataclass(frozen=True, slots=True)
class Range:
    """One parameter from ``low`` to ``high``, both tried."""

    name: str
    low: float
    high: float
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """What was tried and the figure it got, more is better; None: the rule refused the values."""

    parameters: Mapping[str, float]
    value: float | None


def ranges_of(strategy: str, given: Mapping[str, Sequence[float]]) -> tuple[Range, ...]:
    """Return the ranges to search; none given means half to double of every default.

    Raises:
        StrategyError: no such rule, no such parameter, or a range that is none.
    """
    if strategy not in PARAMS:
        raise StrategyError(f"strategy was {strategy!r}, allowed: {', '.join(PARAMS)}")
    defaults = parameter_defaults()[strategy]
    whole = {f.name: f.type in ("int", int) for f in fields(PARAMS[strategy])}
    asked = {name: tuple(pair) for name, pair in given.items()} or {
        name: (value / 2, value * 2) for name, value in defaults.items() if value > 0
    }
    if len(asked) > MAX_RANGES:
        raise StrategyError(f"ranges were {len(asked)}, allowed: at most {MAX_RANGES}")
    return tuple(_range(strategy, name, pair, whole) for name, pair in sorted(asked.items()))


def _range(strategy: str, name: str, pair: Sequence[float], whole: Mapping[str, bool]) -> Range:
    if name not in whole:
        raise StrategyError(f"{strategy}: unknown parameter {name!r}, known are {', '.join(whole)}")
    if len(pair) != 2 or not -1e12 < pair[0] < pair[1] < 1e12:
        raise StrategyError(f"{strategy}.{name}: range was {list(pair)}, allowed: LOW below HIGH")
    low, high = pair
    if whole[name]:
        low, high = float(max(1, round(low))), float(round(high))
        if low >= high:
            raise StrategyError(f"{strategy}.{name}: range was {list(pair)}, allowed: whole steps")
    return Range(name, float(low), float(high), whole[name])


def next_parameters(
    ranges: Sequence[Range], tried: Sequence[Trial], seed: int, number: int
) -> dict[str, float]:
    """Return what trial ``number`` tries, knowing ``tried``; the same trials, seed and number give
    the same answer, whoever asks."""
    optuna: Any = import_module("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kinds = {r.name: _distribution(optuna, r) for r in ranges}
    sampler = optuna.samplers.TPESampler(seed=(seed + 7_919 * number) % 2**32)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in tried:
        study.add_trial(_told(optuna, trial, kinds))
    asked = study.ask(kinds).params
    return {r.name: float(asked[r.name]) for r in ranges}


def _distribution(optuna: Any, one: Range) -> Any:
    if one.is_whole:
        return optuna.distributions.IntDistribution(int(one.low), int(one.high))
    return optuna.distributions.FloatDistribution(one.low, one.high)


def _told(optuna: Any, trial: Trial, kinds: Mapping[str, Any]) -> Any:
    whole = optuna.distributions.IntDistribution
    params = {
        name: int(trial.parameters[name]) if isinstance(kind, whole) else trial.parameters[name]
        for name, kind in kinds.items()
    }
    # a refused trial teaches the search nothing; it only counts as asked
    state = optuna.trial.TrialState.FAIL if trial.value is None else None
    if state is not None:
        return optuna.trial.create_trial(state=state, params=params, distributions=kinds)
    return optuna.trial.create_trial(params=params, distributions=kinds, value=trial.value)
