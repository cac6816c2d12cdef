"""A sweep: what is tried in which window, in which order, and what it is worth in the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from engine.types.decisions import JsonValue
from research.core.deflated_sharpe import (
    Deflated,
    deflated_sharpe,
    probabilistic_sharpe,
    sample_of,
)
from research.core.search import Range, Trial, next_parameters
from research.core.walk_forward import Window
from trades.core.performance import DAY_MS, few_days, few_trades

IN_SAMPLE, CHOSEN, DEFAULTS = "in-sample", "chosen", "defaults"
YEAR_MS = 365.25 * 86_400_000
BELIEVED = 0.95


@dataclass(frozen=True, slots=True)
class Unit:
    """One replay of a sweep. ``number`` counts within its window and kind."""

    window: int
    kind: str
    number: int
    parameters: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one unit found; ``refused`` is why its values could not be traded, empty otherwise.

    ``returns`` are of each period (n_periods,); ``sharpe`` is of them, per period, None where
    nothing varied. ``path`` is ``columns``, or ``session: `` and why; empty where nothing was
    traced, or before paths were told.
    """

    unit: Unit
    return_fraction: float | None
    trades: int
    returns: tuple[float, ...]
    refused: str = ""
    path: str = ""

    @property
    def sharpe(self) -> float | None:
        sample = sample_of(np.array(self.returns, dtype=np.float64))
        return None if sample is None else sample.sharpe

    @property
    def value(self) -> float | None:
        """What the search maximises: a rule that never trades is worth nothing, not unknown."""
        if self.refused:
            return None
        return self.sharpe if self.sharpe is not None else 0.0


@dataclass(frozen=True, slots=True)
class Search:
    """What decides every unit of a sweep besides what its units found.

    ``batch`` trials of a window are asked together, knowing all trials of the batches before, so
    that they can run at once and it does not matter who ran which of them.
    """

    windows: tuple[Window, ...]
    ranges: tuple[Range, ...]
    defaults: Mapping[str, float]
    trials: int
    seed: int
    batch: int


def units_ready(done: Sequence[Outcome], search: Search) -> list[Unit]:
    """Return every unit that may run now and is not done; none left means the sweep is complete.

    The same outcomes give the same units in the same order. In each window: the trials in sample,
    batch by batch, then the winner and the defaults out of sample. Windows wait for no other.
    """
    return [unit for window in search.windows for unit in _ready_in(window, done, search)]


def _ready_in(window: Window, done: Sequence[Outcome], search: Search) -> list[Unit]:
    mine = [outcome for outcome in done if outcome.unit.window == window.number]
    tried = {outcome.unit.number: outcome for outcome in _of_kind(mine, IN_SAMPLE)}
    missing = [number for number in range(search.trials) if number not in tried]
    if missing:
        first = missing[0] // search.batch * search.batch
        known = [Trial(tried[n].unit.parameters, tried[n].value) for n in range(first)]
        seed = search.seed + 1_000_003 * window.number
        return [
            Unit(window.number, IN_SAMPLE, n, next_parameters(search.ranges, known, seed, n))
            for n in missing
            if n < first + search.batch
        ]
    best = winner(list(tried.values()))
    wanted = [] if best is None else [Unit(window.number, CHOSEN, 0, best.unit.parameters)]
    wanted.append(Unit(window.number, DEFAULTS, 0, search.defaults))
    return [unit for unit in wanted if not _of_kind(mine, unit.kind)]


def winner(tried: Sequence[Outcome]) -> Outcome | None:
    """Return the best in sample, the earliest of equals; None where every trial was refused."""
    known = [outcome for outcome in tried if outcome.value is not None]
    return max(known, key=lambda o: (o.value or 0.0, -o.unit.number), default=None)


def summary(
    done: Sequence[Outcome], windows: Sequence[Window], period_ms: int
) -> dict[str, JsonValue]:
    """Return what the sweep is worth; the out-of-sample column stands in every row.

    ``lacks`` is why the figures beside it say nothing ("too few trades (8 of 30)"), empty where
    they do.
    Sharpe ratios are a year's. ``deflated_probability`` counts every trial of its window.
    """
    rows: list[JsonValue] = []
    chosen_returns: list[float] = []
    chosen_trades, default_trades, days = 0, 0, 0
    default_returns: list[float] = []
    deflated: list[float] = []
    for window in windows:
        mine = [outcome for outcome in done if outcome.unit.window == window.number]
        tried, out = _of_kind(mine, IN_SAMPLE), _of_kind(mine, CHOSEN)
        base, best = _of_kind(mine, DEFAULTS), winner(tried)
        if best is None or not out or not base:
            continue
        worth = _deflated(best, tried)
        chosen_returns += out[0].returns
        chosen_trades += out[0].trades
        default_trades += base[0].trades
        days += _days(window)
        default_returns += base[0].returns
        if worth is not None:
            deflated.append(worth.probability)
        rows.append(_row(window, best, tried, out[0], base[0], worth, period_ms))
    together = _together(chosen_returns, period_ms) | {
        "trades": chosen_trades,
        "lacks": _lacks(chosen_trades, days),
    }
    return {
        "windows": rows,
        "trials": sum(outcome.unit.kind == IN_SAMPLE for outcome in done),
        "refused": sum(bool(outcome.refused) for outcome in done),
        "out_of_sample": together,
        "defaults_out_of_sample": _together(default_returns, period_ms)
        | {"trades": default_trades, "lacks": _lacks(default_trades, days)},
        "deflated_probability_lowest": min(deflated, default=None),
        "verdict": _verdict(together, deflated, chosen_trades, days),
    }


