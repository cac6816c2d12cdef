"""Keeps candles in files of our own: download, import, list, find and repair gaps, trim."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts.services import audit_record
from market.candle_download import SHARE_OF_RATE, candles_download, candles_repair
from market.candle_store import Shelf, gaps_of, shelf_of, shelves
from market.ccxt_client import build_client
from market.errors import DataError, SourceUnavailable, SymbolRefused
from market.sources.ccxt_poll import CcxtPollSource
from market.sources.files import read_bars
from market.sources.instruments import timeframe_from_ms, timeframe_to_ms
from tradeplatform.arguments import moment_ms
from tradeplatform.configuration import PRACTICE
from tradeplatform.configuration_errors import ConfigurationError
from tradeplatform.preflight import adopt_practice_address
from tradeplatform.venue import PRACTICE_PROTOCOL

TIMEOUT_S = 10.0
GAPS_SHOWN = 20
_COUNTS = ("new", "refused", "deleted")
_EMPTY = {"repair": "nothing to repair: no kept file that was asked for has a gap"}


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser: CommandParser = super().create_parser(prog_name, subcommand, **kwargs)
        # files may stand before and after what is said of them
        parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("act", choices=list(_ACTS))
        parser.add_argument(
            "files", nargs="*", metavar="FILE", help="of import: csv, parquet or feather"
        )
        parser.add_argument("--exchange", help="a ccxt id, or practice")
        parser.add_argument("--symbol")
        parser.add_argument("--timeframe", default=None)
        parser.add_argument("--since", metavar="ISO")
        parser.add_argument("--until", metavar="ISO")
        parser.add_argument("--before", metavar="ISO", help="of trim: older bars are deleted")
        parser.add_argument("--reason", default="", help="of trim: kept in the audit log")
        parser.add_argument("--json", action="store_true")

    def handle(self, **options: Any) -> None:
        try:
            rows = _ACTS[options["act"]](options)
        except SourceUnavailable as error:
            raise CommandError(
                f"the venue did not answer: {error}; what came before is kept, repeat to go on",
                returncode=1,
            ) from error
        except (DataError, SymbolRefused, ConfigurationError) as error:
            raise CommandError(str(error), returncode=2) from error
        if options["json"]:
            self.stdout.write(orjson.dumps({"candles": rows}).decode())
        else:
            self._tell_all(options["act"], rows)
        failed = [row["error"] for row in rows if "error" in row]
        if failed:
            raise CommandError("; ".join(failed), returncode=1)

    def _tell_all(self, act: str, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if "error" not in row:
                self._tell(row)
        if not rows:
            self.stdout.write(_EMPTY.get(act, "no candles are kept"))

    def _tell(self, row: dict[str, Any]) -> None:
        counts = "".join(f", {row[name]} {name}" for name in _COUNTS if name in row)
        span = f", {row['from']} to {row['to']}" if row["bars"] else ""
        n_bars = _counted(row["bars"], "bar")
        self.stdout.write(
            f"{row['file']}: {row['symbol']} {row['timeframe']}, {n_bars}{counts}{span},"
            f" {_counted(row['gaps'], 'gap')}, {_counted(row['missing_bars'], 'bar')} missing"
        )
        for gap in row.get("missing", [])[:GAPS_SHOWN]:
            told = _counted(gap["bars"], "bar")
            self.stdout.write(f"  {gap['from']} to {gap['to']}: {told} missing")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def folder() -> Path:
    return Path(settings.VAR_DIR) / "candles"


def _download(options: dict[str, Any]) -> list[dict[str, Any]]:
    named = {name: options[name] for name in ("exchange", "symbol", "timeframe", "since")}
    for name, value in named.items():
        if not value:
            raise ConfigurationError(f"--{name} was not given, a download needs it")
    shelf = Shelf(folder(), named["exchange"], named["symbol"], timeframe_to_ms(named["timeframe"]))
    since_ms, until_ms = (moment_ms(f"--{n}", options[n]) for n in ("since", "until"))
    source = CcxtPollSource(_client(shelf.venue), [shelf.symbol], named["timeframe"])
    source.instruments()
    found = candles_download(
        source,
        shelf,
        since_ms=since_ms or 0,
        until_ms=until_ms,
        told=_telling(),
    )
    return [_row(shelf.path, shelf.symbol) | {"new": found.new, "refused": found.refused}]


def _client(exchange: str) -> Any:
    if exchange != PRACTICE:
        client = build_client(exchange, timeout_s=TIMEOUT_S)
        client.rateLimit /= SHARE_OF_RATE
        return client
    adopt_practice_address(())
    if not settings.PRACTICE_URL:
        raise ConfigurationError(
            "no practice exchange was found: none runs here and TRADEPLATFORM_PRACTICE_URL was not"
            " set; `make run` starts one"
        )
    return build_client(PRACTICE_PROTOCOL, practice_url=settings.PRACTICE_URL, timeout_s=TIMEOUT_S)


def _import(options: dict[str, Any]) -> list[dict[str, Any]]:
    if not options["files"] or not options["exchange"]:
        raise ConfigurationError("files or --exchange were not given, an import needs both")
    rows = []
    for name in options["files"]:
        file = read_bars(name, symbol=options["symbol"], timeframe=options["timeframe"])
        shelf = Shelf(folder(), options["exchange"], file.symbol, file.bars.timeframe_ms)
        kept = shelf.keep(file.bars)
        rows.append(_row(shelf.path, shelf.symbol) | {"new": kept.new, "refused": kept.refused})
    return rows


def _list(options: dict[str, Any]) -> list[dict[str, Any]]:
    return [_row(path, symbol) for path, symbol, _ in shelves(folder())]


def _gaps(options: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for path, symbol, bars in shelves(folder()):
        missing = [
            {"from": _iso(gap.from_ms), "to": _iso(gap.to_ms), "bars": gap.n_bars}
            for gap in gaps_of(bars)
        ]
        rows.append(_row(path, symbol) | {"missing": missing})
    return rows


def _repair(options: dict[str, Any]) -> list[dict[str, Any]]:
    """Fill gaps of every kept file, or of those that the options name, from their venues."""
    rows = []
    for shelf in _kept(options):
        if not gaps_of(shelf.read()):
            continue
        timeframe = timeframe_from_ms(shelf.timeframe_ms)
        source = CcxtPollSource(_client(shelf.venue), [shelf.symbol], timeframe)
        source.instruments()
        found = candles_repair(source, shelf, told=_telling(f"{shelf.path.name}: "))
        row = _row(shelf.path, shelf.symbol)
        rows.append(row | {"new": found.new, "refused": found.refused})
    return rows


def _trim(options: dict[str, Any]) -> list[dict[str, Any]]:
    """Delete old bars; what a replay was made of is gone then, so it takes a reason."""
    before_ms = moment_ms("--before", options["before"])
    if before_ms is None or not options["reason"].strip():
        raise ConfigurationError("--before or --reason were not given, trim needs both")
    reason = options["reason"].strip()
    rows: list[dict[str, Any]] = []
    # what cannot be read or written keeps no other file from being trimmed
    for shelf in _kept(options, unread=rows):
        try:
            rows.append(_trimmed(shelf, before_ms, options["before"], reason))
        except (DataError, OSError) as error:
            rows.append({"file": shelf.path.name, "error": str(error)})
    return rows


def _trimmed(shelf: Shelf, before_ms: int, before: str, reason: str) -> dict[str, Any]:
    """Audit what is deleted, and delete it before that is committed: neither is there alone."""
    with transaction.atomic():
        n_old = shelf.older(before_ms)
        if n_old:
            audit_record(
                actor="command",
                action="candles.trim",
                object_type="candles",
                object_id=shelf.path.name,
                reason=reason,
                after={"bars deleted": n_old, "before": before},
            )
            shelf.trim(before_ms)
    left = _row(shelf.path, shelf.symbol) if shelf.path.is_file() else _nothing(shelf)
    return left | {"deleted": n_old}


def _kept(options: dict[str, Any], unread: list[dict[str, Any]] | None = None) -> list[Shelf]:
    """Return the kept files that the options do not leave out.

    Args:
        unread: takes a row for each file that cannot be read; None raises instead.

    Raises:
        ConfigurationError: they leave out all.
        DataError: a file is damaged, and nobody takes its row.
    """
    asked = {
        "venue": options["exchange"],
        "symbol": options["symbol"],
        "timeframe_ms": options["timeframe"] and timeframe_to_ms(options["timeframe"]),
    }
    wanted = {name: value for name, value in asked.items() if value}
    found = []
    for path in sorted(folder().glob("*.parquet")):
        try:
            shelf = shelf_of(path)
        except DataError as error:
            if unread is None:
                raise
            unread.append({"file": path.name, "error": str(error)})
            continue
        if all(getattr(shelf, name) == value for name, value in wanted.items()):
            found.append(shelf)
    if not found and not unread:
        said = ", ".join(str(value) for value in wanted.values()) or "any"
        raise ConfigurationError(f"kept files of {said} were 0, `candles list` shows what is there")
    return found


def _nothing(shelf: Shelf) -> dict[str, Any]:
    timeframe = timeframe_from_ms(shelf.timeframe_ms)
    counts = {"bars": 0, "gaps": 0, "missing_bars": 0}
    return {"file": shelf.path.name, "symbol": shelf.symbol, "timeframe": timeframe} | counts


def _row(path: Path, symbol: str) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"{symbol}: the venue has no bars in that span, nothing was kept")
    bars = read_bars(path).bars
    gaps = gaps_of(bars)
    return {
        "file": path.name,
        "symbol": symbol,
        "timeframe": timeframe_from_ms(bars.timeframe_ms),
        "bars": len(bars),
        "from": _iso(int(bars.ts_ms[0])),
        "to": _iso(int(bars.ts_ms[-1])),
        "gaps": len(gaps),
        "missing_bars": sum(gap.n_bars for gap in gaps),
    }


def _iso(ts_ms: int) -> str:
    return f"{datetime.fromtimestamp(ts_ms / 1000, UTC):%Y-%m-%dT%H:%M}Z"


def _telling(label: str = "") -> Callable[[int, int], None]:
    return lambda done, total: _say(f"{label}{done} of {total} bars")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


_ACTS: dict[str, Callable[[dict[str, Any]], list[dict[str, Any]]]] = {
    "download": _download,
    "import": _import,
    "list": _list,
    "gaps": _gaps,
    "repair": _repair,
    "trim": _trim,
}
