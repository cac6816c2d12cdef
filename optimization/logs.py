"""Every action of the layer as one tagged log line (D-58, OPT-38, OPT-68)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from optimization.core.actions import TAG, ActionKind, Fields, sentence, severity

logger = logging.getLogger("optimization")

_LEVELS = {
    "info": logging.INFO,
    "warning": logging.WARNING,
    "alert": logging.WARNING,
    "critical": logging.CRITICAL,
}


def tell(kind: ActionKind, fields: Fields) -> None:
    """Implements ``Tell``: the printed sentence, then key=value, at its level."""
    cleared = kind is ActionKind.ALERT and bool(fields.get("cleared"))
    level = logging.INFO if cleared else _LEVELS[severity(kind, fields)]
    logger.log(level, "%s", sentence(kind, fields))


def tell_standing(degraded: Sequence[str], suspended: Sequence[str]) -> None:
    """Name who stands badly after a change; called only where something changed (OPT-38)."""
    if degraded:
        logger.warning("%s Degraded strategies: %s count=%d", TAG, list(degraded), len(degraded))
    if suspended:
        logger.critical(
            "%s Suspended strategies: %s count=%d", TAG, list(suspended), len(suspended)
        )


def tell_failed(book: str, text: str) -> None:
    logger.error("%s Update failed, trading goes on as before book=%s error=%s", TAG, book, text)


def tell_switch(is_enabled: bool, version: int, source: str, actor: str) -> None:
    state = "enabled" if is_enabled else "disabled"
    logger.info(
        "%s Optimization %s version=%d source=%s actor=%s", TAG, state, version, source, actor
    )
