"""Checks rule strategies: do they look ahead, and how many bars until they are themselves?"""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

import numpy as np
import orjson
from django.core.management.base import BaseCommand, CommandError

from engine.failsafe import Failure, attempt
from engine.ports import RuleSource
from engine.types.bars import BarColumns
from engine.window import WINDOW_BARS
from market.errors import DataError
from market.sources.files import read_bars
from market.sources.synthetic_path import synthetic_bars
from research.core.rule_checks import MULTIPLES, columns_of, look_ahead, memories
from strategies.core.errors import StrategyError
from tradeplatform.arguments import number_within
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.strategy_file import rules_in

START_MS = 1_700_000_040_000
N_BARS = 6_000
ROWS_OF_MEMORY = 12


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("act", choices=["check"])
        parser.add_argument("file", nargs="?", help="a Python file; without it the shipped rules")
        parser.add_argument("--data", metavar="FILE", help="candles; without them synthetic ones")
        parser.add_argument("--cuts", default="40", help="random bars at which history is cut")
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--json", action="store_true")

    def handle(self, **options: Any) -> None:
        try:
            cuts = int(number_within("--cuts", options["cuts"], 1, 10_000, whole=True))
            rules, bars = rules_in(options["file"]), _bars(options["data"], options["seed"])
            checked = [_check(rule, bars, cuts, options["seed"]) for rule in rules]
        except (DataError, ConfigurationError, StrategyError) as error:
            raise CommandError(str(error), returncode=2) from error
        if options["json"]:
            document = {"bars": len(bars), "cuts": cuts, "rules": checked}
            self.stdout.write(orjson.dumps(document).decode())
        else:
            for rule in checked:
                self._tell(rule)
        if failed := [rule["rule"] for rule in checked if not rule["passed"]]:
            raise CommandError(f"not fit to trade on: {', '.join(failed)}", returncode=1)

    def _tell(self, rule: dict[str, Any]) -> None:
        self.stdout.write(f"{'PASS' if rule['passed'] else 'FAIL'} {rule['rule']}")
        for found in rule["look_ahead"]:
            self.stdout.write(
                f"  look-ahead: {found['column']} at bar {found['row']} was"
                f" {found['with_future']:.6g} with bars after {found['cut']} and"
                f" {found['without']:.6g} without"
            )
        for memory in rule["memory"]:
            bars = memory["stable_bars"]
            said = "never among those tried" if bars is None else f"from {bars} bars on"
            self.stdout.write(f"  {memory['column']:14} stable {said}")
        self.stdout.write(f"  {rule['verdict']}")


def _bars(path: str | None, seed: int) -> BarColumns:
    if path is not None:
        return read_bars(path).bars
    return synthetic_bars(seed, "BTC/USDT", START_MS, 60_000, N_BARS)


def _check(rule: RuleSource, bars: BarColumns, n_cuts: int, seed: int) -> dict[str, Any]:
    """Return what both checks found of one rule.

    Raises:
        ConfigurationError: the bars are too few, or the rule fails on them.
    """
    name, needed = rule.code, rule.warm_up_bars * MULTIPLES[2] + 1
    if len(bars) <= needed:
        raise ConfigurationError(f"bars were {len(bars)}, allowed for {name}: more than {needed}")
    rng = np.random.default_rng(seed)
    cuts = sorted(rng.integers(rule.warm_up_bars, len(bars) - 1, size=n_cuts).tolist())
    found = attempt(
        lambda: (look_ahead(rule, bars, cuts), memories(rule, bars, _rows_of_memory(rule, bars))),
        name,
    )
    if isinstance(found, Failure):
        raise ConfigurationError(f"{name}: it failed on {len(bars)} bars: {found.text[:300]}")
    ahead, memory = found
    unstable = [m.column for m in memory if m.stable_bars is None or m.stable_bars > WINDOW_BARS]
    return {
        "rule": name,
        "passed": not ahead and not unstable,
        "warm_up_bars": rule.warm_up_bars,
        "look_ahead": [asdict(one) for one in ahead],
        "memory": [asdict(one) for one in memory],
        "verdict": _verdict([one.column for one in ahead], unstable),
    }


def _rows_of_memory(rule: RuleSource, bars: BarColumns) -> list[int]:
    """Return rows of the later half: evenly spaced, and where it enters, for levels stand there."""
    side = columns_of(rule, bars)["side"]
    half = len(bars) // 2
    entries = half + np.flatnonzero(side[half:])
    every = max(1, len(entries) // ROWS_OF_MEMORY)
    spaced = np.linspace(half, len(bars) - 1, ROWS_OF_MEMORY).astype(int)
    return sorted({*spaced.tolist(), *entries[::every].tolist()})


def _verdict(ahead: list[str], unstable: list[str]) -> str:
    if ahead:
        return f"knows the future in {', '.join(ahead)}: its replay is worth nothing"
    if unstable:
        return (
            f"{', '.join(unstable)} depend on more history than the {WINDOW_BARS:,} bars a live"
            " session keeps: live and replay would differ"
        )
    return f"no look-ahead; itself within the {WINDOW_BARS:,} bars a live session keeps"
