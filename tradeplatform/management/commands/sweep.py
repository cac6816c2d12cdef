"""Searches parameters of one rule, walk-forward: chosen in one stretch, judged in the next."""

from __future__ import annotations

import sys
import uuid
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.errors import Refused
from market.errors import DataError
from research.claims import claim_oldest
from research.data_files import data_file_path
from research.errors import SweepInvalid
from research.models import Sweep, SweepStatus
from research.selectors import data_folders, sweep_digest, sweep_paths
from research.sweep_services import sweep_change, sweep_checked, sweep_reap, sweep_start
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.sweep_jobs import sweep_fits, sweep_run

ACTS = ("run", "start", "resume", "pause", "abort", "show", "list")
_NUMBERS = ("trials", "batch", "folds", "in_sample_share", "purge_bars", "seed")
_CHANGES = {
    "pause": SweepStatus.PAUSED,
    "resume": SweepStatus.QUEUED,
    "abort": SweepStatus.ABORTED,
}


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("act", choices=ACTS, help="run works here, start leaves it to a worker")
        parser.add_argument("code", nargs="?", help="of pause, resume, abort and show")
        parser.add_argument(
            "--data",
            nargs="+",
            metavar="FILE",
            default=[],
            help="files of the data folders (var/candles, TRADEPLATFORM_MARKET_DATA), by name or"
            " by path",
        )
        parser.add_argument("--strategy")
        parser.add_argument("--range", nargs="+", metavar="NAME=LOW:HIGH", default=[])
        parser.add_argument("--trials", type=int, default=30, help="of each window")
        parser.add_argument("--batch", type=int, default=5, help="trials asked together")
        parser.add_argument(
            "--workers",
            action="store_true",
            default=None,
            help="of start: share its units out over the research workers",
        )
        parser.add_argument("--folds", type=int, default=3)
        parser.add_argument("--in-sample-share", type=float, default=0.75)
        parser.add_argument("--purge-bars", type=int, default=100)
        parser.add_argument("--from", dest="from_iso", metavar="ISO")
        parser.add_argument("--to", dest="to_iso", metavar="ISO")
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--cash")
        parser.add_argument("--reason", default="by command")
        parser.add_argument("--actor", default="command")
        parser.add_argument("--json", action="store_true")

    def handle(self, **options: Any) -> None:
        try:
            sweeps = self._acted(options["act"], options)
        except SweepInvalid as error:
            raise CommandError(_lines(error.lines), returncode=2) from error
        except (Refused, ConfigurationError, DataError) as error:
            raise CommandError(str(error), returncode=2) from error
        paths = sweep_paths(sweeps)
        rows = [_row(sweep, paths[sweep.pk]) for sweep in sweeps]
        if options["json"]:
            document = {"sweeps": rows} if options["act"] == "list" else rows[0]
            self.stdout.write(orjson.dumps(document).decode())
        else:
            for row in rows:
                self._tell(row)
        if options["act"] == "run" and rows[0]["status"] == SweepStatus.FAILED:
            raise CommandError(rows[0]["error"], returncode=1)

    def _acted(self, act: str, options: dict[str, Any]) -> list[Sweep]:
        if act == "list":
            return list(Sweep.objects.all()[:50])
        if act in ("run", "start"):
            given = _given(options) | {"workers": options["workers"] if act == "start" else False}
            _check(given, [text for text in options["range"] if _range(text) is None])
            sweep = sweep_start(given=given, folders=data_folders(), actor=options["actor"])
            return [_worked(sweep) if act == "run" else sweep]
        sweep = _found(options["code"])
        if act in _CHANGES:
            sweep_change(
                sweep=sweep, to=_CHANGES[act], actor=options["actor"], reason=options["reason"]
            )
            sweep.refresh_from_db()
        return [sweep]

    def _tell(self, row: dict[str, Any]) -> None:
        done, total = row["units_done"], row["units_total"]
        self.stdout.write(
            f"{row['code']} {row['strategy']} {row['status']} {done} of {total} units"
        )
        if row["error"]:
            self.stdout.write(f"  {row['error']}")
        for path, units in row["paths"].items():
            self.stdout.write(f"  {units} units by {path}")
        for window in (row["result"] or {}).get("windows", []):
            chosen = ", ".join(f"{name} {value:g}" for name, value in window["parameters"])
            self.stdout.write(
                f"  window {window['window']}: Sharpe in sample {_ratio(window, 'in_sample')},"
                f" out of sample {_ratio(window, 'out_of_sample')},"
                f" of the defaults {_ratio(window, 'defaults')};"
                f" deflated for {window['trials']} trials"
                f" {_number(window['deflated_probability'])} ({chosen})"
            )
        if row["result"]:
            self.stdout.write(f"  {row['result']['verdict']}; digest {row['digest'][:16]}")


