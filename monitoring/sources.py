"""How good each source of opinions was, and who sits where.

Scores come from settled bars and credited trades: what was said and what came of it, not what is
believed now.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

from engine.phases.ensemble import ENSEMBLE
from engine.scoreboard import Scoreboard
from engine.seats import BASE
from monitoring.charts import as_ms
from strategies.core.registry import CONTROLS, PREDICTORS, RULES
from strategies.lifecycle import scope_of
from strategies.models import PredictorModel, Stage, TrainingJob
from strategies.selectors import (
    ScoreRow,
    SettledOpinions,
    predictor_list,
    predictor_scoreboard,
    settled_opinions,
    training_open_list,
)
from trades.models import SessionState, TradingRun

DEFAULT_HORIZON = 12
BINS = 10
# a share of fewer outcomes than these is chance, not calibration
LEAST_IN_A_BIN = 20
BLOCKS = 20

# In the order they are shown; controls stand apart, at the end.
GROUPS = {
    "champion": "Learned sources, they vote",
    "rule": "Rules, they vote",
    "shadow": "Beside the champion: asked and scored, no vote",
    "former": "No longer seated",
    "together": "All that vote, combined: what the ensemble trades on, no source of its own",
    "control": "Control group: naive baselines, no vote",
}
_SHADOW_STAGES = {Stage.CHALLENGER: "challenger in shadow", Stage.GUARD: "guard"}


class SourceScore(NamedTuple):
    """One source's row: its scores over all regimes and in each, its seat and its model.

    ``is_losing`` is True where the forecast loses to the running mean, False where it beats it
    and None where too little was predicted to say.
    """

    score: ScoreRow
    regimes: list[ScoreRow]
    seat: str
    model: PredictorModel | None
    is_losing: bool | None


class SourceGroup(NamedTuple):
    kind: str
    title: str
    rows: list[SourceScore]


class SeatRow(NamedTuple):
    """One predictor and who sits for it in a run's market; None where the seat is empty."""

    code: str
    is_trained_on_candles: bool
    champion: PredictorModel | None
    challenger: PredictorModel | None
    guard: PredictorModel | None
    job: TrainingJob | None


def horizon_bars(run: TradingRun | None) -> int:
    config = {} if run is None else run.config.get("trading", {})
    return int(config.get("horizon_bars", DEFAULT_HORIZON))


# -- scores ----------------------------------------------------------------------------------------


def source_groups(run: TradingRun | None) -> list[SourceGroup]:
    """Return every source that was ever settled in a run, best Brier first within its group."""
    if run is None:
        return []
    board = stored_scoreboard(run)
    regimes: dict[str, list[ScoreRow]] = defaultdict(list)
    for row in predictor_scoreboard(run.code, by_regime=True, board=board):
        regimes[row.source].append(row)
    seated = _models_by_name(run)
    groups: dict[str, list[SourceScore]] = {kind: [] for kind in GROUPS}
    for score in predictor_scoreboard(run.code, board=board):
        model = seated.get(score.source)
        kind, seat = _seat_of(score.source, model)
        losing = _is_losing(score, board)
        groups[kind].append(SourceScore(score, regimes[score.source], seat, model, losing))
    return [SourceGroup(kind, GROUPS[kind], rows) for kind, rows in groups.items() if rows]


def stored_scoreboard(run: TradingRun) -> Scoreboard | None:
    """Return the scoreboard the run had after its last event; None before there was one.

    Raises:
        ValueError: what is stored is not a scoreboard.
    """
    stored = SessionState.objects.filter(run=run).values_list("payload", flat=True).first()
    pipeline = stored.get("pipeline") if isinstance(stored, dict) else None
    state = pipeline.get("scoreboard") if isinstance(pipeline, dict) else None
    if not isinstance(state, dict):
        return None
    board = Scoreboard(window=int(state["window"]))
    board.restore(state)
    return board


def _is_losing(score: ScoreRow, board: Scoreboard | None) -> bool | None:
    if board is None:
        return None
    forecast = board.forecast(score.source)
    return not forecast.wins if forecast.is_judged else None


def _models_by_name(run: TradingRun) -> dict[str, PredictorModel]:
    """Return who sits, by the name its opinions are filed under."""
    found: dict[str, PredictorModel] = {}
    for row in seat_list(run):
        if row.champion is not None:
            found[row.code] = row.champion
        for model in (row.challenger, row.guard):
            if model is not None:
                found[f"{row.code}@{model.version or BASE}"] = model
    return found


def _seat_of(source: str, model: PredictorModel | None) -> tuple[str, str]:
    if source in CONTROLS:
        return "control", "control"
    if source == ENSEMBLE:
        return "together", "the consensus"
    if source in RULES:
        return "rule", "rule"
    if source in PREDICTORS:
        return "champion", "champion"
    seat = _SHADOW_STAGES.get(Stage(model.stage)) if model is not None else None
    return ("shadow", seat) if seat else ("former", "left its seat")


# -- who sits, and what is being trained -----------------------------------------------------------


def seat_list(run: TradingRun | None) -> list[SeatRow]:
    """Return every predictor with its seats and its open training in a run's market."""
    scope = "" if run is None else scope_of(run.venue, run.timeframe_ms)
    jobs = {job.code: job for job in training_open_list(scope=scope)}
    rows = []
    for known in predictor_list():
        seats = {model.stage: model for model in known.seats if model.scope == scope}
        rows.append(
            SeatRow(
                known.code,
                known.is_trained_on_candles,
                seats.get(Stage.CHAMPION),
                seats.get(Stage.CHALLENGER),
                seats.get(Stage.GUARD),
                jobs.get(known.code),
            )
        )
    return rows


# -- what is drawn ---------------------------------------------------------------------------------


def source_series(run: TradingRun | None) -> list[dict[str, Any]]:
    """Return each source's calibration and Brier score over time, as JSON, by source.

    ``calibration`` holds bins of equal count with the mean probability said, the share that rose
    and their count; ``over_time`` the mean Brier score by block of venue time. Both are empty
    where fewer than 20 opinions are settled.
    """
    if run is None:
        return []
    return [
        {
            "source": source,
            "is_control": source in CONTROLS,
            "votes": source in PREDICTORS or source in RULES,
            **_drawn(columns),
        }
        for source, columns in sorted(settled_opinions(run.code).items())
    ]


def _drawn(columns: SettledOpinions) -> dict[str, Any]:
    said, rose = np.array(columns.said), np.array(columns.rose, dtype=np.float64)
    brier = (said - rose) ** 2
    return {
        "calibration": [
            {
                "said": float(said[rows].mean()),
                "rose": float(rose[rows].mean()),
                "n": int(rows.size),
            }
            for rows in _parts(np.argsort(said, kind="stable"), BINS)
        ],
        "over_time": [
            {"at_ms": as_ms(columns.at[int(rows[-1])]), "brier": float(brier[rows].mean())}
            for rows in _parts(np.arange(said.size), BLOCKS)
        ],
    }


def _parts(rows: Any, most: int) -> list[Any]:
    """Return ``rows`` in at most ``most`` parts of at least 20 each."""
    n = min(most, rows.size // LEAST_IN_A_BIN)
    return np.array_split(rows, n) if n else []
