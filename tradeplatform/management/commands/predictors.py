"""Says what the predictors are worth on given candles: walk-forward and out of sample."""

from __future__ import annotations

import resource
import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from django.core.management.base import BaseCommand, CommandError

from engine.types.bars import BarColumns, ColumnStore, Instrument
from market.errors import DataError
from market.sources.history import load_history
from market.sources.instruments import instrument_for
from research.core.planted import planted, shuffled
from research.core.predictor_evaluation import EvaluationSettings, evaluate, pooled
from research.core.predictor_verdicts import Answers, SourceResult, results
from strategies.core.errors import StrategyError
from strategies.core.registry import PREDICTORS
from tradeplatform.arguments import moment_ms, names_among, number_within
from tradeplatform.configuration_errors import ConfigurationError

PLANTED_SYMBOL, PLANTED_TIMEFRAME_MS = "PLANTED/USDT", 60_000
_BAR_FIELDS = ("ts_ms", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class Series:
    """One instrument's candles and where they come from."""

    name: str
    instrument: Instrument
    bars: BarColumns


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verb = verbs.add_parser("evaluate", help="figures of every source, out of sample")
        what = verb.add_mutually_exclusive_group(required=True)
        what.add_argument("--data", nargs="+", metavar="FILE")
        what.add_argument("--planted", metavar="STRENGTH", help="a synthetic signal, 0 to 1")
        verb.add_argument("--shuffle", action="store_true", help="the bars in random order")
        verb.add_argument("--horizon", default="12", metavar="N", help="bars until the outcome")
        verb.add_argument("--symbol")
        verb.add_argument("--timeframe")
        verb.add_argument("--from", dest="from_iso", metavar="ISO")
        verb.add_argument("--to", dest="to_iso", metavar="ISO")
        verb.add_argument("--rows", metavar="N", help="only the last N bars of each symbol")
        verb.add_argument("--retrain", default="5000", metavar="K", help="rows between trainings")
        verb.add_argument("--window", metavar="N", help="train on the last N rows; default: all")
        verb.add_argument("--predictors", metavar="a,b", help="default: all")
        verb.add_argument("--seed", default="1")
        verb.add_argument("--json", action="store_true")

    def handle(self, **options: Any) -> None:
        try:
            document = self._evaluate(options)
        except (DataError, ConfigurationError, StrategyError) as error:
            raise CommandError(str(error), returncode=2) from error
        if options["json"]:
            self.stdout.write(orjson.dumps(document).decode())

    def _evaluate(self, options: Mapping[str, Any]) -> dict[str, Any]:
        settings, started_s = _settings(options), time.monotonic()
        parts: list[tuple[Series, Answers]] = []
        for series in _series(options, settings):
            self.stderr.write(f"{series.name}: {len(series.bars)} bars")
            found = evaluate(
                series.instrument,
                ColumnStore(series.bars),
                settings,
                lambda line, name=series.name: self.stderr.write(f"{name}: {line}"),  # type: ignore[misc]
            )
            parts.append((series, found))
        files = []
        for series, answers in parts:
            of_series = results(answers, settings.horizon_bars, settings.seed)
            files.append({**_about(series, answers), "sources": _plain(of_series)})
            self._show(options, f"{series.name}, {len(answers.outcome_up)} rows", of_series)
        together = pooled([answers for _, answers in parts])
        of_all = results(together, settings.horizon_bars, settings.seed)
        if len(parts) > 1:
            self._show(options, f"together, {len(together.outcome_up)} rows", of_all)
        return {
            "horizon_bars": settings.horizon_bars,
            "retrain_rows": settings.retrain_rows,
            "max_train_rows": settings.max_train_rows,
            "seed": settings.seed,
            "shuffled": bool(options["shuffle"]),
            "planted": None if options["planted"] is None else float(options["planted"]),
            "n": len(together.outcome_up),
            "sources": _plain(of_all),
            "files": files,
            "elapsed_s": round(time.monotonic() - started_s, 2),
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        }

    def _show(self, options: Mapping[str, Any], title: str, found: Sequence[SourceResult]) -> None:
        if options["json"]:
            return
        self.stdout.write(title)
        heads = ("log loss", "brier", "accuracy", "auc", "ece", "ic")
        self.stdout.write(f"  {'':18}" + "".join(f"{head:>10}" for head in heads))
        for source in found:
            m = source.metrics
            values = (m.log_loss, m.brier, m.accuracy, m.auc, m.ece, m.information_coefficient)
            row = "".join(f"{estimate.value:>10.5f}" for estimate in values)
            self.stdout.write(f"  {source.name:18}{row}")
        for source in found:
            self.stdout.write(f"  {source.sentence}")


def _settings(options: Mapping[str, Any]) -> EvaluationSettings:
    window = options["window"]
    known = tuple(PREDICTORS)
    chosen = options["predictors"]
    return EvaluationSettings(
        horizon_bars=int(number_within("--horizon", options["horizon"], 1, 500, whole=True)),
        retrain_rows=int(number_within("--retrain", options["retrain"], 100, 10**7, whole=True)),
        max_train_rows=None
        if window is None
        else int(number_within("--window", window, 500, 10**7, whole=True)),
        seed=int(number_within("--seed", options["seed"], 0, 2**32 - 1, whole=True)),
        predictors=None if chosen is None else names_among("--predictors", chosen, known),
    )


def _series(options: Mapping[str, Any], settings: EvaluationSettings) -> list[Series]:
    rng = np.random.Generator(np.random.PCG64(settings.seed))
    rows = options["rows"]
    n_rows = None if rows is None else int(number_within("--rows", rows, 1, 10**8, whole=True))
    if options["planted"] is not None:
        strength = number_within("--planted", options["planted"], 0.0, 1.0)
        made = planted(n_rows or 20_000, strength, rng, PLANTED_TIMEFRAME_MS).bars
        found = [(f"planted {strength:g}", PLANTED_SYMBOL, made)]
    else:
        found = [entry for path in options["data"] for entry in _file(path, options, n_rows)]
    if options["shuffle"]:
        found = [(f"{name}, shuffled", symbol, shuffled(b, rng)) for name, symbol, b in found]
    return [Series(name, instrument_for(symbol, bars), bars) for name, symbol, bars in found]


def _file(
    path: str, options: Mapping[str, Any], n_rows: int | None
) -> list[tuple[str, str, BarColumns]]:
    history = load_history([path], symbol=options["symbol"], timeframe=options["timeframe"])
    from_ms = moment_ms("--from", options["from_iso"])
    to_ms = moment_ms("--to", options["to_iso"])
    found = []
    for symbol, bars in history.bars.items():
        first = 0 if from_ms is None else int(np.searchsorted(bars.ts_ms, from_ms))
        last = len(bars) if to_ms is None else int(np.searchsorted(bars.ts_ms, to_ms))
        if n_rows is not None:
            first = max(first, last - n_rows)
        cut = {name: getattr(bars, name)[first:last] for name in _BAR_FIELDS}
        found.append((path, symbol, BarColumns(**cut, timeframe_ms=bars.timeframe_ms)))
    return found


def _about(series: Series, answers: Answers) -> dict[str, Any]:
    return {
        "name": series.name,
        "symbol": series.instrument.symbol,
        "timeframe_ms": series.bars.timeframe_ms,
        "bars": len(series.bars),
        "n": len(answers.outcome_up),
        "first_ts_ms": int(answers.ts_ms[0]),
        "last_ts_ms": int(answers.ts_ms[-1]),
        "trainings": answers.n_trainings,
    }


def _plain(found: Sequence[SourceResult]) -> dict[str, Any]:
    return {source.name: source.as_json() for source in found}