def result_digest(result: JsonValue) -> str:
    """Return the SHA-256 of a result's canonical text: equal where every figure is equal."""
    text = json.dumps(result, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _row(
    window: Window,
    best: Outcome,
    tried: Sequence[Outcome],
    out: Outcome,
    base: Outcome,
    worth: Deflated | None,
    period_ms: int,
) -> JsonValue:
    return {
        "window": window.number,
        "in_from_ms": window.in_from_ms,
        "in_to_ms": window.in_to_ms,
        "out_from_ms": window.out_from_ms,
        "out_to_ms": window.out_to_ms,
        "parameters": [[name, best.unit.parameters[name]] for name in sorted(best.unit.parameters)],
        "trials": len(tried),
        "in_sample_sharpe": _a_year(best.sharpe, period_ms),
        "in_sample_return_fraction": best.return_fraction,
        "in_sample_trades": best.trades,
        "in_sample_lacks": _lacks(best.trades, (window.in_to_ms - window.in_from_ms) // DAY_MS),
        "chance_sharpe": None if worth is None else _a_year(worth.benchmark, period_ms),
        "deflated_probability": None if worth is None else worth.probability,
        "out_of_sample_sharpe": _a_year(out.sharpe, period_ms),
        "out_of_sample_return_fraction": out.return_fraction,
        "out_of_sample_trades": out.trades,
        "out_of_sample_lacks": _lacks(out.trades, _days(window)),
        "defaults_sharpe": _a_year(base.sharpe, period_ms),
        "defaults_return_fraction": base.return_fraction,
        "defaults_lacks": _lacks(base.trades, _days(window)),
    }


def _deflated(best: Outcome, tried: Sequence[Outcome]) -> Deflated | None:
    sample = sample_of(np.array(best.returns, dtype=np.float64))
    known = [outcome.value for outcome in tried if outcome.value is not None]
    return None if sample is None else deflated_sharpe(sample, known)


def _together(returns: Sequence[float], period_ms: int) -> dict[str, JsonValue]:
    """Return the out-of-sample stretches end to end; the Sharpe needs no deflating, for nothing
    was chosen there."""
    found = np.array(returns, dtype=np.float64)
    sample = sample_of(found)
    return {
        "periods": len(found),
        "return_fraction": float(np.prod(1.0 + found) - 1.0) if len(found) else None,
        "sharpe": None if sample is None else _a_year(sample.sharpe, period_ms),
        "probability_above_0": None if sample is None else probabilistic_sharpe(sample),
    }


def _days(window: Window) -> int:
    return (window.out_to_ms - window.out_from_ms) // DAY_MS


def _lacks(trades: int, days: int) -> str:
    """Return why a stretch's figures say nothing, empty where they do: see ``few_trades``."""
    return few_trades(trades) or few_days(days)


def _verdict(
    together: Mapping[str, JsonValue], deflated: Sequence[float], trades: int, days: int
) -> str:
    chance = together["probability_above_0"]
    if _lacks(trades, days):
        what = "trades" if few_trades(trades) else "days"
        return f"too few {what} out of sample to say"
    if not isinstance(chance, float) or not deflated:
        return "not enough evidence: too few periods, or none that differ"
    if chance > BELIEVED and min(deflated) > BELIEVED:
        return "holds out of sample, and beyond what so many trials find by chance"
    if chance > BELIEVED:
        return "good out of sample, but in sample no better than so many trials find by chance"
    return "not enough evidence: out of sample the Sharpe ratio is not surely above 0"


def _a_year(sharpe: float | None, period_ms: int) -> float | None:
    return None if sharpe is None else sharpe * sqrt(YEAR_MS / period_ms)


def _of_kind(outcomes: Sequence[Outcome], kind: str) -> list[Outcome]:
    return sorted(
        (outcome for outcome in outcomes if outcome.unit.kind == kind),
        key=lambda outcome: outcome.unit.number,
    )
