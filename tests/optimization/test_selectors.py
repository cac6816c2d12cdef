"""The status document before the layer has an adaptive part."""

from __future__ import annotations

import pytest
from django.utils import timezone

from optimization.selectors import get_optimization_status
from strategies.models import Status, Strategy


def _strategy(code: str, status: str, weight: float) -> Strategy:
    now = timezone.now()
    return Strategy.objects.create(
        code=code,
        name=code,
        status=status,
        weight=weight,
        status_changed_at=now,
        created_at=now,
    )


@pytest.mark.django_db
def test_every_strategy_is_in_exactly_one_list_and_shares_are_of_tradable_ones() -> None:
    """OPT-63, OPT-64: 1.15 and 0.92 share 0.556 and 0.444; a suspended strategy has no share."""
    _strategy("ema-trend", Status.ACTIVE, 1.15)
    _strategy("fair-value-gap", Status.DEGRADED, 0.92)
    _strategy("breakout", Status.SUSPENDED, 2.0)
    _strategy("continuation", Status.RETIRED, 2.0)

    document = get_optimization_status()

    assert document["health"] == {
        "active": ["ema-trend"],
        "degraded": ["fair-value-gap"],
        "suspended": ["breakout"],
        "retired": ["continuation"],
    }
    shares = document["allocation"]["normalized_weights"]
    assert {code: round(share, 3) for code, share in shares.items()} == {
        "ema-trend": 0.556,
        "fair-value-gap": 0.444,
    }


@pytest.mark.django_db
def test_the_document_is_whole_before_anything_exists() -> None:
    """OPT-62: disabled says so, and nothing divides by zero."""
    document = get_optimization_status()
    assert document["enabled"] is False
    assert document["status"] == "disabled"
    assert document["allocation"] == {"raw_weights": {}, "normalized_weights": {}}
    assert document["open_trades"] == 0
