"""Every edge of a strategy's health, and every edge that must not be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.ports import StrategyStatus
from optimization.core.config import HealthSettings
from optimization.core.health import machine
from optimization.core.health.machine import Edge, HealthState
from optimization.core.outcome import Standing
from tests.optimization.core.outcomes import HOUR_MS, START_MS, outcomes

ACTIVE, DEGRADED = StrategyStatus.ACTIVE, StrategyStatus.DEGRADED
SUSPENDED, RETIRED = StrategyStatus.SUSPENDED, StrategyStatus.RETIRED
SETTINGS = HealthSettings()
GOOD, BAD = [1.0, -0.5] * 15, [-1.0, 0.5] * 15
NOW = START_MS + 100 * HOUR_MS


def state(
    status: StrategyStatus = ACTIVE,
    rs: list[float] | None = None,
    *,
    hours: float = 0.0,
    shadow: list[float] | None = None,
    before: float | None = None,
) -> HealthState:
    """A strategy that is ``status`` for ``hours``; its trades closed just before now."""
    since_ms = NOW - round(hours * HOUR_MS)
    found = HealthState(status=status, since_ms=since_ms, expectancy_r_at_suspension=before)
    for outcome in outcomes(rs or [], from_ms=NOW - HOUR_MS):
        found = machine.observe(found, outcome, SETTINGS)
    for outcome in outcomes(shadow or [], from_ms=NOW - HOUR_MS, shadow=True):
        found = machine.observe(found, outcome, SETTINGS)
    return found


def look(given: HealthState, standing: Standing | None = None) -> tuple[HealthState, Edge | None]:
    found = standing or Standing(given.status, given.since_ms)
    return machine.judge("one", given, found, NOW, SETTINGS)


@pytest.mark.parametrize(
    ("given", "to_status", "code"),
    [
        (state(ACTIVE, BAD, hours=7), DEGRADED, "UNDERPERFORMS"),
        (state(ACTIVE, BAD[:20], hours=7), DEGRADED, "UNDERPERFORMS"),
        (state(ACTIVE, [-1.0] * 19, hours=7), None, "too few trades"),
        (state(ACTIVE, BAD, hours=5), None, "recovered a moment ago"),
        (state(ACTIVE, GOOD, hours=7), None, "healthy"),
        (state(ACTIVE, [-2.0, 1.6] * 10, hours=7), None, "bad luck is no evidence"),
        (state(ACTIVE, [], hours=7), None, "nothing known"),
        (state(DEGRADED, BAD, hours=24), SUSPENDED, "STILL_UNDERPERFORMS"),
        (state(DEGRADED, BAD[:20], hours=24), SUSPENDED, "STILL_UNDERPERFORMS"),
        (state(DEGRADED, BAD[:19], hours=24), None, "one trade short"),
        (state(DEGRADED, BAD, hours=23.9), None, "dwell"),
        (state(DEGRADED, GOOD, hours=24), ACTIVE, "RECOVERED"),
        (state(DEGRADED, GOOD, hours=23.9), None, "dwell"),
        (state(DEGRADED, GOOD[:19], hours=24), None, "too few trades"),
        (state(DEGRADED, [-0.9, 0.85] * 15, hours=24), None, "between the two thresholds"),
        (state(SUSPENDED, hours=48, shadow=GOOD, before=-0.5), DEGRADED, "SHADOW_RECOVERED"),
        (state(SUSPENDED, hours=47.9, shadow=GOOD, before=-0.5), None, "window not full"),
        (state(SUSPENDED, hours=48, shadow=GOOD[:9], before=-0.5), None, "too few shadow trades"),
        (state(SUSPENDED, hours=48, shadow=GOOD, before=0.24), None, "no improvement of 15 %"),
        (state(SUSPENDED, hours=48, shadow=BAD, before=-0.5), None, "shadow is no better"),
        (state(SUSPENDED, hours=48, shadow=GOOD, before=None), DEGRADED, "SHADOW_RECOVERED"),
        (state(SUSPENDED, hours=71.9, shadow=BAD, before=-0.5), None, "limit not reached"),
        (state(SUSPENDED, hours=72, shadow=BAD, before=-0.5), RETIRED, "NOT_RECOVERED"),
        (state(SUSPENDED, hours=72, shadow=BAD[:10], before=-0.5), RETIRED, "NOT_RECOVERED"),
        (state(SUSPENDED, hours=72, shadow=BAD[:9], before=-0.5), None, "too little was seen"),
        (state(SUSPENDED, hours=2_159.9, before=-0.5), None, "silence is no evidence for long"),
        (state(SUSPENDED, hours=2_160, shadow=GOOD[:9]), RETIRED, "NOT_RECOVERED"),
        (state(SUSPENDED, hours=2_160, before=-0.5), RETIRED, "NOT_RECOVERED"),
        (state(SUSPENDED, hours=200, shadow=GOOD, before=-0.5), DEGRADED, "SHADOW_RECOVERED"),
        (state(RETIRED, GOOD, hours=10_000), None, "for ever"),
        (state(RETIRED, BAD, hours=10_000), None, "for ever"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_transition_table(
    given: HealthState, to_status: StrategyStatus | None, code: str
) -> None:
    """OPT-35, OPT-36, OPT-81, D-06, D-07: thresholds, dwell times, evidence, hysteresis."""
    after, edge = look(given)
    if to_status is None:
        assert edge is None
        assert (after.status, after.since_ms) == (given.status, given.since_ms)
        return
    assert edge is not None
    assert (edge.from_status, edge.to_status, edge.at_ms) == (given.status, to_status, NOW)
    assert edge.reason_code == code and any(digit in edge.reason for digit in "0123456789")
    assert {"trades", "expectancy_r", "profit_factor", "drawdown_r"} <= set(edge.metrics)
    assert (after.status, after.since_ms) == (to_status, NOW)


@pytest.mark.parametrize(
    ("rs", "words"),
    [
        ([0.9, -1.05] * 11, "profit factor was"),
        ([-1.0] * 11 + [2.0] * 20 + [-0.01] * 11, "losing streak was 11"),
        ([0.5] * 30 + [-16.5] + [5.0] * 10, "drawdown was 16.50 R"),
        ([0.2] * 10 + [-0.5] * 10, "expectancy was -0.150 R"),
    ],
)
def test_each_threshold_breaks_on_its_own_and_says_so(rs: list[float], words: str) -> None:
    """OPT-81: units and numbers in the reason; the first case needs a stricter factor."""
    strict = replace(
        SETTINGS,
        profit_factor_min=0.9 if "factor" in words else 0.3,
        recovery_profit_factor=1.0,
        evidence_errors=0.0,
    )
    given = HealthState(status=ACTIVE)
    for outcome in outcomes(rs, from_ms=NOW - HOUR_MS):
        given = machine.observe(given, outcome, strict)
    given = replace(given, alarmed=False)
    _, edge = machine.judge("one", given, Standing(ACTIVE, 0), NOW, strict)
    assert edge is not None and words in edge.reason
    assert edge.reason.count(";") == 0


def test_the_sequential_alarm_degrades_and_must_fall_silent_before_it_is_over() -> None:
    """OPT-35: it needs no window; while it rings a degraded strategy is suspended after a day."""
    strict = replace(SETTINGS, false_alarm_trades=50.0, min_trades=50)
    given = HealthState()
    for outcome in outcomes([-1.0] * 30, from_ms=NOW - HOUR_MS):
        given = machine.observe(given, outcome, strict)
    after, edge = machine.judge("one", given, Standing(ACTIVE, 0), NOW, strict)
    assert edge is not None and edge.reason_code == "SEQUENTIAL_ALARM"
    later = NOW + 24 * HOUR_MS
    _, edge = machine.judge("one", after, Standing(DEGRADED, NOW), later, strict)
    assert edge is not None and edge.to_status is SUSPENDED
    for outcome in outcomes([2.0] * 40, first=100, from_ms=NOW):
        after = machine.observe(after, outcome, strict)
    _, edge = machine.judge("one", after, Standing(DEGRADED, NOW), later, strict)
    assert edge is not None and edge.to_status is ACTIVE


@pytest.mark.parametrize("status", [ACTIVE, DEGRADED, SUSPENDED])
def test_a_persons_word_holds_until_its_expiry_and_not_longer(status: StrategyStatus) -> None:
    """D-46: then the evidence decides."""
    given = state(status, BAD, hours=100, shadow=BAD)
    until = Standing(status, given.since_ms, override_until_ms=NOW + 1, by_person=True)
    assert look(given, until)[1] is None
    expired = replace(until, override_until_ms=NOW)
    assert look(given, expired)[1] is not None


def test_a_persons_suspension_without_expiry_is_left_to_people() -> None:
    """D-06: neither retired nor recovered by the machine."""
    by_person = Standing(SUSPENDED, 0, None, by_person=True)
    for shadow in (GOOD, BAD):
        assert look(state(SUSPENDED, hours=500, shadow=shadow), by_person)[1] is None


def test_a_status_set_from_outside_starts_its_clock_and_its_evidence_anew() -> None:
    """OPT-36: a forced suspension ages from the act; a reinstatement forgives what was before."""
    given = state(ACTIVE, BAD, hours=7)
    forced = machine.follow(given, Standing(SUSPENDED, NOW - HOUR_MS), NOW)
    assert (forced.status, forced.since_ms) == (SUSPENDED, NOW - HOUR_MS)
    assert forced.expectancy_r_at_suspension == pytest.approx(-0.25)
    back = machine.follow(state(RETIRED, BAD, hours=9), Standing(DEGRADED, NOW), NOW)
    assert machine.window(back).trades == 0
    assert machine.follow(given, Standing(ACTIVE, NOW), NOW) is given
    future = machine.follow(given, Standing(DEGRADED, NOW + 5), NOW)
    assert future.since_ms == NOW


def test_a_recovery_forgives_and_a_suspension_remembers() -> None:
    """OPT-36, D-07: hysteresis in the evidence, not only in the thresholds."""
    suspended, edge = look(state(DEGRADED, BAD, hours=24))
    assert edge is not None and suspended.expectancy_r_at_suspension == pytest.approx(-0.25)
    assert machine.window(suspended).trades == 30
    recovered, edge = look(state(SUSPENDED, BAD, hours=48, shadow=GOOD, before=-0.25))
    assert edge is not None and machine.window(recovered).trades == 0
    assert look(replace(recovered, since_ms=NOW - 25 * HOUR_MS))[1] is None


def test_shadow_trades_count_only_while_suspended_and_only_if_opened_then() -> None:
    """D-07: virtual results never reach the own window, nor old ones the shadow's."""
    active = state(ACTIVE, shadow=GOOD)
    assert (active.shadow, active.recent) == ((), ())
    early = HealthState(status=SUSPENDED, since_ms=NOW)
    for outcome in outcomes(GOOD, from_ms=NOW - HOUR_MS, shadow=True):
        early = machine.observe(early, outcome, SETTINGS)
    assert early.shadow == ()
    without_stop = outcomes([1.0], from_ms=NOW)[0]
    nothing = replace(without_stop, trade=replace(without_stop.trade, r_multiple=None))
    assert machine.observe(active, nothing, SETTINGS) is active


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([ACTIVE, DEGRADED, SUSPENDED, RETIRED]),
    st.lists(st.floats(-3.0, 5.0), max_size=60),
    st.lists(st.floats(-3.0, 5.0), max_size=60),
    st.floats(0.0, 200.0),
)
def test_no_evidence_leads_along_an_edge_that_is_not_in_the_table(
    status: StrategyStatus, rs: list[float], shadow: list[float], hours: float
) -> None:
    """OPT-36: never out of RETIRED, never from SUSPENDED to ACTIVE, never over a step."""
    allowed = {
        (ACTIVE, DEGRADED),
        (DEGRADED, ACTIVE),
        (DEGRADED, SUSPENDED),
        (SUSPENDED, DEGRADED),
        (SUSPENDED, RETIRED),
    }
    _, edge = look(state(status, rs, hours=hours, shadow=shadow))
    assert edge is None or (edge.from_status, edge.to_status) in allowed


