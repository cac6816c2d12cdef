"""The validation of an action: its numbers before and after, over equal windows (D-12)."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Any

from resources.core.config import OptimizerConfig
from resources.core.verdicts import LEAST_EFFECT, Judgement, Verdict, judge
from resources.core.windows import RollingRounds
from resources.models import ActionState, IncidentStep, OptimizerAction, Stage
from resources.services import as_ms

# What an action may not make worse, besides what it is meant to make better.
GUARDS = (
    "host.cpu",
    "host.memory_used",
    "work:decision.p95",
    "work:decision.errors",
    "work:http.p95",
)
# What an action without a target of its own is judged by, as it measured it itself.
OWN = ("bytes", "rss", "connections")


def judge_due(
    rounds: RollingRounds, now: datetime, config: OptimizerConfig
) -> list[OptimizerAction]:
    """Judge every action whose window after it has passed; return them."""
    wait = timedelta(seconds=config.window_s + config.sample_every_s)
    due = OptimizerAction.objects.filter(state=ActionState.MEASURING, applied_at__lte=now - wait)
    rows = list(due.select_related("incident"))
    for row in rows:
        action_judge(row=row, rounds=rounds, now=now, config=config)
    return rows


def action_judge(
    *, row: OptimizerAction, rounds: RollingRounds, now: datetime, config: OptimizerConfig
) -> OptimizerAction:
    """Write the verdict of one action. Numbers that are missing give "not measurable"."""
    applied_at = row.applied_at or row.started_at
    # one interval to settle: the round during which it was done is neither before nor after
    since = as_ms(applied_at) + int(config.sample_every_s * 1000)
    until = since + int(config.window_s * 1000)
    before: dict[str, list[float]] = row.before
    row.after = {k: v for k in before if (v := rounds.values(k, since + 1, until + 1))}
    if row.target_key:
        _take(row, judge(row.target_key, before, row.after))
    else:
        _by_itself(row)
    _cpu_saved(row, config)
    row.state, row.judged_at = ActionState.JUDGED, now
    row.save()
    if row.incident is not None:
        gain = "none measured" if row.improvement is None else f"{row.improvement:.1%}"
        IncidentStep.objects.create(
            incident=row.incident,
            stage=Stage.VALIDATE,
            at=now,
            text=f"{row.action}: {row.verdict}, improvement {gain}",
            detail={"action_id": row.pk, "verdict": row.verdict, "improvement": row.improvement},
        )
    return row


def _take(row: OptimizerAction, judgement: Judgement) -> None:
    row.verdict = judgement.verdict.value
    row.improvement, row.noise = judgement.target.improvement, judgement.target.noise
    row.regressions = [
        {"key": c.key, "before": c.before, "after": c.after, "change": c.improvement}
        for c in judgement.regressions
    ]


def _by_itself(row: OptimizerAction) -> None:
    name = next((n for n in OWN if row.own_before.get(n) and n in row.own_after), None)
    if name is None:
        row.verdict = Verdict.UNMEASURED.value
        return
    before, after = row.own_before[name], row.own_after[name]
    row.improvement, row.noise = (before - after) / before, LEAST_EFFECT
    is_better = row.improvement > LEAST_EFFECT
    row.verdict = (Verdict.SUCCESS if is_better else Verdict.NO_EFFECT).value


def _cpu_saved(row: OptimizerAction, config: OptimizerConfig) -> None:
    """Processor seconds not used within the window after, where that is beyond noise."""
    if row.target_key != "host.cpu" or row.verdict not in (Verdict.SUCCESS, Verdict.REGRESSED):
        return
    before: list[Any] = row.before[row.target_key]
    after: list[Any] = row.after[row.target_key]
    gained = sum(before) / len(before) - sum(after) / len(after)
    row.saved = {**row.saved, "cpu_s": gained * (os.cpu_count() or 1) * config.window_s}