def _ratio(window: dict[str, Any], what: str) -> str:
    lacks = window.get(f"{what}_lacks")
    return _number(window[f"{what}_sharpe"]) + (f" ({lacks})" if lacks else "")


def _worked(sweep: Sweep) -> Sweep:
    """Work on it here; where a worker took it first, that one goes on."""
    sweep_reap()
    claimed = claim_oldest(Sweep)
    if claimed is None or claimed.pk != sweep.pk:
        raise ConfigurationError(
            "another sweep is worked on or waits; `sweep start` queues this one"
        )
    sweep_run(claimed, say=_say)
    return claimed


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {
        "data": [_in_folders(name) for name in options["data"]],
        "strategy": options["strategy"],
        "ranges": dict(found for text in options["range"] if (found := _range(text))),
        **{n: options[n] for n in _NUMBERS},
        "cash": options["cash"],
        "from": options["from_iso"],
        "to": options["to_iso"],
    }


def _in_folders(name: str) -> str:
    """Return how the data folders name a file that was given by that name, or by its path; as it
    was given where they do not hold it."""
    if data_file_path(name, data_folders()) is not None:
        return name
    path = Path(name).resolve()
    for folder in data_folders():
        if path.is_relative_to(folder.resolve()):
            return path.relative_to(folder.resolve()).as_posix()
    return name


def _check(given: dict[str, Any], unread: list[str]) -> None:
    """Refuse all that is wrong at once, then candles that are too few.

    Raises:
        SweepInvalid: with one line for each wrong value, ``unread`` ranges among them.
        ConfigurationError, DataError: too few bars, or a damaged file.
    """
    lines = [
        f"--range was {text!r}, allowed: NAME=LOW:HIGH such as stop_atr=1:4" for text in unread
    ]
    try:
        asked = sweep_checked(given, data_folders())
    except SweepInvalid as error:
        raise SweepInvalid(lines + error.lines) from error
    if lines:
        raise SweepInvalid(lines)
    sweep_fits(asked)


def _range(text: str) -> tuple[str, list[float]] | None:
    name, _, bounds = text.partition("=")
    low, _, high = bounds.partition(":")
    try:
        return name, [float(low), float(high)]
    except ValueError:
        return None


def _lines(lines: list[str]) -> str:
    """Return each on its own line; where a file was not found, with where it is looked for."""
    if any(line.startswith("data ") for line in lines):
        lines = [*lines, f"data folders are {', '.join(map(str, data_folders()))}"]
    return "\n".join(lines)


def _found(code: str | None) -> Sweep:
    try:
        known = uuid.UUID(code or "")
    except ValueError:
        raise ConfigurationError(f"code was {code!r}, allowed: the code of a sweep") from None
    sweep = Sweep.objects.filter(code=known).first()
    if sweep is None:
        raise ConfigurationError(f"code was {known}, allowed: one that `sweep list` shows")
    return sweep


def _row(sweep: Sweep, paths: dict[str, int]) -> dict[str, Any]:
    return {
        "code": str(sweep.code),
        "strategy": sweep.request["strategy"],
        "status": sweep.status,
        "units_done": sweep.units_done,
        "units_total": sweep.units_total,
        "paths": paths,
        "error": sweep.error,
        "workers": sweep.is_spread,
        "result": sweep.result,
        "digest": sweep_digest(sweep),
        "code_version": sweep.code_version or settings.CODE_VERSION,
    }


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
