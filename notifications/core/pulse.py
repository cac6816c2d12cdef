"""Whether trading is well enough to tell the world outside that it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping

# Whose silence means that nobody trades, or that nobody would notice.
EXPECTED = ("trading", "watchdog")
# Workers of further accounts are called by this and the account's name.
OF_AN_ACCOUNT = "trading."
# Alerts that trading is not what it should be, below the ones that are critical anyway.
AILING_CODES = frozenset(
    {"VENUE_UNAVAILABLE", "FILLS_UNAVAILABLE", "UNPROTECTED", "HEARTBEAT_LATE", "RUN_IDLE"}
)


def why_unwell(
    *,
    states: Mapping[str, str],
    ailing: Collection[str],
    has_open_run: bool,
) -> str:
    """Return why no ping should leave; empty where trading is healthy.

    Args:
        states: component to up, late, down, paused or idle, by heartbeats.
        ailing: codes of open alerts that are critical and unseen, or among ``AILING_CODES``.
        has_open_run: whether anything is to be traded at all.

    A halt that a person or a breaker asked for is no ill: the critical alert of a breaker is one
    until somebody has seen it.
    """
    if not has_open_run:
        return "no run is open"
    others = sorted(name for name in states if name.startswith(OF_AN_ACCOUNT))
    for component in (*EXPECTED, *others):
        state = states.get(component)
        if state is None:
            return f"{component} never wrote a heartbeat"
        if state != "up":
            return f"{component} is {state}"
    if ailing:
        return f"open alert {sorted(ailing)[0]}"
    return ""
