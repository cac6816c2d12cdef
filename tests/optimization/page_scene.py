"""What the layer's page shows after some days: changes of weights and status, scored signals."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from django.utils import timezone

from optimization.switches import optimization_settings_change
from strategies.models import HealthChange, Strategy, WeightUpdate
from trades.models import Decision, TradingRun


def build(run: TradingRun, seed: int = 5) -> None:
    rng = np.random.default_rng(seed)
    optimization_settings_change(
        changes={"enabled": True},
        actor="ada",
        reason="validated with manage.py validate_optimization, 6/6",
        source="page",
    )
    start = timezone.now() - timedelta(hours=60)
    for strategy in Strategy.objects.all():
        weight = 1.0
        for hour in range(1, 50, 3):
            drift = 0.02 if strategy.weight > 1 else -0.015
            new = float(np.clip(weight * (1 + rng.normal(drift, 0.04)), 0.1, 2.0))
            if hour > 46:
                new = strategy.weight
            WeightUpdate.objects.create(
                strategy=strategy,
                at=start + timedelta(hours=hour),
                period_key=f"scene {hour}",
                old_weight=weight,
                new_weight=new,
                reason=(
                    "composite over the last 50 trades in all regimes: expectancy R 0.118,"
                    f" profit factor 1.212, Sharpe 0.094; target was {new * 1.1:.4f},"
                    " held back by the step limit"
                ),
                actor="optimization",
                evidence={"trades_r": 50},
            )
            weight = new
    for code, hour, before, after, why in (
        ("fair-value-gap", 30, "ACTIVE", "DEGRADED", "expectancy was -0.142 R over 50 trades"),
        ("range-reversion", 22, "ACTIVE", "DEGRADED", "profit factor was 0.71 over 50 trades"),
        ("range-reversion", 47, "DEGRADED", "SUSPENDED", "degraded for 25 h without recovery"),
    ):
        HealthChange.objects.create(
            strategy=Strategy.objects.get(code=code),
            at=start + timedelta(hours=hour),
            from_status=before,
            to_status=after,
            reason=f"UNDERPERFORMS: {why}",
            actor="optimization",
            metrics={"trades": 50},
        )
    _score_decisions(run, rng)


def _score_decisions(run: TradingRun, rng: np.random.Generator) -> None:
    """Give the scene's decisions a quality, as if the layer had been on all the time."""
    for decision in Decision.objects.filter(run=run):
        if decision.action == "EXIT" or (decision.action == "HOLD" and rng.random() < 0.8):
            continue
        accepted = decision.action in ("BUY", "SELL")
        low, high = (0.6, 0.93) if accepted else (0.28, 0.6)
        quality = float(low + (high - low) * rng.beta(2, 3 if accepted else 2))
        decision.payload = {
            **decision.payload,
            "policy": {"accepted": accepted, "quality": quality, "reason_code": "QUALITY"},
        }
        decision.save(update_fields=["payload"])
