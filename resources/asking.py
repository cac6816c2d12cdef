"""An action that a person asked for: the same path as the optimizer's own."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone

from resources.actions.registry import ACTIONS
from resources.errors import ResourcesRefused
from resources.levers import levers_from_settings
from resources.models import OptimizerAction, Origin
from resources.optimizer import Optimizer, orders_in_flight
from resources.selectors import rounds_stored
from resources.switches import config_holding


def action_ask(*, code: str, actor: str, reason: str, dry_run: bool = False) -> OptimizerAction:
    """Carry one action out for a person and return its row; its verdict follows.

    Raises:
        ResourcesRefused: no reason, an unknown or disabled action, an order in flight where the
            action reaches the trading loop, or nothing to do.
    """
    config, now = config_holding(), timezone.now()
    if not reason.strip():
        raise ResourcesRefused("reason was empty, an action needs one")
    if code not in ACTIONS:
        raise ResourcesRefused(f"action was {code!r}, allowed: {', '.join(ACTIONS)}")
    if code in config.disabled_actions:
        raise ResourcesRefused(f"action was {code}, which the settings switch off")
    if ACTIONS[code].touches_trading and (held := orders_in_flight()):
        raise ResourcesRefused(f"orders in flight was {held}, {code} is allowed at 0")
    optimizer = Optimizer(
        levers=levers_from_settings(),
        rounds=rounds_stored(now=now, window_s=config.window_s),
        var_dir=settings.VAR_DIR,
    )
    row = optimizer.act(
        code,
        now=now,
        config=config,
        reason=reason.strip(),
        actor=actor,
        origin=Origin.PERSON,
        dry_run=dry_run,
    )
    if row is None:
        raise ResourcesRefused(f"action was {code}, which has nothing to do now")
    return row
