"""One round of the optimizer: monitor, threshold, trigger, act, validate (ORC-57).

Everything it needs to know of earlier rounds stands in rows, so a restart forgets nothing; the
windows of numbers come from the sampler.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import transaction

from accounts.services import audit_record
from engine.failsafe import Failure, attempt
from resources.actions.base import Action, Context, Outcome
from resources.actions.registry import ACTIONS, traits
from resources.core.config import OptimizerConfig
from resources.core.planner import Act, Attempt, Escalate, Situation, Wait, plan
from resources.core.triggers import Repeats, Trigger, Watchman
from resources.core.verdicts import Verdict
from resources.core.windows import RollingRounds
from resources.errors import ActionFailed
from resources.incidents import note_step, note_wait, seen_again
from resources.judging import GUARDS, judge_due
from resources.levers import Levers
from resources.models import (
    ActionState,
    IncidentState,
    OptimizerAction,
    Origin,
    ResourceIncident,
    Stage,
)
from resources.services import as_ms, incident_resolve
from resources.workers import Workers
from trades.models import Order
from trades.oms import IN_FLIGHT

logger = logging.getLogger(__name__)
ACTOR = "optimizer"
# A worker that has not answered by then will not: the task has expired.
UNANSWERED_AFTER = timedelta(seconds=90)
_MINE = frozenset({ActionState.SENT, ActionState.MEASURING})


@dataclass(frozen=True, slots=True)
class RoundReport:
    """What one round saw and did, for a log line and for tests."""

    triggers: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    acted: tuple[str, ...] = ()
    judged: int = 0
    resolved: tuple[str, ...] = ()
    escalated: tuple[str, ...] = ()


def orders_in_flight() -> int:
    """Return how many orders of open runs are between intent and a final word."""
    return Order.objects.filter(run__ended_at__isnull=True, status__in=IN_FLIGHT).count()


class Optimizer:
    """Judges rules, keeps incidents, plans, acts, validates, undoes."""

    def __init__(
        self,
        *,
        levers: Levers,
        rounds: RollingRounds,
        var_dir: Path,
        workers: Workers | None = None,
        actions: Mapping[str, Action] = ACTIONS,
    ) -> None:
        self._levers = levers
        self._rounds = rounds
        self._var_dir = var_dir
        self._workers = workers or Workers()
        self._actions = actions
        self._repeated: dict[str, int] | None = None

    def round(self, now: datetime, config: OptimizerConfig) -> RoundReport:
        """Do one round.

        Raises:
            DatabaseError: the rows could not be read or written; the next round starts anew.
        """
        if not config.enabled:
            return RoundReport()
        open_before = {i.rule: i for i in ResourceIncident.objects.filter(resolved_at=None)}
        triggers = Watchman(config).judge(
            self._rounds, as_ms(now), frozenset(open_before), self._repeats()
        )
        judged = judge_due(self._rounds, now, config)
        for row in judged:
            if row.is_in_effect and row.verdict != Verdict.SUCCESS:
                # what did not help is not kept (ORC-44)
                self.revert(row, now=now, config=config)
        self._give_up_unanswered(now)
        held = {trigger.rule.code for trigger in triggers}
        resolved = [i for code, i in open_before.items() if code not in held]
        for incident in resolved:
            self._resolve(incident, now, config)
        opened: list[str] = []
        acted: list[str] = []
        escalated: list[str] = []
        for trigger in triggers:
            known = open_before.get(trigger.rule.code)
            if known is None:
                incident = self._open(trigger, now)
                opened.append(trigger.rule.code)
            else:
                incident = known
                seen_again(incident, trigger, now)
            if incident.state == IncidentState.ESCALATED:
                continue
            said = self._answer(incident, trigger, now, config)
            if isinstance(said, Act):
                acted.append(said.action)
            elif isinstance(said, Escalate):
                escalated.append(trigger.rule.code)
        return RoundReport(
            tuple(sorted(held)),
            tuple(opened),
            tuple(acted),
            len(judged),
            tuple(i.rule for i in resolved),
            tuple(escalated),
        )

    def act(
        self,
        code: str,
        *,
        now: datetime,
        config: OptimizerConfig,
        reason: str,
        actor: str = ACTOR,
        origin: str = Origin.TRIGGER,
        incident: ResourceIncident | None = None,
        dry_run: bool = False,
    ) -> OptimizerAction | None:
        """Carry one action out, or only plan it where the settings say to observe.

        The row stands before anything is done, and the act is audited in its transaction. None
        where there is nothing for the action to do.

        Raises:
            KeyError: no such action.
        """
        action, context = self._actions[code], self._context(now, config, incident, dry_run)
        parameters = attempt(lambda: action.parameters(context), f"action {code}")
        if parameters is None:
            return None
        failed = parameters if isinstance(parameters, Failure) else None
        observes = config.observe_only or (dry_run and not action.has_dry_run)
        with transaction.atomic():
            row = OptimizerAction.objects.create(
                incident=incident,
                action=code,
                origin=origin,
                actor=actor,
                reason=reason,
                state=ActionState.OBSERVED if observes else ActionState.MEASURING,
                target_key=incident.key if incident else "",
                parameters={} if isinstance(parameters, Failure) else dict(parameters),
                started_at=now,
                before=_window(self._rounds, now, config, incident),
            )
            audit_record(
                actor=actor,
                action="optimizer.observe" if observes else "optimizer.act",
                object_type="optimizer_action",
                object_id=str(row.pk),
                reason=reason,
                after={"action": code, "parameters": row.parameters},
                at=now,
            )
        if failed is not None:
            self._failed(row, failed, now)
        elif observes:
            note_step(incident, Stage.ACT, now, f"{code} would be done, observing only", row)
        else:
            self._carry_out(action, context, row, now)
        return row

    def _carry_out(
        self, action: Action, context: Context, row: OptimizerAction, now: datetime
    ) -> None:
        began = time.monotonic()
        result = attempt(lambda: action.apply(context, row.parameters, row.pk), row.action)
        row.duration_ms = (time.monotonic() - began) * 1000.0
        if isinstance(result, Failure):
            self._failed(row, result, now)
            return
        row.state = ActionState.SENT if result.is_sent else ActionState.MEASURING
        row.applied_at = None if result.is_sent else now + timedelta(milliseconds=row.duration_ms)
        row.is_in_effect = action.is_reversible
        _took(row, result)
        # a worker may have answered before this row is saved: then its numbers stand
        fields = ["duration_ms", "is_in_effect", "side_effects"]
        if not result.is_sent:
            fields += ["state", "applied_at", "own_before", "own_after", "saved"]
        else:
            OptimizerAction.objects.filter(pk=row.pk, applied_at=None).update(state=row.state)
        row.save(update_fields=fields)
        logger.info("optimizer action=%s id=%s ms=%.0f", row.action, row.pk, row.duration_ms)
        note_step(row.incident, Stage.ACT, now, f"{row.action} was done", row)

    def _failed(self, row: OptimizerAction, failure: Failure, now: datetime) -> None:
        row.state, row.error = ActionState.FAILED, failure.text[:500]
        row.verdict = Verdict.UNMEASURED.value
        row.save(update_fields=["state", "error", "verdict", "duration_ms"])
        note_step(row.incident, Stage.ACT, now, f"{row.action} failed: {row.error}", row)
        if not isinstance(failure.error, ActionFailed):
            self._levers.incident(failure.where, failure.error)

    def _answer(
        self,
        incident: ResourceIncident,
        trigger: Trigger,
        now: datetime,
        config: OptimizerConfig,
    ) -> Act | Wait | Escalate:
        skipped: set[str] = set()
        while True:
            usable = {c: t for c, t in traits(config).items() if c in self._actions}
            for code in skipped:
                usable.pop(code)
            said = plan(trigger, _situation(incident, now), usable, config)
            if not isinstance(said, Act):
                break
            if self.act(
                said.action, now=now, config=config, reason=trigger.text, incident=incident
            ):
                return said
            # it has nothing to do here and now: the next one is asked
            skipped.add(said.action)
        if isinstance(said, Escalate):
            self._escalate(incident, trigger, said, now)
        else:
            note_wait(incident, said, now)
        return said

    def _escalate(
        self, incident: ResourceIncident, trigger: Trigger, said: Escalate, now: datetime
    ) -> None:
        incident.state, incident.escalated_at = IncidentState.ESCALATED, now
        incident.save(update_fields=["state", "escalated_at"])
        note_step(incident, Stage.ESCALATE, now, said.why)
        self._levers.alert(
            code="RESOURCES",
            severity="warning",
            text=f"{trigger.text}; {said.why}",
            key=f"resources:{incident.rule}",
        )

    def _open(self, trigger: Trigger, now: datetime) -> ResourceIncident:
        rule, value = trigger.rule, trigger.value
        with transaction.atomic():
            incident = ResourceIncident.objects.create(
                rule=rule.code,
                kind=rule.kind.value,
                key=rule.key,
                cause=trigger.text,
                limit=rule.limit,
                first_value=value,
                worst_value=value,
                last_value=value,
                opened_at=now,
                last_at=now,
            )
            n = len(self._rounds.values(rule.key))
            note_step(incident, Stage.MONITOR, now, f"{rule.key} was read {n} times lately")
            note_step(
                incident, Stage.THRESHOLD, now, f"{value:.6g} against a limit of {rule.limit:.6g}"
            )
            note_step(incident, Stage.TRIGGER, now, trigger.text)
        logger.warning("resources incident rule=%s value=%.6g", rule.code, value)
        return incident

    def _resolve(self, incident: ResourceIncident, now: datetime, config: OptimizerConfig) -> None:
        incident_resolve(incident=incident, at=now)
        self._levers.resolve(f"resources:{incident.rule}")
        for row in incident.actions.filter(is_in_effect=True, state__in=_FINISHED).order_by("-id"):
            self.revert(row, now=now, config=config)

    def revert(self, row: OptimizerAction, *, now: datetime, config: OptimizerConfig) -> str:
        """Undo an action that is in effect; a failure is on record and tried again next round."""
        action = self._actions[row.action]
        context = self._context(now, config, row.incident, False)
        said = attempt(lambda: action.revert(context, row.parameters), f"revert {row.action}")
        if isinstance(said, Failure):
            note_step(row.incident, Stage.REVERT, now, f"{row.action} not undone: {said.text}", row)
            return said.text
        row.is_in_effect, row.reverted_at = False, now
        row.save(update_fields=["is_in_effect", "reverted_at"])
        note_step(row.incident, Stage.REVERT, now, f"{row.action} undone: {said}", row)
        return said

    def revert_leftovers(self, now: datetime, config: OptimizerConfig) -> int:
        """Undo what is in effect for an incident that is over; return how many were undone."""
        rows = OptimizerAction.objects.filter(
            is_in_effect=True, state__in=_FINISHED, incident__resolved_at__isnull=False
        )
        return sum(bool(self.revert(row, now=now, config=config)) for row in rows)

    def _context(
        self,
        now: datetime,
        config: OptimizerConfig,
        incident: ResourceIncident | None,
        dry_run: bool,
    ) -> Context:
        return Context(
            now=now,
            config=config,
            levers=self._levers,
            workers=self._workers,
            rounds=self._rounds,
            var_dir=self._var_dir,
            rule=incident.rule if incident else "",
            orders_in_flight=orders_in_flight(),
            dry_run=dry_run,
        )

    def _repeats(self) -> list[Repeats]:
        """Return how often each failure was seen since the round before."""
        seen = self._levers.repeats()
        before, self._repeated = self._repeated, {s: n for s, (_, n) in seen.items()}
        if before is None:
            return []
        return [
            Repeats(where, signature, count - before.get(signature, 0))
            for signature, (where, count) in sorted(seen.items())
            if count > before.get(signature, 0)
        ]

    def _give_up_unanswered(self, now: datetime) -> None:
        # also what this process was about to do when it died
        late = OptimizerAction.objects.filter(
            state__in=_MINE, applied_at=None, started_at__lt=now - UNANSWERED_AFTER
        )
        for row in late:
            error = ActionFailed("no worker took it up in time")
            self._failed(row, Failure(row.action, error), now)


_FINISHED = (ActionState.MEASURING, ActionState.JUDGED)


def _situation(incident: ResourceIncident, now: datetime) -> Situation:
    rows = list(incident.actions.order_by("id"))
    recent: Sequence[tuple[str, datetime]] = list(
        OptimizerAction.objects.filter(started_at__gt=now - timedelta(days=1)).values_list(
            "action", "started_at"
        )
    )
    last: dict[str, int] = {}
    for code, at in recent:
        last[code] = max(last.get(code, 0), as_ms(at))
    return Situation(
        now_ms=as_ms(now),
        attempts=[
            Attempt(row.action, Verdict(row.verdict) if row.verdict else Verdict.UNMEASURED)
            for row in rows
            if row.state not in _MINE
        ],
        last_ms=last,
        in_effect=frozenset(
            OptimizerAction.objects.filter(is_in_effect=True)
            .exclude(action="cheaper-decisions")
            .values_list("action", flat=True)
        ),
        is_measuring=OptimizerAction.objects.filter(
            state__in=_MINE, origin=Origin.TRIGGER
        ).exists(),
        orders_in_flight=orders_in_flight(),
    )


def _window(
    rounds: RollingRounds, now: datetime, config: OptimizerConfig, incident: Any
) -> dict[str, list[float]]:
    from_ms = as_ms(now) - int(config.window_s * 1000)
    keys = {*GUARDS, incident.key} if incident else set(GUARDS)
    return {
        key: v for key in sorted(keys) if (v := rounds.values(key, from_ms + 1, as_ms(now) + 1))
    }


def _took(row: OptimizerAction, outcome: Outcome) -> None:
    row.own_before, row.own_after = dict(outcome.before), dict(outcome.after)
    row.saved, row.side_effects = dict(outcome.saved), list(outcome.side_effects)
