"""The virtual books of a stored run (D-07, D-60)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.db import transaction

from engine.failsafe import FailSafe
from engine.policy import BasePolicy
from engine.ports import Gatekeeper, StrategyStatus
from engine.side_books import COUNTERFACTUAL, SHADOW, SideBooks, SideMarket, SidePlan
from engine.side_gates import CounterfactualGate, ShadowGate
from trades.side_book_state import JsonCodec

T = TypeVar("T")


def shadow_plan(gatekeeper: Gatekeeper, strategies: tuple[str, ...]) -> SidePlan:
    """Return the plan of the shadow book: suspended strategies trade there, for nothing."""

    def is_suspended(code: str) -> bool:
        return gatekeeper.strategy_status(code) is StrategyStatus.SUSPENDED

    return SidePlan(
        name=SHADOW,
        wanted=lambda: any(is_suspended(code) for code in strategies),
        may_enter=is_suspended,
        copies_account=False,
        gatekeeper=ShadowGate(gatekeeper),
        policy=BasePolicy(),
    )


def counterfactual_plan(
    gatekeeper: Gatekeeper,
    layer_is_on: Callable[[], bool],
    base_weights: Mapping[str, float],
    status_without_layer: Callable[[str], str],
) -> SidePlan:
    """Return the plan of the book that trades as if the optimization layer were off.

    It begins as a copy of the run's account whenever the layer is switched on. A strategy that the
    layer suspended or degraded stands there as people left it.
    """
    return SidePlan(
        name=COUNTERFACTUAL,
        wanted=lambda: _read(layer_is_on),
        may_enter=lambda code: True,
        copies_account=True,
        gatekeeper=CounterfactualGate(
            gatekeeper, lambda code: StrategyStatus(_read(lambda: status_without_layer(code)))
        ),
        policy=BasePolicy(base_weights),
    )


def _read(ask: Callable[[], T]) -> T:
    """Ask the database without putting the run's transaction at stake: a read that fails costs
    the side book, and what the event writes after it still commits."""
    with transaction.atomic():
        return ask()


def side_books(
    plans: tuple[SidePlan, ...],
    market: SideMarket,
    fail_safe: FailSafe,
    stored: Mapping[str, Any],
) -> SideBooks:
    """Return the side books of a run as they were at its last committed event."""
    return SideBooks(plans, market, fail_safe, JsonCodec(), stored)
