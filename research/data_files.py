"""Candle files that a replay may read: those below the allowed folders, named relative to one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

ENDINGS = (".parquet", ".csv", ".csv.gz")
MAX_LISTED = 500


def data_file_list(folders: Sequence[Path]) -> list[str]:
    """Return the names of all files that may be asked for, sorted, at most ``MAX_LISTED``."""
    found = {
        path.relative_to(folder).as_posix()
        for folder in folders
        if folder.is_dir()
        for path in folder.rglob("*")
        if path.name.endswith(ENDINGS) and path.is_file() and _is_below(path, folder)
    }
    return sorted(found)[:MAX_LISTED]


def data_file_path(name: str, folders: Sequence[Path]) -> Path | None:
    """Return the file of that name, None where no allowed folder holds it.

    Links and ``..`` are followed before the look: what lies outside is not there.
    """
    if "\0" in name or not name.endswith(ENDINGS) or Path(name).is_absolute():
        return None
    for folder in folders:
        path = folder / name
        if _is_below(path, folder) and path.is_file():
            return path.resolve()
    return None


def _is_below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
