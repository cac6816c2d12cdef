"""CSV for spreadsheets: a cell that would be a formula there stays text (SEC-40)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?\Z")


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table as CSV; None is an empty cell.

    Text that a spreadsheet would run as a formula gets an apostrophe before it. Numbers, negative
    ones too, stay numbers.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([csv_cell(name) for name in header])
    writer.writerows([csv_cell(value) for value in row] for row in rows)
    return out.getvalue()


def csv_cell(value: Any) -> str:
    """Return one cell's text, safe to open in a spreadsheet."""
    text = "" if value is None else str(value)
    is_formula = text.lstrip(" ").startswith(_FORMULA_STARTS) and not _NUMBER.match(text)
    return f"'{text}" if is_formula else text
