"""How well regimes are found on labelled markets, and how long their labels last on real ones."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from django.core.management.base import BaseCommand, CommandError

from engine.market_columns import MIN_DWELL_BARS
from engine.types.opinions import REGIMES
from market.errors import DataError
from market.sources.history import load_history
from research.core.regimes import REPORT_SEEDS, RegimeProcess, RegimeReport, dwell, evaluate

BAR_LENGTHS_MS = {"1m": 60_000, "5m": 300_000, "1h": 3_600_000}
TAILS = {"gaussian": 0, "student-4": 4}
NAMES = [regime.value for regime in REGIMES]


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        labelled = actions.add_parser("evaluate", help="on the process of docs/regimes.md")
        labelled.add_argument("--seed", metavar="N", help="one history; left out: 1000 to 1019")
        labelled.add_argument("--json", action="store_true")
        real = actions.add_parser("dwell", help="how long labels last on files of candles")
        real.add_argument("--data", nargs="+", required=True, metavar="FILE")
        real.add_argument("--json", action="store_true")

    def handle(self, **options: Any) -> None:
        if options["action"] == "evaluate":
            document, text = self._evaluate(options["seed"])
        else:
            document, text = self._dwell(options["data"])
        if options["json"]:
            self.stdout.write(orjson.dumps(document).decode())
        else:
            self.stdout.write("\n".join(text))

    def _evaluate(self, seed: str | None) -> tuple[dict[str, Any], list[str]]:
        seeds = _seeds(seed)
        cases: list[dict[str, Any]] = []
        confusion = np.zeros((len(REGIMES), len(REGIMES)), dtype=np.int64)
        for tail, degrees in TAILS.items():
            for length, timeframe_ms in BAR_LENGTHS_MS.items():
                sys.stderr.write(f"{length} {tail} ...\n")
                process = RegimeProcess(timeframe_ms=timeframe_ms, tail_degrees=degrees)
                # each bar length has histories of its own, not the same numbers scaled
                minutes = timeframe_ms // 60_000
                report = evaluate(process, [np.random.default_rng((s, minutes)) for s in seeds])
                confusion += report.confusion
                cases.append({"timeframe": length, "noise": tail} | _case(report))
        document = {
            "seeds": list(seeds),
            "accuracy": float(np.mean([case["accuracy"] for case in cases])),
            "accuracy_lowest_seed": min(case["accuracy_lowest_seed"] for case in cases),
            "confusion_matrix": _shares(confusion),
            "minimum_dwell_bars": MIN_DWELL_BARS,
            "cases": cases,
        }
        return document, [*_case_table(cases), "", *_confusion_table(confusion)]

    def _dwell(self, files: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        rows = []
        try:
            for file in files:
                for symbol, bars in load_history([file]).bars.items():
                    found = asdict(dwell(bars))
                    found["shares"] = dict(zip(NAMES, found["shares"], strict=True))
                    rows.append({"file": Path(file).name, "symbol": symbol} | found)
        except DataError as error:
            raise CommandError(str(error), returncode=2) from error
        text = [f"{'file':58}{'bars':>9}{'changes':>9}{'shortest':>9}{'median':>8}  shares"]
        for row in rows:
            shares = " ".join(f"{name[:5]} {share:.2f}" for name, share in row["shares"].items())
            text.append(
                f"{row['file']:58}{row['bars']:>9}{row['changes']:>9}{row['shortest_bars']:>9}"
                f"{row['median_bars']:>8.0f}  {shares}"
            )
        return {"minimum_dwell_bars": MIN_DWELL_BARS, "files": rows}, text


def _seeds(given: str | None) -> tuple[int, ...]:
    if given is None:
        return REPORT_SEEDS
    if not given.isascii() or not given.isdigit() or len(given) > 9:
        text = f"--seed was {given!r}, allowed: a whole number of 0 to 999999999"
        raise CommandError(text, returncode=2)
    return (int(given),)


def _case(report: RegimeReport) -> dict[str, Any]:
    caught = [delay for delay in report.delays_bars if delay is not None]
    return {
        "accuracy": report.accuracy,
        "accuracy_lowest_seed": min(report.accuracies),
        "bars": int(report.confusion.sum()),
        "changes": len(report.delays_bars),
        "changes_never_found": len(report.delays_bars) - len(caught),
        "delay_median_bars": float(np.median(caught)) if caught else None,
        "delay_p90_bars": float(np.quantile(caught, 0.9)) if caught else None,
        "flips_per_1000_bars": report.flips_per_1000_bars,
        "shortest_label_bars": report.shortest_label_bars,
        "calibration_error": report.calibration_error,
        "confusion_matrix": _shares(report.confusion),
        "reliability": [
            {"bars": int(bars), "mean_probability": said, "share_right": was}
            for bars, said, was in report.reliability.tolist()
        ],
    }


def _shares(confusion: Any) -> dict[str, dict[str, float]]:
    """Return the share of each true regime's bars by the label they got."""
    totals = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    rows = (confusion / totals).tolist()
    return {name: dict(zip(NAMES, row, strict=True)) for name, row in zip(NAMES, rows, strict=True)}


def _case_table(cases: Sequence[dict[str, Any]]) -> list[str]:
    text = [
        f"{'bars':5}{'noise':11}{'accuracy':>9}{'lowest':>8}{'delay':>7}{'p90':>6}"
        f"{'never':>7}{'flips/1000':>12}{'shortest':>10}{'calibration':>13}"
    ]
    for case in cases:
        delay, late = case["delay_median_bars"], case["delay_p90_bars"]
        text.append(
            f"{case['timeframe']:5}{case['noise']:11}{case['accuracy']:>9.4f}"
            f"{case['accuracy_lowest_seed']:>8.4f}{_number(delay):>7}{_number(late):>6}"
            f"{case['changes_never_found']:>7}{case['flips_per_1000_bars']:>12.2f}"
            f"{case['shortest_label_bars']:>10}{case['calibration_error']:>13.4f}"
        )
    return text


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _confusion_table(confusion: Any) -> list[str]:
    head = "".join(f"{name:>10}" for name in NAMES)
    rows = _shares(confusion)
    return [
        f"{'true':10}{head}",
        *(
            f"{name:10}" + "".join(f"{rows[name][label]:>10.3f}" for label in NAMES)
            for name in NAMES
        ),
    ]
