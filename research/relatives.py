"""Files of price relatives: ``period`` and one column an asset, each close today / yesterday."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optimization.core.trade_sums import Floats
from research.core.allocation import require_relatives
from research.errors import AllocationError


def read_relatives(path: str | Path) -> tuple[tuple[str, ...], Floats]:
    """Return the asset names and their relatives (n_periods, n_assets), first period first.

    Raises:
        AllocationError: the file is not readable, has no ``period``, or an entry is no relative.
    """
    import polars

    file = Path(path)
    if not file.is_file():
        raise AllocationError(f"{file}: no such file, allowed: a parquet or csv file")
    if file.suffix not in (".parquet", ".csv"):
        raise AllocationError(f"{file}: ending was {file.suffix!r}, allowed: .parquet, .csv")
    read = polars.read_parquet if file.suffix == ".parquet" else polars.read_csv
    try:
        frame = read(file)
    except (polars.exceptions.PolarsError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AllocationError(f"{file}: not readable as {file.suffix[1:]}: {reason}") from error
    if "period" not in frame.columns:
        raise AllocationError(f"{file}: column period is missing, allowed: period and assets")
    assets = frame.sort("period").drop("period")
    for name, kind in assets.schema.items():
        if not kind.is_numeric():
            raise AllocationError(f"{file}: column {name!r} was {kind}, allowed: numbers")
    relatives = np.ascontiguousarray(assets.to_numpy().astype(np.float64))
    names = tuple(assets.columns)
    try:
        require_relatives(names, relatives)
    except AllocationError as error:
        raise AllocationError(f"{file}: {error}") from error
    return names, relatives
