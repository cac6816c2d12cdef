"""Reads of this room."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import BooleanField, Case, QuerySet, When

from engine.credits import SourcePnl
from engine.scoreboard import Scoreboard
from strategies.core.predictors.load import READERS
from strategies.core.registry import PREDICTORS
from strategies.models import (
    CreditedTrade,
    HealthChange,
    JobStatus,
    PredictorEvent,
    PredictorModel,
    SettledBar,
    Stage,
    Status,
    Strategy,
    TrainingJob,
    WeightUpdate,
)


def strategy_list() -> QuerySet[Strategy]:
    return Strategy.objects.order_by("code")


def health_change_list(
    *, strategy: str | None = None, to_status: str | None = None
) -> QuerySet[HealthChange]:
    rows = HealthChange.objects.select_related("strategy")
    if strategy:
        rows = rows.filter(strategy__code=strategy)
    return rows.filter(to_status=to_status) if to_status else rows


def weight_update_list(
    *, strategy: str | None = None, regime: str | None = None
) -> QuerySet[WeightUpdate]:
    rows = WeightUpdate.objects.select_related("strategy")
    if strategy:
        rows = rows.filter(strategy__code=strategy)
    return rows.filter(regime=regime) if regime else rows


def strategy_get(code: str) -> Strategy | None:
    return Strategy.objects.filter(code=code).first()


def status_without_layer(code: str, layer_actor: str = "optimization") -> Status:
    """Return where a strategy would stand had the optimization layer never moved it: the status
    that anybody else set last, ACTIVE where nobody did.

    A layer's edge that somebody else's followed is left out too: what counts is the last word that
    was not the layer's.
    """
    edges = HealthChange.objects.filter(strategy__code=code).exclude(actor=layer_actor)
    last = edges.order_by("-at", "-id").values_list("to_status", flat=True).first()
    return Status(last) if last else Status.ACTIVE


# -- predictors ------------------------------------------------------------------------------------

CALIBRATION_BINS = 10
# What one page reads of a run's settled bars.
_LATEST_BARS = 5_000


class ScoreRow(NamedTuple):
    """One source (under one regime) over the kept settled bars and credited trades.

    ``accuracy_fraction`` counts the right side, 0.5 counts half. ``predicted_brier`` is what the
    running forecast expects next, with its ``verdict`` against the running mean; both None or
    empty where the run's stored state has none. PnL is of trades the source leaned for, and
    against, when they were opened.
    """

    source: str
    regime: str
    n: int
    brier: float
    accuracy_fraction: float
    predicted_brier: float | None
    verdict: str
    trades_for: int
    pnl_for_quote: float
    trades_against: int
    pnl_against_quote: float


def predictor_scoreboard(
    run_code: UUID, *, by_regime: bool = False, board: Scoreboard | None = None
) -> list[ScoreRow]:
    """Return every source's scores in one run, best Brier score first.

    ``board`` is the run's scoreboard, for the forecasts; a room above has it.
    """
    sums: dict[tuple[str, str], list[float]] = {}
    for regime, outcome, opinions in _bars(run_code).values_list(
        "regime", "outcome_up", "opinions"
    ):
        for source, p in opinions.items():
            found = sums.setdefault((source, regime if by_regime else ""), [0.0, 0.0, 0.0])
            found[0] += 1
            found[1] += (p - outcome) ** 2
            found[2] += 0.5 if p == 0.5 else float((p > 0.5) == (outcome == 1))
    pnl = _pnl(run_code, by_regime)
    rows = [_score_row(key, found, board, pnl.get(key, SourcePnl())) for key, found in sums.items()]
    return sorted(rows, key=lambda row: (row.regime, row.brier, row.source))


def _score_row(
    key: tuple[str, str], found: list[float], board: Scoreboard | None, pnl: SourcePnl
) -> ScoreRow:
    forecast = None if board is None else board.forecast(*key)
    n, brier_sum, hits = found
    return ScoreRow(
        *key,
        int(n),
        brier_sum / n,
        hits / n,
        None if forecast is None else forecast.level,
        "" if forecast is None else forecast.verdict(),
        pnl.trades_for,
        pnl.pnl_for_quote,
        pnl.trades_against,
        pnl.pnl_against_quote,
    )


def _pnl(run_code: UUID, by_regime: bool) -> dict[tuple[str, str], SourcePnl]:
    sums: dict[tuple[str, str], SourcePnl] = {}
    trades = CreditedTrade.objects.filter(run_code=run_code)
    for regime, side, pnl, opinions in trades.values_list(
        "regime", "side", "pnl_quote", "opinions"
    ):
        sign = 1 if side == "BUY" else -1
        for source, p in opinions.items():
            found = sums.setdefault((source, regime if by_regime else ""), SourcePnl())
            if (p - 0.5) * sign > 0.0:
                found.trades_for += 1
                found.pnl_for_quote += float(pnl)
            elif p != 0.5:
                found.trades_against += 1
                found.pnl_against_quote += float(pnl)
    return sums


class CalibrationPoint(NamedTuple):
    """Opinions of one bin: mean probability said, share that rose, how many."""

    said: float
    rose_fraction: float
    n: int


def calibration_points(source: str, *, run_code: UUID) -> list[CalibrationPoint]:
    """Return a source's reliability in ten bins of probability, empty ones left out."""
    bins: dict[int, list[float]] = {}
    for p, outcome, _ in _opinions_of(source, run_code):
        found = bins.setdefault(min(int(p * CALIBRATION_BINS), CALIBRATION_BINS - 1), [0, 0, 0])
        found[0] += 1
        found[1] += p
        found[2] += outcome
    return [
        CalibrationPoint(said / n, rose / n, int(n)) for _, (n, said, rose) in sorted(bins.items())
    ]


