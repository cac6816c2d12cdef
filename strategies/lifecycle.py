"""Writes of the models' lives: seats, trials, promotions, each step with its numbers (ORC-16)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict

import numpy as np
from django.db import transaction
from django.utils import timezone

from accounts.services import audit_record
from engine.failsafe import Failure, attempt
from engine.features import FEATURES_VERSION
from engine.ports import LearnedSource
from engine.seats import Seated, champions, shadow_name
from engine.types.learned import Seat
from strategies.core.errors import StrategyError
from strategies.core.evolution import (
    EvolutionRules,
    Move,
    Pairs,
    Table,
    judge_probation,
    judge_trial,
    overlap_of,
)
from strategies.core.predictors.load import source_of
from strategies.core.registry import PREDICTORS, Params, control_sources, learned_sources
from strategies.core.trained import Lineage, TrainedModel
from strategies.errors import StrategyRefused
from strategies.models import VERSION_DIGITS, PredictorEvent, PredictorModel, SettledBar, Stage

_SEATS = (Stage.CHAMPION, Stage.CHALLENGER, Stage.GUARD)
# Not the rows that decide about its seat: those come later and nobody learned from them.
TRAINED = (
    "trained; the figures are of older rows, foretold while it was trained (0.6931 is the log loss"
    " of a coin)"
)
Told = Callable[[str, Exception], None]


def scope_of(venue: str, timeframe_ms: int) -> str:
    """Return the market a model belongs to: practice never speaks for a real venue."""
    return f"{venue} {timeframe_ms // 1000}s"


# -- rows and values -------------------------------------------------------------------------------


def model_of(row: PredictorModel) -> TrainedModel:
    """Return the stored model.

    Raises:
        StrategyError: the row is not what was stored: its digest is another one.
    """
    try:
        fields = {**row.lineage, "symbols": tuple(row.lineage["symbols"])}
        model = TrainedModel(Lineage(**fields), row.metrics, json.loads(row.payload))
    except (KeyError, TypeError, ValueError) as error:
        raise StrategyError(f"stored model {row.pk} cannot be read: {error}") from error
    if model.digest() != row.digest:
        raise StrategyError(
            f"stored model {row.pk} was changed: digest is {model.digest()[:VERSION_DIGITS]}, "
            f"was {row.digest[:VERSION_DIGITS]}"
        )
    return model


def model_keep(*, model: TrainedModel, scope: str, actor: str) -> PredictorModel:
    """Store a trained model as a candidate; the same model twice is one row."""
    with transaction.atomic():
        row, is_new = PredictorModel.objects.get_or_create(
            digest=model.digest(),
            scope=scope,
            defaults={
                "code": model.lineage.family,
                "stage_changed_at": timezone.now(),
                "lineage": asdict(model.lineage),
                "metrics": dict(model.metrics),
                "payload": json.dumps(model.payload, allow_nan=False),
                "created_at": timezone.now(),
            },
        )
        if is_new:
            _note(row, "", TRAINED, {"metrics": dict(model.metrics)}, actor)
    return row


def untrained_ensure(*, code: str, scope: str) -> PredictorModel:
    """Return the row of the source as it is before any training, making it champion at first."""
    digest = hashlib.sha256(f"untrained {code}".encode()).hexdigest()
    with transaction.atomic():
        row, is_new = PredictorModel.objects.get_or_create(
            digest=digest,
            scope=scope,
            defaults={
                "code": code,
                "stage": Stage.CHAMPION,
                "stage_changed_at": timezone.now(),
                "lineage": {"family": code},
                "payload": "",
                "created_at": timezone.now(),
            },
        )
        if is_new:
            _note(row, "", "votes until a trained model is better", {}, "system")
    return row


def table_of(*, code: str, scope: str) -> Table:
    """Return who sits for one code in one market."""
    untrained_ensure(code=code, scope=scope)
    rows = PredictorModel.objects.filter(code=code, scope=scope, stage__in=_SEATS)
    held = {Stage(row.stage): row.version for row in rows}
    return Table(held.get(Stage.CHAMPION, ""), held.get(Stage.CHALLENGER), held.get(Stage.GUARD))


def moves_apply(*, code: str, scope: str, moves: Sequence[Move], actor: str) -> None:
    """Make moves true, all or none, each with its event and audit.

    Raises:
        StrategyRefused: a model was not where the move takes it from: somebody was faster.
    """
    with transaction.atomic():
        after = SettledBar.objects.order_by("-id").values_list("id", flat=True).first() or 0
        for move in moves:
            row = _row(code, scope, move.version)
            changed = PredictorModel.objects.filter(pk=row.pk, stage=move.from_stage.value).update(
                stage=move.to_stage.value, stage_changed_at=timezone.now(), seated_after=after
            )
            if changed != 1:
                raise StrategyRefused(
                    f"{row} was changed by somebody else, its stage was {move.from_stage}",
                    reason_code="changed_meanwhile",
                )
            row.stage = move.to_stage.value
            _note(row, move.from_stage.value, move.reason, move.evidence, actor)


def _row(code: str, scope: str, version: str) -> PredictorModel:
    if version == "":
        return untrained_ensure(code=code, scope=scope)
    found = PredictorModel.objects.filter(
        code=code, scope=scope, digest__startswith=version
    ).first()
    if found is None:
        raise StrategyRefused(f"model of {code} was {version}, there is none")
    return found


def _note(
    row: PredictorModel, from_stage: str, reason: str, evidence: dict[str, object], actor: str
) -> None:
    event = PredictorEvent.objects.create(
        model=row,
        code=row.code,
        scope=row.scope,
        from_stage=from_stage,
        to_stage=row.stage,
        reason=reason,
        evidence=evidence,
        actor=actor[:120],
        at=timezone.now(),
    )
    audit_record(
        actor=actor,
        action="predictor.move",
        object_type="predictor",
        object_id=f"{row.code} {row.version or 'untrained'}",
        reason=reason,
        before={"stage": from_stage},
        after={"stage": row.stage, "scope": row.scope, "evidence": evidence},
        at=event.at,
    )


# -- seats of a session ----------------------------------------------------------------------------


def seats_signature(scope: str) -> tuple[tuple[str, str, str], ...]:
    """Return what tells one seating from another; cheap enough for every advance."""
    rows = PredictorModel.objects.filter(scope=scope, stage__in=_SEATS).order_by("code", "stage")
    return tuple(rows.values_list("code", "stage", "digest"))


def seated_sources(
    *,
    scope: str,
    codes: Iterable[str],
    told: Told,
    features_version: str = FEATURES_VERSION,
    params: Mapping[str, Params] | None = None,
) -> tuple[Seated, ...]:
    """Return a session's learned sources: who votes in declared order, then who is tried.

    A stored model that was changed, is not whole, or was trained on other features does not sit;
    ``told`` hears of it, and where it was to vote the untrained source does. ``params`` are those
    of sources that learn as they go.
    """
    wanted = set(codes)
    seated: list[Seated] = []
    for code in PREDICTORS:
        if code in wanted:
            rows = PredictorModel.objects.filter(code=code, scope=scope, stage__in=_SEATS)
            of_code = {Stage(row.stage): row for row in rows}
            (untrained,) = learned_sources([code], params=params)
            seated += _seated(untrained, of_code, features_version, told)
    seated += [Seated(source, Seat.CONTROL) for source in control_sources()] if wanted else []
    return tuple(seated)


def _loaded(row: PredictorModel, features_version: str) -> LearnedSource:
    model = model_of(row)
    if model.lineage.features_version != features_version:
        raise StrategyError(
            f"{row} was trained on features {model.lineage.features_version}, "
            f"they are {features_version}"
        )
    return source_of(model)


def _seated(
    untrained: LearnedSource, rows: dict[Stage, PredictorModel], features_version: str, told: Told
) -> list[Seated]:
    found: list[Seated] = []
    for stage, seat in (
        (Stage.CHAMPION, Seat.CHAMPION),
        (Stage.CHALLENGER, Seat.CHALLENGER),
        (Stage.GUARD, Seat.GUARD),
    ):
        row = rows.get(stage)
        if row is None or not row.payload:
            if row is not None or seat is Seat.CHAMPION:
                found.append(Seated(untrained, seat))
            continue
        where = f"model of {untrained.code}"
        # whatever a row holds, nested deeper than Python reads included: a session must start
        loaded = attempt(lambda r=row: _loaded(r, features_version), where)  # type: ignore[misc]
        if not isinstance(loaded, Failure):
            found.append(Seated(loaded, seat, row.version))
            continue
        told(where, loaded.error)
        if seat is Seat.CHAMPION:
            found += champions([untrained])
    # a champion that could not sit and its untrained guard would be the same source twice
    sources = [s.source for s in found]
    return [s for index, s in enumerate(found) if s.source not in sources[:index]]


# -- trials ----------------------------------------------------------------------------------------


def trials_judge(*, rules: EvolutionRules | None = None, actor: str = "system") -> list[Move]:
    """Look at every trial and probation; make the moves that are due and return them."""
    made: list[Move] = []
    tried = PredictorModel.objects.filter(stage__in=(Stage.CHALLENGER, Stage.GUARD))
    for row in tried.order_by("code", "scope", "id"):
        table = table_of(code=row.code, scope=row.scope)
        pairs, overlap = trial_pairs(row)
        judge = judge_trial if row.stage == Stage.CHALLENGER else judge_probation
        moves = judge(table, pairs, overlap, rules or EvolutionRules())
        if moves:
            moves_apply(code=row.code, scope=row.scope, moves=moves, actor=actor)
            made += moves
    return made


def trial_pairs(row: PredictorModel) -> tuple[Pairs, int]:
    """Return the bars on which both this model and the champion answered since it was seated,
    and how many neighbouring bars share part of their horizon."""
    champion, name = row.code, shadow_name(row.code, row.version)
    bars = SettledBar.objects.filter(
        id__gt=row.seated_after, opinions__has_keys=[champion, name]
    ).order_by("id")
    rows = list(bars.values_list("opinion_at", "settled_at", "outcome_up", "opinions"))
    at_ms = np.array([round(r[0].timestamp() * 1000) for r in rows], dtype=np.int64)
    pairs = Pairs(
        at_ms,
        np.array([float(r[3][champion]) for r in rows]),
        np.array([float(r[3][name]) for r in rows]),
        np.array([r[2] for r in rows], dtype=np.int64),
    )
    horizon_ms = max([(r[1] - r[0]).total_seconds() * 1000 for r in rows], default=0.0)
    return pairs, overlap_of(at_ms, horizon_ms)
