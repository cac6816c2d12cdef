"""When the world outside is told that all is well."""

from __future__ import annotations

import pytest

from notifications.core.pulse import why_unwell

UP = {"trading": "up", "watchdog": "up", "web": "up"}


def test_all_is_well_where_the_workers_beat_a_run_is_open_and_no_alert_waits() -> None:
    """F-025"""
    assert why_unwell(states=UP, ailing=[], has_open_run=True) == ""


@pytest.mark.parametrize(
    ("states", "ailing", "has_open_run", "why"),
    [
        (UP | {"trading": "late"}, [], True, "trading is late"),
        (UP | {"watchdog": "down"}, [], True, "watchdog is down"),
        ({"watchdog": "up"}, [], True, "trading never wrote a heartbeat"),
        (UP, ["VENUE_UNAVAILABLE", "UNPROTECTED"], True, "open alert UNPROTECTED"),
        (UP | {"trading.second": "down"}, [], True, "trading.second is down"),
        (UP, [], False, "no run is open"),
    ],
)
def test_each_ill_withholds_the_ping_and_is_named(
    states: dict[str, str], ailing: list[str], has_open_run: bool, why: str
) -> None:
    """F-025: silence is the alarm, so whatever ails trading must make us silent."""
    assert why_unwell(states=states, ailing=ailing, has_open_run=has_open_run) == why


def test_a_web_page_that_is_down_stops_no_ping() -> None:
    assert why_unwell(states=UP | {"web": "down"}, ailing=[], has_open_run=True) == ""