class BrierPoint(NamedTuple):
    """Mean Brier score of one stretch of settled bars, up to ``at``."""

    at: datetime
    brier: float
    n: int


def brier_over_time(source: str, *, run_code: UUID, points: int = 60) -> list[BrierPoint]:
    """Return a source's Brier score over time in at most ``points`` equal stretches."""
    rows = list(_opinions_of(source, run_code))
    size = max(1, -(-len(rows) // max(1, points)))
    stretches = [rows[i : i + size] for i in range(0, len(rows), size)]
    return [
        BrierPoint(part[-1][2], sum((p - o) ** 2 for p, o, _ in part) / len(part), len(part))
        for part in stretches
    ]


def _bars(run_code: UUID) -> QuerySet[SettledBar]:
    latest = SettledBar.objects.filter(run_code=run_code).order_by("-id")
    oldest = latest.values_list("id", flat=True)[_LATEST_BARS - 1 : _LATEST_BARS].first() or 0
    return SettledBar.objects.filter(run_code=run_code, id__gte=oldest).order_by("id")


def _opinions_of(source: str, run_code: UUID) -> Iterator[tuple[float, int, datetime]]:
    rows = _bars(run_code).filter(opinions__has_key=source)
    for opinions, outcome, at in rows.values_list("opinions", "outcome_up", "settled_at"):
        yield float(opinions[source]), int(outcome), at


class SettledOpinions(NamedTuple):
    """One source's settled opinions as columns of one length, oldest first."""

    at: list[datetime]
    said: list[float]
    rose: list[int]


def settled_opinions(run_code: UUID) -> dict[str, SettledOpinions]:
    """Return every source's settled opinions in a run, by source, in one pass over the bars."""
    found: dict[str, SettledOpinions] = {}
    rows = _bars(run_code).values_list("opinions", "outcome_up", "settled_at")
    for opinions, outcome, at in rows:
        for source, p in opinions.items():
            columns = found.setdefault(source, SettledOpinions([], [], []))
            columns.at.append(at)
            columns.said.append(float(p))
            columns.rose.append(int(outcome))
    return found


def evolution_history(
    *, code: str | None = None, to_stage: str | None = None
) -> QuerySet[PredictorEvent]:
    """Return every step of every model, newest first."""
    rows = PredictorEvent.objects.select_related("model").defer("model__payload")
    rows = rows.filter(code=code) if code else rows
    return rows.filter(to_stage=to_stage) if to_stage else rows


def predictor_model_list(
    *, code: str | None = None, stage: str | None = None
) -> QuerySet[PredictorModel]:
    """Return models with lineage and metrics, newest first; their numbers are left out."""
    rows = PredictorModel.objects.defer("payload").annotate(
        is_trained=Case(When(payload="", then=False), default=True, output_field=BooleanField())
    )
    rows = rows.filter(code=code) if code else rows
    return rows.filter(stage=stage) if stage else rows


def training_job_list(*, code: str | None = None) -> QuerySet[TrainingJob]:
    rows = TrainingJob.objects.select_related("model").defer("model__payload")
    return rows.filter(code=code) if code else rows


def predictor_model_get(pk: int) -> PredictorModel | None:
    return predictor_model_list().filter(pk=pk).first()


def training_open_list(*, scope: str) -> QuerySet[TrainingJob]:
    """Return the trainings of a market that wait or run."""
    return training_job_list().filter(scope=scope, status__in=(JobStatus.QUEUED, JobStatus.RUNNING))


class PredictorRow(NamedTuple):
    """One predictor of the registry with who sits for it, by market."""

    code: str
    is_trained_on_candles: bool
    seats: list[PredictorModel]
    last_job: TrainingJob | None


def predictor_list() -> list[PredictorRow]:
    return [_predictor_row(code) for code in PREDICTORS]


def predictor_get(code: str) -> PredictorRow | None:
    return _predictor_row(code) if code in PREDICTORS else None


def _predictor_row(code: str) -> PredictorRow:
    seated = predictor_model_list(code=code).filter(
        stage__in=(Stage.CHAMPION, Stage.CHALLENGER, Stage.GUARD)
    )
    return PredictorRow(code, code in READERS, list(seated), training_job_list(code=code).first())
