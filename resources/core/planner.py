"""What is done about a trigger: one action at a time, the cheapest for trading first.

Research goes first and decisions last; nothing that reaches the trading loop is done while an
order is in flight; an action that was tried in vain is not tried for ever: then a person is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from resources.core.config import OptimizerConfig
from resources.core.triggers import Kind, Trigger
from resources.core.verdicts import Verdict

# By rule; a rule with a suffix (rss-general, errors-venue) falls back to its first word.
LADDERS: Mapping[str, tuple[str, ...]] = {
    "cpu": ("shed-research", "lengthen-sampling", "shrink-pool", "cheaper-decisions"),
    "load": ("shed-research", "lengthen-sampling", "shrink-pool", "cheaper-decisions"),
    "memory": ("collect-garbage", "clear-caches", "trim-buffers", "restart-worker"),
    "available": ("collect-garbage", "clear-caches", "trim-buffers", "restart-worker"),
    "rss": ("collect-garbage", "clear-caches", "restart-worker"),
    "disk": ("clean-temp", "compress-logs", "trim-disk-cache"),
    "queue": ("grow-pool",),
    "slow-decision": ("shed-research", "cheaper-decisions"),
    "fewer-decisions": ("shed-research", "reconnect"),
    "slow-http": ("shed-research", "database-connections", "database-statistics"),
    "slow-query": ("database-statistics", "database-connections", "smaller-batches"),
    "errors-venue": ("reconnect", "trip-breaker"),
    "errors-decision": ("reconnect", "fail-over-to-hold"),
    "errors-task": ("restart-worker",),
    "errors-http": ("database-connections",),
    "repeats": ("restart-worker",),
}


@dataclass(frozen=True, slots=True)
class Trait:
    """What the planner must know of an action."""

    code: str
    cool_down_s: float
    touches_trading: bool = False
    once_per_incident: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One action of this incident and how it was judged; None while it is being measured."""

    action: str
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Situation:
    """What holds when something is to be chosen. ``last_ms`` is when each action last began."""

    now_ms: int
    attempts: Sequence[Attempt] = ()
    last_ms: Mapping[str, int] = field(default_factory=dict)
    in_effect: frozenset[str] = frozenset()
    is_measuring: bool = False
    orders_in_flight: int = 0


@dataclass(frozen=True, slots=True)
class Act:
    action: str


@dataclass(frozen=True, slots=True)
class Wait:
    why: str


@dataclass(frozen=True, slots=True)
class Escalate:
    """Nothing is left to try, or nothing helped: a person must look."""

    why: str


def ladder_of(rule: str) -> tuple[str, ...]:
    return LADDERS.get(rule) or LADDERS.get(rule.partition("-")[0], ())


def plan(
    trigger: Trigger,
    situation: Situation,
    traits: Mapping[str, Trait],
    config: OptimizerConfig,
) -> Act | Wait | Escalate:
    """Choose what to do about a trigger now (ORC-50, ORC-57)."""
    if situation.is_measuring:
        return Wait("an action is being measured")
    held = ""
    steps = [code for code in ladder_of(trigger.rule.code) if code in traits]
    for code in steps:
        if code in config.disabled_actions or code in situation.in_effect:
            continue
        if _is_spent(traits[code], situation.attempts, config):
            continue
        why = _held(traits[code], situation)
        if not why:
            return Act(code)
        held = held or f"{code}: {why}"
    if held:
        return Wait(held)
    tried = sorted({attempt.action for attempt in situation.attempts})
    if tried:
        return Escalate(f"tried in vain: {', '.join(tried)}")
    kind = "error" if trigger.rule.kind is Kind.ERROR else trigger.rule.kind.value
    return Escalate(f"no action is left for a {kind} trigger of {trigger.rule.code}")


def _is_spent(trait: Trait, attempts: Sequence[Attempt], config: OptimizerConfig) -> bool:
    mine = [attempt for attempt in attempts if attempt.action == trait.code]
    if trait.once_per_incident and mine:
        return True
    vain = [attempt for attempt in mine if attempt.verdict is not Verdict.SUCCESS]
    return len(vain) >= config.tries_without_effect


def _held(trait: Trait, situation: Situation) -> str:
    last = situation.last_ms.get(trait.code)
    if last is not None and situation.now_ms - last < trait.cool_down_s * 1000:
        left = trait.cool_down_s - (situation.now_ms - last) / 1000
        return f"cooling down for another {left:.0f} s"
    if trait.touches_trading and situation.orders_in_flight:
        return f"{situation.orders_in_flight} orders are in flight"
    return ""
