"""Random weights, signals, regimes and accounts through the real phase 7, with the layer on."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from engine.failsafe import FailSafePolicy
from engine.limits import RiskLimits
from engine.ports import StrategyStatus
from engine.types.opinions import REGIMES, Regime
from optimization.core.bounds import HeldWeight
from optimization.core.config import LayerSettings
from optimization.core.layer import AdaptivePolicy
from optimization.core.state import LayerState
from optimization.core.weighting import WeightBook
from tests.engine.books import BTC
from tests.engine.phases.scene import (
    STRATEGY,
    Gate,
    Incidents,
    consensus,
    entry,
    fail_safe,
    market,
    risk,
    snapshot,
)
from tests.engine.phases.sizing import ask

STATUSES = (StrategyStatus.ACTIVE, StrategyStatus.DEGRADED)


@dataclass(slots=True)
class Reached:
    """What a fuzz came across; ``breaches`` must stay empty for it to mean anything."""

    steps: int = 0
    sized: int = 0
    refused: int = 0
    lowest: float = 10.0
    highest: float = 0.0
    clipped: int = 0
    breaches: int = 0
    incidents: int = 0


def fuzz(steps: int, seed: int) -> Reached:
    """Judge and size ``steps`` random entries; count what lay outside any bound."""
    rng, found = np.random.default_rng(seed), Reached()
    # tighter than the shipped one, which twice the base size just reaches: a cap that never cuts
    # could be missing
    limits = RiskLimits(max_risk_per_trade=Decimal("0.012"))
    incidents, close = Incidents(), snapshot().close
    weight = [1.0]
    policy = FailSafePolicy(
        AdaptivePolicy(
            LayerSettings(enabled=True, enable_quality_filtering=bool(seed % 2)),
            base_weights={STRATEGY: 1.0},
            favourable={STRATEGY: frozenset({Regime.TRENDING})},
            read=lambda version: LayerState(
                version=(version or 0) + 1, book=WeightBook("t", {STRATEGY: HeldWeight(weight[0])})
            ),
        ),
        fail_safe(incidents),
    )
    for _ in range(steps):
        found.steps += 1
        # both ends of the range are visited often, where a bound is broken first
        weight[0] = float(rng.choice([0.1, 2.0, rng.uniform(0.1, 2.0)]))
        policy.refresh(found.steps)
        shares = rng.dirichlet(np.full(4, 0.5)).tolist()
        equity = Decimal(str(round(float(10 ** rng.uniform(2.5, 7.0)), 2)))
        stop = float(10 ** rng.uniform(-3.5, -0.3))
        held = equity * Decimal(str(round(float(rng.choice([0.0, rng.uniform(0.0, 0.1)])), 4)))
        answer = ask(
            entry(confidence=float(rng.random()), stop_price=close * (1.0 - stop)),
            policy,
            seen={
                "market": market(
                    regime=REGIMES[int(np.argmax(shares))], regime_probabilities=tuple(shares)
                ),
                "consensus": consensus(confluence_up=int(rng.integers(0, 5))),
            },
            gatekeeper=Gate(status=STATUSES[int(rng.integers(0, 2))]),
            risk=risk(str(equity), exposure_by_symbol={BTC: held}),
            limits=limits,
        )
        sizing = answer.sizing
        if sizing.quantity_base == 0:
            found.refused += 1
            continue
        m = sizing.multiplier_applied
        found.sized += 1
        found.lowest, found.highest = min(found.lowest, m), max(found.highest, m)
        found.clipped += not 0.1 <= sizing.multiplier_raw <= 2.0
        found.breaches += not (
            0.1 <= m <= 2.0
            and held + sizing.notional_quote <= limits.max_position_size * equity
            and sizing.stop_risk_quote <= limits.max_risk_per_trade * equity
            and sizing.quantity_base > 0
        )
    found.incidents = len(incidents.seen)
    return found
