"""Replays the same candles without and with the optimization layer and says what differs."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

import numpy as np
import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from market.errors import DataError
from research.core.comparison import Comparison, MetricDifference, compare
from research.core.comparison_journal import ComparisonJournal
from strategies.core.errors import StrategyError
from tradeplatform.bootstrap import favourable_regimes
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.replay_request import ReplayRequest, add_arguments, read_request
from tradeplatform.replay_run import Replay


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)

    def handle(self, **options: Any) -> None:
        try:
            document = compared(read_request(options), options["seed"])
        except (DataError, ConfigurationError, StrategyError) as error:
            raise CommandError(str(error), returncode=2) from error
        if not options["json"]:
            self._tell(document["comparison"])
            return
        plain = {**document, "comparison": asdict(document["comparison"])}
        self.stdout.write(orjson.dumps(plain).decode())

    def _tell(self, result: Comparison) -> None:
        self.stdout.write(
            f"at the ends of {result.periods} periods of {result.period_hours:.4g} h, with 95 %"
            " intervals; a replay measures at every bar, so its Sharpe, Sortino and drawdown differ"
        )
        for name, difference in result.differences.items():
            self.stdout.write(f"{name:24} {_sentence(difference)}")
        for code, kept_out in result.filtering.items():
            self.stdout.write(
                f"kept out by {code}: {_counted(kept_out.signals, 'signal')}, without the layer"
                f" {_counted(kept_out.traded, 'trade')}; losses saved {kept_out.saved_quote:.2f},"
                f" wins missed {kept_out.missed_quote:.2f}"
            )
        self.stdout.write(
            f"sizing added {result.sizing.added_quote:.2f} over {result.sizing.trades} trades of"
            " both runs"
        )


def compared(request: ReplayRequest, seed: int) -> dict[str, Any]:
    """Return both results, what differs, and what made them; ``seed`` is of the intervals."""
    off, off_result = request.run(with_layer=False, journal=ComparisonJournal, label="off: ")
    on, on_result = request.run(with_layer=True, journal=ComparisonJournal, label="on: ")
    favourable = {
        code: frozenset(regime.value for regime in regimes)
        for code, regimes in favourable_regimes(request.config).items()
    }
    result = compare(_journal(off), _journal(on), favourable, np.random.default_rng(seed))
    return {
        "off": asdict(off_result),
        "on": asdict(on_result),
        "comparison": result,
        "verdict": {name: d.verdict for name, d in result.differences.items()},
        "config_digest": request.config.digest(),
        "code_version": settings.CODE_VERSION,
    }


def _journal(wiring: Replay) -> ComparisonJournal:
    journal = wiring.journal
    if not isinstance(journal, ComparisonJournal):
        raise TypeError(f"a comparison needs its own journal, was {type(journal).__name__}")
    return journal


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _sentence(of: MetricDifference) -> str:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:+.4f}"

    return (
        f"off {number(of.off)}  on {number(of.on)}  difference {number(of.difference)}"
        f" [{number(of.low)}, {number(of.high)}]  {of.verdict}"
    )