def test_each_edge_of_a_window_is_where_it_is_said_to_be() -> None:
    """OPT-81: a trade that closed or opened at the very moment counts."""
    at = replace(state(ACTIVE), evidence_from_ms=NOW, recent=((NOW - 1, 1.0), (NOW, -1.0)))
    assert machine.window(at).trades == 1
    since = NOW - 60_000
    suspended = HealthState(status=SUSPENDED, since_ms=since)
    opened_then = outcomes([1.0], from_ms=NOW - 60_000, shadow=True)[0]
    assert opened_then.trade.opened_at_ms == since
    assert machine.observe(suspended, opened_then, SETTINGS).shadow == ((NOW, 1.0),)
    first_ms = NOW - 48 * HOUR_MS
    at_once = ((first_ms - 1, 1.0), (first_ms, 1.0), (first_ms, 1.0))
    seen = replace(suspended, since_ms=0, shadow=at_once)
    least_one = replace(SETTINGS, recovery_min_trades=1)
    assert machine.shadow_window(seen, NOW, least_one).trades == 2


def test_on_slow_bars_the_shadow_is_judged_by_its_trades_and_not_by_two_days_of_them() -> None:
    """D-07, OPT-36: one virtual trade a day for three weeks is evidence, good or bad."""
    for rs, to_status, expectancy in ((GOOD, DEGRADED, 0.25), (BAD, RETIRED, -0.25)):
        daily = state(SUSPENDED, hours=21 * 24, before=-0.5)
        for day, outcome in enumerate(outcomes(rs[:20], from_ms=NOW, shadow=True)):
            closed = NOW - (19 - day) * 24 * HOUR_MS
            trade = replace(outcome.trade, opened_at_ms=closed - HOUR_MS, closed_at_ms=closed)
            daily = machine.observe(daily, replace(outcome, trade=trade), SETTINGS)
        shadow = machine.shadow_window(daily, NOW, SETTINGS)
        assert (shadow.trades, shadow.expectancy_r) == (10, expectancy)
        _, edge = look(daily)
        assert edge is not None and edge.to_status is to_status


