"""The periodic update: closed trades in, weights, health edges and alerts out.

Pure and keyed by the last trade taken in: the same state, trades and time give the same result,
and without new trades no weight moves; edges that wait for time still fire (OPT-34).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from engine.types.decisions import JsonValue
from optimization.core.actions import ActionKind
from optimization.core.alerts import Alert, alerts
from optimization.core.bounds import WeightLimits
from optimization.core.config import LayerSettings, QualitySettings, WeightingSettings
from optimization.core.health import machine
from optimization.core.health.machine import Edge
from optimization.core.outcome import Observed, Outcome, Standing, unsound
from optimization.core.performance import Decomposition
from optimization.core.quality import formula, learned
from optimization.core.state import LayerState, StrategyState
from optimization.core.weighting import (
    CompositePolicy,
    ExponentiatedGradientPolicy,
    UniformPolicy,
    WeightBook,
    WeightChange,
    WeightPolicy,
    enrolled,
    update_weights,
)

_POLICIES: Mapping[str, Callable[[Mapping[str, float]], WeightPolicy]] = {
    "composite": lambda base: CompositePolicy(base_weights=base),
    "exponentiated_gradient": lambda base: ExponentiatedGradientPolicy(base_weights=base),
    "uniform": lambda base: UniformPolicy(base_weights=base),
}


@dataclass(frozen=True, slots=True)
class Changes:
    """What an update changed. ``alerts`` are all that stand now, ``taken`` the trades taken in.

    ``refused`` has, by strategy, the first trade that was no evidence, and why.
    """

    weights: tuple[WeightChange, ...] = ()
    edges: tuple[Edge, ...] = ()
    alerts: tuple[Alert, ...] = ()
    verdict: learned.Verdict | None = None
    taken: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)

    def actions(self) -> list[tuple[ActionKind, dict[str, JsonValue]]]:
        """Return what to tell; nothing where nothing changed (OPT-38). Alerts are not in it:
        whether one is new is known to whoever kept the last ones."""
        told: list[tuple[ActionKind, dict[str, JsonValue]]] = []
        overall = [change for change in self.weights if change.in_effect]
        if overall:
            changed: dict[str, JsonValue] = {
                c.strategy: {"old": c.old, "new": c.new, "reason": c.reason} for c in overall
            }
            told.append((ActionKind.WEIGHTS, {"changed": changed}))
        for edge in self.edges:
            told.append((ActionKind.HEALTH, edge_fields(edge)))
        if self.verdict is not None:
            told.append((ActionKind.SCORER, verdict_fields(self.verdict)))
        return told


def edge_fields(edge: Edge) -> dict[str, JsonValue]:
    return {
        "strategy": edge.strategy,
        "from": edge.from_status.value,
        "to": edge.to_status.value,
        "reason_code": edge.reason_code,
        "reason": edge.reason,
        "at_ms": edge.at_ms,
    }


def verdict_fields(verdict: learned.Verdict) -> dict[str, JsonValue]:
    return {
        "scorer": "learned" if verdict.promoted else "formula",
        "outcomes": verdict.outcomes,
        "brier_formula": verdict.brier_formula,
        "brier_learned": verdict.brier_learned,
        "evidence": verdict.evidence,
    }


def alert_fields(alert: Alert, *, cleared: bool) -> dict[str, JsonValue]:
    return {
        "code": alert.code,
        "severity": alert.severity,
        "text": alert.text,
        "cleared": cleared,
    }


def period_of(now_ms: int, settings: LayerSettings) -> int:
    """Return the number of the update period that a moment of venue time lies in."""
    return now_ms // settings.update_interval_ms


def is_due(state: LayerState, now_ms: int, settings: LayerSettings) -> bool:
    """True once a period; periods that were missed are caught up by one update (OPT-32)."""
    last_ms = state.updated_at_ms
    return last_ms is None or period_of(now_ms, settings) > period_of(last_ms, settings)


def next_due_ms(state: LayerState, now_ms: int, settings: LayerSettings) -> int:
    """Return when the next update is due: ``now_ms`` where one is."""
    if is_due(state, now_ms, settings):
        return now_ms
    return (period_of(now_ms, settings) + 1) * settings.update_interval_ms


def next_state(
    state: LayerState, observed: Observed, now_ms: int, settings: LayerSettings
) -> tuple[LayerState, Changes]:
    """Return the state after an update, and what it changed.

    Only outcomes after ``state.as_of_sequence`` count, those closed later than ``now_ms`` not
    yet. A toggle that is off leaves its part as it was, but evidence is gathered all the same.
    A trade that cannot be one is passed by, and its strategy keeps its weight this time.
    """
    seen = _fresh(state, observed, now_ms)
    refused = _refused(seen)
    fresh = [outcome for outcome in seen if unsound(outcome.trade) is None]
    known = {code: state.strategies.get(code, StrategyState()) for code in observed.base_weights}
    strategies = _observed(known, fresh, observed, now_ms, settings)
    scorer, verdict = _scored(state.learned, fresh, settings.quality)
    edges: list[Edge] = []
    if settings.enable_retirement_management:
        strategies, edges = _judged(strategies, observed.standings, now_ms, settings)
    performance = _performance(state.performance, fresh, settings)
    book, weights = _weighed(state.book, performance, observed, now_ms, settings, refused)
    last = seen[-1] if seen else None
    updated = LayerState(
        version=state.version,
        as_of_sequence=state.as_of_sequence if last is None else last.sequence,
        as_of_trade_id=state.as_of_trade_id if last is None else last.trade.trade_id,
        updated_at_ms=now_ms,
        strategies=strategies,
        learned=scorer,
        book=book,
        performance=performance,
    )
    if replace(updated, updated_at_ms=state.updated_at_ms) != state:
        updated = replace(updated, version=state.version + 1)
    standing = alerts(updated.statuses(), updated.weights())
    return updated, Changes(weights, tuple(edges), standing, verdict, len(seen), refused)


def weight_limits(settings: WeightingSettings) -> WeightLimits:
    return WeightLimits(
        max_step_fraction=settings.max_step_fraction,
        max_day_fraction=settings.max_day_fraction,
        min_new_trades=settings.min_new_trades,
        min_weight=settings.min_weight,
        max_weight=settings.max_weight,
    )


def _performance(
    performance: Decomposition, fresh: list[Outcome], settings: LayerSettings
) -> Decomposition:
    """Take in the trades of the own books; shadow trades are nobody's performance."""
    own = [outcome.trade for outcome in fresh if not outcome.shadow]
    window = settings.weighting.window_trades
    if not performance.trades and performance.window_trades != window:
        performance = Decomposition(window)
    if not own:
        return performance
    after = performance.copy()
    for trade in own:
        after.add(trade)
    return after


