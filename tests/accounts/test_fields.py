"""Columns of money on either database."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import timezone

from tests.trades.order_factory import make_run
from trades.models import EquityPoint

pytestmark = pytest.mark.django_db
EXACT = [
    "0.1",
    "0.000000000001",
    "123456789012345678.123456789012",
    "-7.3",
    "-0.0",
    "1E+3",
    "0E-12",
]


@pytest.mark.parametrize("text", EXACT)
def test_money_comes_back_to_the_last_digit(text: str) -> None:
    """F-044, I-4, I-6: the same value from SQLite and from PostgreSQL, and zero has no sign."""
    value = Decimal(text)
    point = EquityPoint.objects.create(
        run=make_run(),
        at=timezone.now(),
        equity_quote=value,
        cash_quote=value,
        exposure_quote=Decimal(0),
        peak_equity_quote=value,
        drawdown_fraction=0.0,
        day_pnl_quote=value,
    )
    stored = EquityPoint.objects.get(pk=point.pk)
    assert stored.cash_quote == value
    assert not (value == 0 and stored.cash_quote.is_signed())


def test_a_hundred_small_sums_leave_no_rest() -> None:
    """F-044, I-6: binary fractions would be off by then."""
    run = make_run()
    for i in range(100):
        EquityPoint.objects.create(
            run=run,
            at=timezone.now(),
            equity_quote=Decimal("0.1"),
            cash_quote=Decimal("0.000000000007"),
            exposure_quote=Decimal(0),
            peak_equity_quote=Decimal(i),
            drawdown_fraction=0.0,
            day_pnl_quote=Decimal(0),
        )
    rows = run.equity_points.values_list("equity_quote", "cash_quote")
    assert [sum(column) for column in zip(*rows, strict=True)] == [
        Decimal("10.0"),
        Decimal("0.0000000007"),
    ]
