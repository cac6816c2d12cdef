"""Who hears of a failure that was survived."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


class LogReporter:
    """Implements ``engine.ports.Reporter`` where no rows are kept: replays and scripts."""

    def incident(self, where: str, error: BaseException) -> None:
        logger.warning("incident where=%s error=%s: %s", where, type(error).__name__, error)