def test_a_limit_for_the_silent_is_never_shorter_than_the_one_for_all() -> None:
    """OPT-36: who has shown nothing is not retired before who has failed."""
    short = replace(SETTINGS, silent_limit_hours=0.0)
    for hours, due in ((71.9, False), (72, True)):
        given = state(SUSPENDED, hours=hours)
        _, edge = machine.judge("one", given, Standing(SUSPENDED, 0), NOW, short)
        assert (edge is not None) is due
        assert edge is None or "limit was 72 h" in edge.reason


def test_the_windows_keep_what_they_are_told_to_keep() -> None:
    """OPT-33, OPT-81: the last 50, own and shadow alike."""
    many = [0.1] * 70
    assert len(state(ACTIVE, many).recent) == 50
    assert len(state(SUSPENDED, hours=100, shadow=many).shadow) == 50


def test_active_may_degrade_again_exactly_when_its_dwell_is_over() -> None:
    """OPT-35"""
    _, edge = look(state(ACTIVE, BAD, hours=6))
    assert edge is not None and edge.to_status is DEGRADED


def test_an_expectancy_exactly_at_the_needed_improvement_recovers() -> None:
    """D-07: 15 % better than -0.4 R is -0.34 R; the recovery values are lowered to it."""
    lenient = replace(
        SETTINGS, expectancy_r_min=-1.0, recovery_expectancy_r=-0.5, recovery_profit_factor=0.0,
        profit_factor_min=0.0,
    )  # fmt: skip
    for shadow, due in (([-0.34] * 10, True), ([-0.35] * 10, False)):
        given = state(SUSPENDED, hours=50, shadow=shadow, before=-0.4)
        _, edge = machine.judge("one", given, Standing(SUSPENDED, 0), NOW, lenient)
        assert (edge is not None) is due


