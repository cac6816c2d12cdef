"""The way from simulated to live, for whoever is new here."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from trades.models import Mode, TradingRun

NEW_FOR = timedelta(days=1)
PAPER_DAYS, PAPER_TRADES = 14, 100


def first_steps(run: TradingRun | None) -> dict[str, Any]:
    """Return where a run stands on the way; practice where none is open yet."""
    risk = {} if run is None else run.config.get("risk", {})
    return {
        "now": Mode.PRACTICE.value if run is None else run.mode,
        "paper_days": risk.get("paper_days", PAPER_DAYS),
        "paper_trades": risk.get("paper_trades", PAPER_TRADES),
    }


def is_new_here(joined_at: datetime, now: datetime) -> bool:
    """Return whether the way is worth the overview's first place: the person came today, and
    nothing but practice was ever traded here."""
    return now - joined_at < NEW_FOR and not TradingRun.objects.exclude(mode=Mode.PRACTICE).exists()