def _weighed(
    book: WeightBook,
    performance: Decomposition,
    observed: Observed,
    now_ms: int,
    settings: LayerSettings,
    held: Collection[str],
) -> tuple[WeightBook, tuple[WeightChange, ...]]:
    """Move the weights; those of the ``held`` strategies wait with their evidence."""
    limits = weight_limits(settings.weighting)
    book = enrolled(book, observed.base_weights, limits)
    if not settings.enable_adaptive_weighting:
        return book, ()
    regimes = tuple(observed.regimes[symbol] for symbol in sorted(observed.regimes))
    moved, changes = update_weights(
        book,
        performance,
        _POLICIES[settings.weighting.policy](observed.base_weights),
        regimes=dict.fromkeys(book.in_effect, regimes),
        now_ms=now_ms,
        limits=limits,
        min_regime_trades=settings.weighting.min_regime_trades,
    )
    if not held:
        return moved, changes
    in_effect = {code: one for code, one in book.in_effect.items() if code in held}
    stored = {key: one for key, one in book.stored.items() if key[0] in held}
    moved = replace(
        moved, in_effect={**moved.in_effect, **in_effect}, stored={**moved.stored, **stored}
    )
    return moved, tuple(change for change in changes if change.strategy not in held)


def _refused(seen: Iterable[Outcome]) -> dict[str, str]:
    found: dict[str, str] = {}
    for outcome in seen:
        why = unsound(outcome.trade)
        if why is not None:
            found.setdefault(outcome.trade.strategy, why)
    return found


def _fresh(state: LayerState, observed: Observed, now_ms: int) -> list[Outcome]:
    found: list[Outcome] = []
    for outcome in sorted(observed.outcomes, key=lambda one: one.sequence):
        if outcome.trade.closed_at_ms > now_ms:
            break  # what comes after it waits too: the order of taking in must not depend on now
        if outcome.sequence > state.as_of_sequence:
            found.append(outcome)
    return found


def _observed(
    strategies: Mapping[str, StrategyState],
    fresh: list[Outcome],
    observed: Observed,
    now_ms: int,
    settings: LayerSettings,
) -> dict[str, StrategyState]:
    """Follow the rows' statuses, then take in the trades; one of an unknown strategy is left."""
    after = dict(strategies)
    for code, standing in observed.standings.items():
        if code in after:
            followed = machine.follow(after[code].health, standing, now_ms)
            after[code] = replace(after[code], health=followed)
    for outcome in fresh:
        one = after.get(outcome.trade.strategy)
        if one is not None:
            health = machine.observe(one.health, outcome, settings.health)
            history = one.history if outcome.shadow else _history(one, outcome, settings.quality)
            after[outcome.trade.strategy] = replace(one, health=health, history=history)
    return after


def _history(
    one: StrategyState, outcome: Outcome, settings: QualitySettings
) -> Mapping[str, tuple[machine.Result, ...]]:
    trade = outcome.trade
    if trade.r_multiple is None:
        return one.history
    kept = (*one.history.get(trade.entry_regime, ()), (trade.closed_at_ms, trade.r_multiple))
    return {**one.history, trade.entry_regime: kept[-settings.history_trades :]}


def _scored(
    state: learned.LearnedState, fresh: list[Outcome], settings: QualitySettings
) -> tuple[learned.LearnedState, learned.Verdict | None]:
    """Let the challenger forecast and learn; the last verdict of the batch stands."""
    verdict = None
    if not settings.learned_enabled:
        return state, verdict
    for outcome in fresh:
        r, inputs = outcome.trade.r_multiple, outcome.inputs
        if r is not None and inputs is not None and not outcome.shadow:
            score = formula.formula_score(inputs, settings)
            state, spoken = learned.learn(state, inputs, score, r, settings)
            verdict = spoken or verdict
    return state, verdict


def _judged(
    strategies: Mapping[str, StrategyState],
    standings: Mapping[str, Standing],
    now_ms: int,
    settings: LayerSettings,
) -> tuple[dict[str, StrategyState], list[Edge]]:
    after, edges = dict(strategies), []
    for code in sorted(after):
        standing = standings.get(code)
        if standing is None:
            continue
        health, edge = machine.judge(code, after[code].health, standing, now_ms, settings.health)
        after[code] = replace(after[code], health=health)
        if edge is not None:
            edges.append(edge)
    return after, edges
