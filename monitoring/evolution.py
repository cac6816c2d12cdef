"""What evolution did: steps of models, triggers, trainings, each with its numbers in words."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db.models import QuerySet

from strategies.core.registry import PREDICTORS
from strategies.models import (
    JobStatus,
    PredictorEvent,
    Stage,
    TrainingJob,
)
from strategies.selectors import (
    evolution_history,
    predictor_model_get,
    predictor_model_list,
    training_job_list,
)
from trades.models import EvolutionEvent, TradingRun
from trades.records import moment

STEPS, TRIGGERS, TRAININGS = "steps", "triggers", "trainings"
LISTS = {STEPS: "Steps of models", TRIGGERS: "Triggers", TRAININGS: "Trainings"}
# What every comparison of two models leaves, in the order it is read.
_EVIDENCE = {
    "n": "rows",
    "log_loss_gain": "log loss gained",
    "standard_error": "error of that",
    "p_better": "p better",
    "p_worse": "p worse",
    "champion_loss": "log loss of the other",
    "challenger_loss": "its own on the same rows",
    "constant_loss": "log loss of a constant",
    "p_better_than_constant": "p better than a constant",
    "log_loss": "log loss",
    "brier": "Brier score",
    "auc": "AUC",
    "ece": "calibration error",
}
_TIMES = ("trained_from_ms", "trained_to_ms")


class Filters(NamedTuple):
    """What an evolution page was asked for; empty means everything."""

    shown: str = STEPS
    code: str = ""
    stage: str = ""
    kind: str = ""


class Found(NamedTuple):
    """A number with its name."""

    name: str
    text: str


class Step(NamedTuple):
    event: PredictorEvent
    evidence: list[Found]


class Training(NamedTuple):
    job: TrainingJob
    is_open: bool
    verdict: str
    evidence: list[Found]


def choices(run: TradingRun | None) -> dict[str, list[str]]:
    """Return what the lists can be filtered by."""
    kinds = EvolutionEvent.objects.filter(run=run).values_list("kind", flat=True)
    return {
        "codes": list(PREDICTORS),
        "stages": list(Stage.values),
        "kinds": sorted(set(kinds.order_by().distinct())),
    }


def steps(filters: Filters) -> QuerySet[PredictorEvent]:
    return evolution_history(code=filters.code or None, to_stage=filters.stage or None)


def triggers(run: TradingRun | None, filters: Filters) -> QuerySet[EvolutionEvent]:
    """Return what asked for training in a run and when models took their seats, newest first."""
    rows = EvolutionEvent.objects.filter(run=run).order_by("-at", "-id")
    # a model in the shadow is filed under its code and version
    rows = rows.filter(source__startswith=filters.code) if filters.code else rows
    return rows.filter(kind=filters.kind) if filters.kind else rows


def trainings(filters: Filters) -> QuerySet[TrainingJob]:
    return training_job_list(code=filters.code or None)


def step_of(event: PredictorEvent) -> Step:
    return Step(event, evidence_of(event.evidence))


def training_of(job: TrainingJob) -> Training:
    is_open = job.status in (JobStatus.QUEUED, JobStatus.RUNNING)
    result = job.result or {}
    words = [str(result[key]) for key in ("verdict", "reason") if result.get(key)]
    numbers = {key: value for key, value in result.items() if key not in ("verdict", "reason")}
    return Training(job, is_open, ": ".join(words), evidence_of(numbers))


def model_view(pk: int) -> dict[str, Any] | None:
    """Return one model with lineage, metrics, its parent and every step of its life."""
    model = predictor_model_get(pk)
    if model is None:
        return None
    parent = model.lineage.get("parent", "")
    parents = predictor_model_list(code=model.code).filter(scope=model.scope, digest=parent)
    return {
        "model": model,
        "parent": parents.first() if parent else None,
        "lineage": [_fact(name, value) for name, value in model.lineage.items() if value != ""],
        "metrics": evidence_of(model.metrics),
        "steps": [step_of(event) for event in evolution_history().filter(model=model)],
    }


def evidence_of(numbers: dict[str, Any]) -> list[Found]:
    """Return stored numbers as text, known ones first and under their plain names; a measure
    with its interval beside it."""
    flat = {**numbers, **(numbers.get("metrics") or {})}
    intervals = flat.pop("intervals", None) or {}
    flat.pop("metrics", None)
    names = [*(n for n in _EVIDENCE if n in flat), *(n for n in flat if n not in _EVIDENCE)]
    return [
        Found(_EVIDENCE.get(n, n.replace("_", " ")), _text(flat[n]) + _between(intervals.get(n)))
        for n in names
    ]


def _between(ends: Any) -> str:
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        return ""
    return f" ({_text(ends[0])} to {_text(ends[1])})"


def _fact(name: str, value: Any) -> Found:
    if name in _TIMES and isinstance(value, int):
        at = f"{moment(value):%Y-%m-%d %H:%M} UTC"
        return Found(name.removesuffix("_ms").replace("_", " "), at)
    return Found(name.replace("_", " "), _text(value))


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(part)}" for key, part in value.items()) or "defaults"
    if isinstance(value, list | tuple):
        return ", ".join(_text(part) for part in value)
    return str(value)
