"""How good each source of opinions was: calibration, Brier over time, by regime; what triggered
training. Read from what every bar stored, so the page shows what was said, not what is believed
now."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from django.db.models import QuerySet

from monitoring.charts import as_ms
from trades.models import Analysis, EvolutionEvent, TradingRun
from trades.payloads import opinions_in

# Bars looked at, newest; opinions of the last ``horizon`` of them have no outcome yet.
BARS_LOOKED_AT = 1_000
BINS = 10
# a share of fewer outcomes than these is chance, not calibration
LEAST_IN_A_BIN = 20
DEFAULT_HORIZON = 12
BLOCKS = 20


def source_board(run: TradingRun | None, symbol: str) -> dict[str, Any]:
    """Return every source's record over the newest bars of one symbol, by source code.

    An outcome is whether the close ``horizon_bars`` later is higher; a bar whose later bar is not
    stored (retention, a gap) is left out. ``calibration`` holds bins with the mean probability
    said, the share that came true and their count; ``brier`` its mean by time block and regime.
    """
    if run is None:
        return {"horizon_bars": DEFAULT_HORIZON, "bars": 0, "sources": []}
    horizon = int(run.config.get("trading", {}).get("horizon_bars", DEFAULT_HORIZON))
    rows = list(
        Analysis.objects.filter(run=run, symbol=symbol).order_by("-bar_close_at")[:BARS_LOOKED_AT]
    )
    rows.reverse()
    prices = {as_ms(row.bar_close_at): row.price for row in rows}
    said: dict[str, list[tuple[int, str, float, float]]] = defaultdict(list)
    for row in rows:
        at_ms = as_ms(row.bar_close_at) or 0
        later = prices.get(at_ms + horizon * run.timeframe_ms)
        if later is None or later == row.price:
            continue
        outcome = float(later > row.price)
        # opinions alone: putting a thousand whole documents together takes seconds
        for source, probability_up in opinions_in(row.payload).items():
            said[source].append((at_ms, row.regime, float(probability_up), outcome))
    board = [_source(code, opinions) for code, opinions in sorted(said.items())]
    return {"horizon_bars": horizon, "bars": len(rows), "sources": board}


def _source(code: str, opinions: list[tuple[int, str, float, float]]) -> dict[str, Any]:
    said = np.array([opinion[2] for opinion in opinions])
    came = np.array([opinion[3] for opinion in opinions])
    brier = (said - came) ** 2
    regimes: dict[str, list[float]] = defaultdict(list)
    for (_, regime, _, _), score in zip(opinions, brier.tolist(), strict=True):
        regimes[regime or "unknown"].append(score)
    return {
        "source": code,
        "n": len(opinions),
        "brier": float(brier.mean()),
        "hit_rate": float(((said > 0.5) == (came > 0.5)).mean()),
        "calibration": _calibration(said, came),
        "over_time": _over_time([opinion[0] for opinion in opinions], brier),
        "by_regime": [
            {"regime": regime, "n": len(scores), "brier": float(np.mean(scores))}
            for regime, scores in sorted(regimes.items())
        ],
    }


def _calibration(said: Any, came: Any) -> list[dict[str, Any]]:
    """Return bins of equal count, so that opinions near 0.5 do not all fall into one."""
    order = np.argsort(said, kind="stable")
    bins = min(BINS, said.size // LEAST_IN_A_BIN)
    parts = np.array_split(order, bins) if bins else []
    return [
        {"said": float(said[p].mean()), "came": float(came[p].mean()), "n": int(p.size)}
        for p in parts
    ]


def _over_time(times: list[int], brier: Any) -> list[dict[str, Any]]:
    n_blocks = min(BLOCKS, len(times) // LEAST_IN_A_BIN)
    blocks = np.array_split(np.arange(len(times)), n_blocks) if n_blocks else []
    return [{"at_ms": times[int(b[-1])], "brier": float(brier[b].mean())} for b in blocks]


def evolution_list(run: TradingRun | None) -> QuerySet[EvolutionEvent]:
    """Return what asked for training in a run, newest first."""
    return EvolutionEvent.objects.filter(run=run).order_by("-at", "-id")
