"""Writes of training jobs: a trigger becomes a job, a job a candidate, a candidate a challenger."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID
from zlib import crc32

import numpy as np
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.services import audit_record
from engine.failsafe import Failure, attempt
from engine.types.bars import BarColumns, ColumnStore
from engine.types.decisions import EvolutionTrigger
from market.models import Candle
from strategies.core.candidates import (
    Trained,
    base_rate,
    held_out,
    row_overlap,
    thinned,
    train_candidate,
)
from strategies.core.errors import StrategyError
from strategies.core.evolution import EvolutionRules, judge_candidate
from strategies.core.predictors.load import READERS, source_of
from strategies.core.registry import PREDICTORS
from strategies.core.training.dataset import Dataset, dataset_of
from strategies.errors import PredictorUnknown, StrategyRefused, TrainingStopped
from strategies.lifecycle import model_keep, model_of, moves_apply, scope_of, table_of
from strategies.models import JobStatus, PredictorModel, Stage, TrainingJob
from strategies.scores import moment

MANUAL = "manual"
# One job a source, market and period of venue time, whatever called for it.
PERIOD_MS = 21_600_000
# Together with the rest of the general worker's work: heartbeats wait no longer than this.
TIME_LIMIT_S = 60.0
CLAIM = timedelta(seconds=120)
MAX_ATTEMPTS = 3
MAX_BARS = 12_000
_OPEN = (JobStatus.QUEUED, JobStatus.RUNNING)


def trainable() -> tuple[str, ...]:
    """Return the codes of sources that are trained on stored candles; others learn as they go."""
    return tuple(code for code in PREDICTORS if code in READERS)


def training_request(
    *,
    trigger: EvolutionTrigger,
    run_code: UUID,
    venue: str,
    symbols: Sequence[str],
    timeframe_ms: int,
    horizon_bars: int,
    actor: str,
    parameters: Mapping[str, float] | None = None,
) -> TrainingJob | None:
    """Make a job of a trigger; None where there is nothing to train, or a job is there already.

    Written in the transaction of the event that called for it; a worker finds it there.
    """
    code, scope = trigger.source, scope_of(venue, timeframe_ms)
    if code not in trainable():
        return None
    is_manual = trigger.kind == MANUAL
    period = f"{MANUAL} {trigger.at_ms}" if is_manual else str(trigger.at_ms // PERIOD_MS)
    with transaction.atomic():
        if TrainingJob.objects.filter(code=code, scope=scope, status__in=_OPEN).exists():
            return None
        if not is_manual and not _is_worth_it(code, scope, trigger.at_ms, timeframe_ms):
            return None
        job, is_new = TrainingJob.objects.get_or_create(
            code=code,
            scope=scope,
            period_key=period,
            defaults={
                "run_code": run_code,
                "venue": venue,
                "symbols": list(symbols),
                "timeframe_ms": timeframe_ms,
                "horizon_bars": horizon_bars,
                "until_at": moment(trigger.at_ms),
                "kind": trigger.kind,
                "reason": trigger.text,
                "value": trigger.value,
                "limit": trigger.limit,
                "actor": actor[:120],
                # the same job trains the same model, wherever and whenever
                "seed": crc32(f"{code} {scope} {period}".encode()),
                "parameters": dict(parameters or {}),
                "created_at": timezone.now(),
            },
        )
        if not is_new:
            return None
        audit_record(
            actor=actor,
            action="training.request",
            object_type="predictor",
            object_id=code,
            reason=trigger.text,
            after={"job": job.pk, "scope": scope, "kind": trigger.kind},
        )
    return job


def _is_worth_it(code: str, scope: str, at_ms: int, timeframe_ms: int) -> bool:
    """True where enough bars closed since the last candidate of this source and market."""
    seen = TrainingJob.objects.filter(code=code, scope=scope, model__isnull=False)
    last = seen.order_by("-until_at").values_list("until_at", flat=True).first()
    if last is None:
        return True
    new_bars = (at_ms - round(last.timestamp() * 1000)) // timeframe_ms
    return new_bars >= EvolutionRules().min_new_bars


def check_trainable(code: str) -> None:
    """Refuse what cannot be trained.

    Raises:
        PredictorUnknown: there is no such predictor.
        StrategyRefused: it learns as it goes, there is nothing to train.
    """
    if code not in PREDICTORS:
        raise PredictorUnknown(f"predictor was {code!r}, known are {', '.join(PREDICTORS)}")
    if code not in trainable():
        raise StrategyRefused(
            f"{code} learns as it goes, trained are {', '.join(trainable())}",
            reason_code="nothing_to_train",
        )


def training_abort(*, job: TrainingJob, actor: str, reason: str) -> None:
    """Stop a job that waits or runs; a running one stops at its next sign of progress.

    Raises:
        StrategyRefused: no reason, or it is already over.
    """
    if not reason.strip():
        raise StrategyRefused("reason was empty, to abort a training needs one")
    with transaction.atomic():
        changed = TrainingJob.objects.filter(pk=job.pk, status__in=_OPEN).update(
            status=JobStatus.ABORTED, error=reason.strip(), finished_at=timezone.now()
        )
        if changed != 1:
            raise StrategyRefused(f"job {job.pk} is over, its status was {job.status}")
        audit_record(
            actor=actor,
            action="training.abort",
            object_type="predictor",
            object_id=job.code,
            reason=reason.strip(),
            after={"job": job.pk},
        )


def training_claim() -> TrainingJob | None:
    """Take the oldest job that waits, or whose worker has died; None where there is none."""
    now = timezone.now()
    lost = Q(status=JobStatus.RUNNING, claimed_until_at__lt=now)
    TrainingJob.objects.filter(lost, attempts__gte=MAX_ATTEMPTS).update(
        status=JobStatus.FAILED,
        error=f"given up after {MAX_ATTEMPTS} attempts",
        finished_at=now,
    )
    waiting = TrainingJob.objects.filter(Q(status=JobStatus.QUEUED) | lost).order_by("created_at")
    job = waiting.first()
    if job is None:
        return None
    taken = TrainingJob.objects.filter(pk=job.pk, status=job.status, attempts=job.attempts).update(
        status=JobStatus.RUNNING,
        attempts=job.attempts + 1,
        claimed_until_at=now + CLAIM,
        started_at=job.started_at or now,
    )
    if taken != 1:
        return None
    job.refresh_from_db()
    return job


def training_run(
    *, monotonic: Callable[[], float] = time.monotonic, rules: EvolutionRules | None = None
) -> str:
    """Do one job that is due, from candles to a seat or a refusal; return what became of it."""
    job = training_claim()
    if job is None:
        return "nothing to train"
    outcome = attempt(lambda: _work(job, monotonic, rules or EvolutionRules()), "training")
    if not isinstance(outcome, Failure):
        return outcome
    if isinstance(outcome.error, StrategyError):
        # too few rows, one outcome only: nothing is broken
        result = {"verdict": "not trained", "reason": str(outcome.error)}
        _finish(job, JobStatus.DONE, result=result)
    else:
        stopped = isinstance(outcome.error, TrainingStopped)
        _finish(job, JobStatus.ABORTED if stopped else JobStatus.FAILED, error=outcome.text)
    return f"{job.code}: {outcome.text}"


def _work(job: TrainingJob, monotonic: Callable[[], float], rules: EvolutionRules) -> str:
    table = table_of(code=job.code, scope=job.scope)
    if table.trial:
        _finish(job, JobStatus.DONE, result={"verdict": "not trained", "reason": table.trial})
        return f"{job.code}: not trained, {table.trial}"
    dataset = _dataset(job)
    until_s = monotonic() + TIME_LIMIT_S

    def tell(fraction: float) -> None:
        _progress(job, fraction)
        if monotonic() > until_s:
            raise TrainingStopped(f"training took longer than {TIME_LIMIT_S:g} s")

    if job.model is None:
        parent = _champion(job, table.champion)
        trained = train_candidate(
            job.code,
            dataset,
            seed=job.seed,
            parameters=job.parameters,
            progress=tell,
            code_version=settings.CODE_VERSION,
            parent="" if parent is None else parent.digest,
        )
        job.model = model_keep(model=trained.model, scope=job.scope, actor=job.actor)
        TrainingJob.objects.filter(pk=job.pk).update(model=job.model)
    return _judge(job, dataset, rules)


def _judge(job: TrainingJob, dataset: Dataset, rules: EvolutionRules) -> str:
    row = job.model
    if row is None:
        raise StrategyError(f"job {job.pk} has no model to judge")
    table = table_of(code=job.code, scope=job.scope)
    champion = _champion(job, table.champion)
    trained = Trained(model_of(row), source_of(model_of(row)))
    old = None if champion is None else model_of(champion)
    pairs = held_out(dataset, trained, None if old is None else Trained(old, source_of(old)))
    move = judge_candidate(
        table, row.version, pairs, row_overlap(dataset), rules, base_rate(dataset)
    )
    with transaction.atomic():
        if row.stage == Stage.CANDIDATE:
            moves_apply(code=job.code, scope=job.scope, moves=[move], actor=job.actor)
        result = {"verdict": move.to_stage.value, "reason": move.reason, **move.evidence}
        _finish(job, JobStatus.DONE, result=result)
    return f"{job.code}: {move.to_stage.value}, {move.reason}"


def _champion(job: TrainingJob, version: str) -> PredictorModel | None:
    if not version:
        return None
    return PredictorModel.objects.get(
        code=job.code, scope=job.scope, digest__startswith=version, stage=Stage.CHAMPION
    )


def _progress(job: TrainingJob, fraction: float) -> None:
    alive = TrainingJob.objects.filter(
        pk=job.pk, status=JobStatus.RUNNING, attempts=job.attempts
    ).update(progress_fraction=fraction, claimed_until_at=timezone.now() + CLAIM)
    if alive != 1:
        raise TrainingStopped("training was aborted, or another worker took it over")


def _finish(
    job: TrainingJob,
    status: JobStatus,
    *,
    error: str = "",
    result: dict[str, object] | None = None,
) -> None:
    # an abort by a person stands, whatever the worker found meanwhile
    TrainingJob.objects.filter(pk=job.pk, status=JobStatus.RUNNING, attempts=job.attempts).update(
        status=status,
        error=error[:500],
        result=result or {},
        finished_at=timezone.now(),
        progress_fraction=1.0 if status == JobStatus.DONE else job.progress_fraction,
    )


def _dataset(job: TrainingJob) -> Dataset:
    each = MAX_BARS // max(1, len(job.symbols))
    stores = {symbol: ColumnStore(_bars(job, symbol, each, job.until_at)) for symbol in job.symbols}
    return thinned(dataset_of(stores, job.horizon_bars))


def _bars(job: TrainingJob, symbol: str, n_bars: int, until: datetime) -> BarColumns:
    rows = Candle.objects.filter(
        instrument__venue=job.venue,
        instrument__symbol=symbol,
        timeframe_ms=job.timeframe_ms,
        # an open time: the bar that closes at the trigger's moment is the last one known
        opened_at__lte=until - timedelta(milliseconds=job.timeframe_ms),
    )
    names = ("opened_at", "open", "high", "low", "close", "volume")
    newest = list(rows.order_by("-opened_at").values_list(*names)[:n_bars])[::-1]
    numbers = np.array([row[1:] for row in newest], dtype=np.float64).reshape(-1, 5)
    opened = np.array([round(row[0].timestamp() * 1000) for row in newest], dtype=np.int64)
    return BarColumns(opened, *numbers.T.copy(), timeframe_ms=job.timeframe_ms)
