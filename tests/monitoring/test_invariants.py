"""Positions and their stops, as the rows tell of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from engine.types.opinions import Side
from engine.types.orders import Cause, OrderType, Purpose
from market.models import Instrument
from monitoring.invariants import positions_have_their_stop
from monitoring.models import Alert
from monitoring.services import alert_raise
from tests.trades.order_factory import (
    BTC,
    STRATEGY,
    hold,
    make_fill,
    make_intent,
    make_run,
    write_intent,
)
from trades import models, records

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> models.TradingRun:
    """A position of 0.002 that is two minutes old, with its stop at the venue."""
    run = make_run()
    Instrument.objects.create(
        venue=run.venue,
        symbol=BTC,
        base="BTC",
        quote="USDT",
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.00001"),
        min_notional_quote=Decimal(10),
        min_quantity_base=Decimal("0.00001"),
        maker_fee_fraction=Decimal("0.001"),
        taker_fee_fraction=Decimal("0.001"),
        updated_at=timezone.now(),
    )
    hold(run)
    entry = make_intent()
    row = write_intent(run, entry)
    at = timezone.now() - timedelta(minutes=2)
    records.fill_row(run, row, make_fill(entry, "0.00200"), at).save(force_insert=True)
    stop = make_intent(side=Side.SELL, purpose=Purpose.EXIT, kind=OrderType.STOP, stop="49500")
    write_intent(run, replace(stop, cause=Cause.PROTECTION))
    models.Order.objects.filter(cause=Cause.PROTECTION).update(status="OPEN")
    return run


def stops() -> Any:
    return models.Order.objects.filter(cause=Cause.PROTECTION)


GAPS: dict[str, Callable[[models.TradingRun], object]] = {
    "ended": lambda run: stops().update(status="CANCELED"),
    "too small": lambda run: stops().update(quantity_base=Decimal("0.00199")),
    "part of it filled": lambda run: stops().update(filled_base=Decimal("0.001")),
    "never sent": lambda run: stops().update(status="INTENT"),
    "another strategy's": lambda run: stops().update(strategy="breakout"),
}


def test_a_position_with_its_stop_is_in_order(run: models.TradingRun) -> None:
    """I-20"""
    assert list(positions_have_their_stop()) == []
    models.Lot.objects.update(quantity_base=Decimal("0.002005"))
    assert list(positions_have_their_stop()) == [], "to one lot step"


@pytest.mark.parametrize("gap", GAPS)
def test_a_position_without_its_stop_is_a_breach(run: models.TradingRun, gap: str) -> None:
    """I-20"""
    GAPS[gap](run)
    (breach,) = positions_have_their_stop()
    assert breach.id == "I-20"
    assert breach.detail.startswith(f"{STRATEGY} holds 0.002")


def test_a_gap_that_a_person_was_told_of_is_no_breach(run: models.TradingRun) -> None:
    """I-20: or an open alert; one that is resolved tells nobody any more."""
    stops().delete()
    key = f"UNPROTECTED:{run.code}:{STRATEGY} {BTC}"
    alert_raise(
        code="UNPROTECTED", severity="warning", text="x", dedupe_key=key, run_code=str(run.code)
    )
    assert list(positions_have_their_stop()) == []
    Alert.objects.update(resolved_at=timezone.now())
    assert len(list(positions_have_their_stop())) == 1


def test_a_young_position_and_a_run_without_resting_stops_are_left_out(
    run: models.TradingRun,
) -> None:
    """I-20: within 60 s; and only where stops are to rest at all."""
    stops().delete()
    models.Fill.objects.update(applied_at=timezone.now() - timedelta(seconds=50))
    assert list(positions_have_their_stop()) == []
    models.Fill.objects.update(applied_at=timezone.now() - timedelta(seconds=70))
    assert len(list(positions_have_their_stop())) == 1
    models.TradingRun.objects.update(config={"trading": {"resting_stops": False}})
    assert list(positions_have_their_stop()) == []