def test_the_sequential_test_rings_exactly_at_its_threshold() -> None:
    """OPT-35: a trade of 0 R adds one unit to every capital."""
    strict = replace(SETTINGS, false_alarm_trades=50.0)
    nothing = outcomes([0.0], from_ms=NOW)[0]
    for capital, rings in ((48.5, False), (49.0, True)):
        given = replace(state(ACTIVE), capitals=(capital,) * 5)
        assert machine.observe(given, nothing, strict).alarmed is rings
    for capital, to_status in ((999.0, ACTIVE), (1_000.0, SUSPENDED)):
        _, edge = look(replace(state(DEGRADED, GOOD, hours=24), capitals=(capital,) * 5))
        assert edge is not None and edge.to_status is to_status


@pytest.mark.parametrize(("fresh", "is_back"), [(4, False), (5, True)])
def test_the_way_back_needs_five_trades_since_it_was_degraded(fresh: int, is_back: bool) -> None:
    """OPT-35: one that closes at that very moment is of them; twenty are enough in all."""
    since = NOW - 24 * HOUR_MS
    times = [since - 1] * (20 - fresh) + [since] * fresh
    recent = tuple(zip(times, [1.0, -0.5] * 10, strict=True))
    _, edge = look(HealthState(status=DEGRADED, since_ms=since, recent=recent))
    assert (edge is not None and edge.to_status is ACTIVE) is is_back


def test_reasons_say_how_long_it_lasted_and_how_long_it_may() -> None:
    """OPT-35: in hours, with what was seen."""
    _, edge = look(state(DEGRADED, BAD, hours=24))
    assert edge is not None
    assert edge.reason.startswith("degraded for 24.0 h, limit was 24 h; expectancy was -0.250 R")
    _, edge = look(state(SUSPENDED, hours=72, shadow=BAD, before=-0.5))
    assert edge is not None
    assert edge.reason == (
        "suspended for 72.0 h without recovery, limit was 72 h; shadow trades were 30, needed were"
        " 10, their expectancy was -0.250 R"
    )
