"""A folder of candles and jobs in any state, for tests of replays."""

from __future__ import annotations

import uuid
from functools import cache
from pathlib import Path
from typing import Any

from django.utils import timezone

from market.sources.synthetic_path import synthetic_bars
from research.claims import CLAIM, SLOT
from research.models import ReplayJob, ReplayStatus
from research.requests import request_checked

FILE = "binance_spot_BTCUSDT_1m_x.csv"
START_MS = 1_700_000_040_000


@cache
def csv_of(n_bars: int) -> str:
    bars = synthetic_bars(5, "BTC/USDT", START_MS, 60_000, n_bars)
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    rows = zip(bars.ts_ms.tolist(), *(c.tolist() for c in columns), strict=True)
    return "\n".join(
        ["timestamp,open,high,low,close,volume", *(",".join(map(repr, r)) for r in rows)]
    )


def candle_folder(folder: Path, n_bars: int = 1_500) -> Path:
    (folder / FILE).write_text(csv_of(n_bars))
    return folder


def make_job(folder: Path, status: str = "QUEUED", **given: Any) -> ReplayJob:
    """Return a stored job of the folder's file; one that is worked on holds the slot."""
    asked = {"data": [FILE], "predictors": [], **given.pop("asked", {})}
    fields: dict[str, Any] = {
        "code": uuid.uuid4(),
        "request": request_checked(asked, [folder]),
        "actor": "olga",
        "status": status,
        "created_at": timezone.now(),
    }
    if status in (ReplayStatus.RUNNING, ReplayStatus.ABORTING):
        fields |= {"slot": SLOT, "attempts": 1, "claimed_until_at": timezone.now() + CLAIM}
    return ReplayJob.objects.create(**fields | given)
