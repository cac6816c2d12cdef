"""The files of one replay on the command line: ``replay --out DIR``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from django.conf import settings

from accounts.exports import csv_text
from engine.types.ledger import Trade
from research.core.report import trade_row
from research.core.report_html import report_html
from research.core.result import ReplayResult
from tradeplatform.configuration_errors import ConfigurationError

_ASKED = "data from_iso to_iso strategies predictors layer seed cash book slippage_bps config"


def out_folder(text: str) -> Path:
    """Make the folder, before an hour is spent on what could not be written.

    Raises:
        ConfigurationError: it cannot be made.
    """
    folder = Path(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"--out was {text}: {reason}, allowed: a folder") from error
    return folder


def made_lines(options: Mapping[str, Any], config_digest: str) -> list[tuple[str, str]]:
    """Return what was asked for, and with which code and configuration."""
    asked = [(name.removesuffix("_iso"), options[name]) for name in _ASKED.split()]
    lines = [
        (name.replace("_", " "), _words(value)) for name, value in asked if value not in (None, "")
    ]
    return [*lines, ("code", settings.CODE_VERSION), ("configuration", config_digest)]


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def write_report(
    folder: Path,
    result: ReplayResult,
    document: Mapping[str, Any],
    made: Sequence[tuple[str, str]],
    closed: Sequence[Trade],
) -> None:
    """Write the page, its document, the result, and every trade in ``trades.csv``."""
    figures = asdict(result)
    symbols = ", ".join(document["symbols"])
    page = report_html(title=f"Replay of {symbols}", figures=figures, document=document, made=made)
    (folder / "report.html").write_text(page, encoding="utf-8")
    (folder / "report.json").write_bytes(orjson.dumps(document))
    (folder / "result.json").write_bytes(orjson.dumps(figures))
    rows = [trade_row(trade) for trade in closed]
    header = list(rows[0]) if rows else ["no trade was closed"]
    text = csv_text(header, [list(row.values()) for row in rows])
    (folder / "trades.csv").write_text(text, encoding="utf-8")
