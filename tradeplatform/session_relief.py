"""What the resource optimizer asks of a trading session, taken over between two events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.phases.pipeline import Pipeline
from resources.tunables import RECONNECTS, decision_thrift, tunable_value


def relief(pipeline: Pipeline, client: Any) -> Callable[[], None]:
    """Return what takes over, between events, what the optimizer asks of a session: thrift in
    asking models, and new connections to the venue."""
    reconnects = tunable_value(RECONNECTS, 0.0)

    def refresh() -> None:
        nonlocal reconnects
        pipeline.set_thrift(decision_thrift())
        asked = tunable_value(RECONNECTS, 0.0)
        if asked != reconnects and client.session is not None:
            # only what idles in its pool is closed; the next call opens a connection anew
            client.session.close()
        reconnects = asked

    return refresh
