"""What is done at set times, by whichever worker claims it first."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone

from resources.core.windows import RollingRounds
from resources.judging import action_judge
from resources.levers import levers_from_settings
from resources.models import ActionState, Origin
from resources.optimizer import Optimizer
from resources.selectors import rounds_stored
from resources.services import maintenance_run, samples_prune
from resources.switches import config_holding

ACTOR = "timetable"


def maintenance_due() -> list[str]:
    """Do what is due and return its codes."""
    return maintenance_run(now=timezone.now(), run=_one)


def _one(code: str) -> str:
    if code == "prune-samples":
        return f"{samples_prune(now=timezone.now())} rows deleted"
    config, now = config_holding(), timezone.now()
    if code in config.disabled_actions:
        return "switched off"
    rounds: RollingRounds = rounds_stored(now=now, window_s=config.window_s)
    optimizer = Optimizer(levers=levers_from_settings(), rounds=rounds, var_dir=settings.VAR_DIR)
    row = optimizer.act(
        code,
        now=now,
        config=config,
        reason="it is time for it",
        actor=ACTOR,
        origin=Origin.SCHEDULE,
    )
    if row is None:
        return "nothing to do"
    if row.state == ActionState.MEASURING:
        action_judge(row=row, rounds=rounds, now=now, config=config)
    return f"{row.get_state_display()} {row.verdict} {row.saved or ''}".strip()
