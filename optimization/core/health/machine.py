"""The health of one strategy: ACTIVE, DEGRADED, SUSPENDED, RETIRED, and every edge between.

The machine only recommends; the status that counts is the strategy's row, which the risk gate
enforces. From RETIRED no edge leads out (D-06); from SUSPENDED only the shadow book does (D-07),
and not further than DEGRADED.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from engine.ports import StrategyStatus
from engine.types.decisions import JsonValue
from optimization.core.config import HealthSettings
from optimization.core.health.measures import Measures, measure, recovered, violations
from optimization.core.health.sequential import START, betting, value
from optimization.core.outcome import Outcome, Standing

HOUR_MS = 3_600_000
_ACTIVE, _DEGRADED = StrategyStatus.ACTIVE, StrategyStatus.DEGRADED
_SUSPENDED, _RETIRED = StrategyStatus.SUSPENDED, StrategyStatus.RETIRED

# (closed_at_ms, R) of one trade
Result = tuple[int, float]


@dataclass(frozen=True, slots=True)
class HealthState:
    """What the machine remembers of one strategy; times are venue time.

    ``evidence_from_ms``: trades closed before are forgiven (after a recovery or a person's word).
    ``recent`` are its own last trades, ``shadow`` the virtual ones since it was suspended.
    ``capitals`` are those of the sequential test; ``alarmed``: it rang since the last look.
    ``expectancy_r_at_suspension`` is what a recovery must improve on.
    """

    status: StrategyStatus = _ACTIVE
    since_ms: int = 0
    evidence_from_ms: int = 0
    recent: tuple[Result, ...] = ()
    shadow: tuple[Result, ...] = ()
    capitals: tuple[float, ...] = START
    alarmed: bool = False
    expectancy_r_at_suspension: float | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """One change of status with its cause (OPT-35); ``metrics`` is JSON for the audit row."""

    strategy: str
    from_status: StrategyStatus
    to_status: StrategyStatus
    at_ms: int
    reason_code: str
    reason: str
    metrics: Mapping[str, JsonValue]


def observe(state: HealthState, outcome: Outcome, settings: HealthSettings) -> HealthState:
    """Take in one closed trade; one without R says nothing about health."""
    trade, r = outcome.trade, outcome.trade.r_multiple
    if r is None:
        return state
    result = (trade.closed_at_ms, r)
    if outcome.shadow:
        if state.status is not _SUSPENDED or trade.opened_at_ms < state.since_ms:
            return state
        return replace(state, shadow=(*state.shadow, result)[-settings.window_trades :])
    recent = (*state.recent, result)[-settings.window_trades :]
    capitals = betting(settings).update(state.capitals, r)
    alarmed = state.alarmed or value(capitals) >= settings.false_alarm_trades
    return replace(state, recent=recent, capitals=capitals, alarmed=alarmed)


def follow(state: HealthState, standing: Standing, now_ms: int) -> HealthState:
    """Take over a status that somebody else set; the evidence starts anew from there."""
    if standing.status is state.status:
        return state
    since_ms = min(standing.since_ms, now_ms)
    expectancy = window(state).expectancy_r if standing.status is _SUSPENDED else None
    return _moved(state, standing.status, since_ms, since_ms, expectancy)


def window(state: HealthState) -> Measures:
    """Return the figures of its own trades that count."""
    return measure([r for at_ms, r in state.recent if at_ms >= state.evidence_from_ms])


def shadow_window(state: HealthState, now_ms: int, settings: HealthSettings) -> Measures:
    """Return the figures of the virtual trades of the recovery window.

    Where the window holds fewer than ``recovery_min_trades`` it reaches back to the last that
    many: on slow bars two days are two bars, and no strategy could ever show a recovery.
    """
    first_ms = now_ms - _ms(settings.recovery_window_hours)
    within = sum(at_ms >= first_ms for at_ms, _ in state.shadow)
    count = max(within, settings.recovery_min_trades)
    return measure([r for _, r in state.shadow[-count:]])


def judge(
    strategy: str, state: HealthState, standing: Standing, now_ms: int, settings: HealthSettings
) -> tuple[HealthState, Edge | None]:
    """Return the state after one look, with the edge that is due, if any.

    At most one edge a look. A person's word holds until its expiry; a person's suspension
    without one is left to people.
    """
    looked = replace(state, alarmed=False) if state.alarmed else state
    if _held(standing, now_ms) or state.status is _RETIRED:
        return looked, None
    if state.status is _ACTIVE:
        edge = _from_active(strategy, state, now_ms, settings)
    elif state.status is _DEGRADED:
        edge = _from_degraded(strategy, state, now_ms, settings)
    else:
        edge = _from_suspended(strategy, state, now_ms, settings)
    return (looked, None) if edge is None else (_after(state, edge), edge)


def _held(standing: Standing, now_ms: int) -> bool:
    until_ms = standing.override_until_ms
    if until_ms is not None:
        return now_ms < until_ms
    return standing.by_person and standing.status is _SUSPENDED


def _from_active(
    strategy: str, state: HealthState, now_ms: int, settings: HealthSettings
) -> Edge | None:
    measures = window(state)
    if state.alarmed:
        text = (
            f"sequential test rang, value was {value(state.capitals):.0f}, threshold was "
            f"{settings.false_alarm_trades:g}"
        )
        return _edge(strategy, state, _DEGRADED, now_ms, "SEQUENTIAL_ALARM", text, measures)
    dwelt = now_ms - state.since_ms >= _ms(settings.active_dwell_hours)
    broken = violations(measures, settings)
    if not dwelt or measures.trades < settings.min_trades or not broken:
        return None
    text = "; ".join(broken)
    return _edge(strategy, state, _DEGRADED, now_ms, "UNDERPERFORMS", text, measures)


def _from_degraded(
    strategy: str, state: HealthState, now_ms: int, settings: HealthSettings
) -> Edge | None:
    if now_ms - state.since_ms < _ms(settings.degraded_dwell_hours):
        return None
    measures = window(state)
    broken = list(violations(measures, settings))
    if measures.trades < settings.min_trades:
        broken = []
    if value(state.capitals) >= settings.false_alarm_trades:
        broken.append("the sequential test still rings")
    hours = (now_ms - state.since_ms) / HOUR_MS
    if broken:
        text = f"degraded for {hours:.1f} h, limit was {settings.degraded_dwell_hours:g} h; "
        text += "; ".join(broken)
        return _edge(strategy, state, _SUSPENDED, now_ms, "STILL_UNDERPERFORMS", text, measures)
    fresh = sum(at_ms >= state.since_ms for at_ms, _ in state.recent)
    enough = measures.trades >= settings.min_trades and fresh >= settings.degraded_min_trades
    if not enough or not recovered(measures, settings):
        return None
    text = f"expectancy was {measures.expectancy_r:.3f} R over {measures.trades} trades"
    return _edge(strategy, state, _ACTIVE, now_ms, "RECOVERED", text, measures)


def _from_suspended(
    strategy: str, state: HealthState, now_ms: int, settings: HealthSettings
) -> Edge | None:
    age_ms = now_ms - state.since_ms
    shadow = shadow_window(state, now_ms, settings)
    if age_ms >= _ms(settings.recovery_window_hours) and _improved(state, shadow, settings):
        text = (
            f"shadow expectancy was {shadow.expectancy_r:.3f} R over {shadow.trades} trades of "
            f"{settings.recovery_window_hours:g} h, at suspension it was "
            f"{_r(state.expectancy_r_at_suspension)}"
        )
        return _edge(strategy, state, _DEGRADED, now_ms, "SHADOW_RECOVERED", text, shadow)
    limit_hours = settings.suspended_limit_hours
    if shadow.trades < settings.recovery_min_trades:
        limit_hours = max(limit_hours, settings.silent_limit_hours)
    if age_ms < _ms(limit_hours):
        return None
    text = (
        f"suspended for {age_ms / HOUR_MS:.1f} h without recovery, limit was "
        f"{limit_hours:g} h; shadow trades were {shadow.trades}, needed were "
        f"{settings.recovery_min_trades}, their expectancy was {_r(shadow.expectancy_r)}"
    )
    return _edge(strategy, state, _RETIRED, now_ms, "NOT_RECOVERED", text, shadow)


def _improved(state: HealthState, shadow: Measures, settings: HealthSettings) -> bool:
    expectancy, before = shadow.expectancy_r, state.expectancy_r_at_suspension
    if expectancy is None or shadow.trades < settings.recovery_min_trades:
        return False
    if before is not None and expectancy < before + settings.recovery_improvement * abs(before):
        return False
    return recovered(shadow, settings)


def _r(expectancy: float | None) -> str:
    return "not known" if expectancy is None else f"{expectancy:.3f} R"


def _edge(
    strategy: str,
    state: HealthState,
    to_status: StrategyStatus,
    now_ms: int,
    code: str,
    text: str,
    measures: Measures,
) -> Edge:
    metrics = {**measures.as_json(), "sequential_value": value(state.capitals)}
    return Edge(strategy, state.status, to_status, now_ms, code, text, metrics)


def _after(state: HealthState, edge: Edge) -> HealthState:
    """Return the state behind an edge; a step up forgives what was closed before it."""
    down_from_active = edge.to_status is _DEGRADED and edge.from_status is _ACTIVE
    keeps = down_from_active or edge.to_status is _SUSPENDED
    evidence_from_ms = state.evidence_from_ms if keeps else edge.at_ms
    expectancy = window(state).expectancy_r if edge.to_status is _SUSPENDED else None
    moved = _moved(state, edge.to_status, edge.at_ms, evidence_from_ms, expectancy)
    # while degraded the test goes on: what rang must fall silent before it is over
    return replace(moved, capitals=state.capitals) if down_from_active else moved


def _moved(
    state: HealthState,
    status: StrategyStatus,
    since_ms: int,
    evidence_from_ms: int,
    expectancy_r_at_suspension: float | None,
) -> HealthState:
    return replace(
        state,
        status=status,
        since_ms=since_ms,
        evidence_from_ms=evidence_from_ms,
        shadow=(),
        capitals=START,
        alarmed=False,
        expectancy_r_at_suspension=expectancy_r_at_suspension,
    )


def _ms(hours: float) -> int:
    return round(hours * HOUR_MS)
