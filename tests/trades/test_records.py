"""Books that are rebuilt from rows are the books that wrote them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from engine.ledger import Ledger
from engine.types.opinions import Side
from engine.types.orders import Cause, OrderType, Purpose
from tests.trades.order_factory import (
    BTC,
    INSTRUMENT,
    START_MS,
    STRATEGY,
    make_fill,
    make_intent,
    make_run,
    write_intent,
)
from trades import books, models, records

pytestmark = pytest.mark.django_db


def filled(
    run: models.TradingRun, ledger: Ledger, side: Side, quantity: str, at_ms: int, fee: str = "0"
) -> None:
    """Fill an order, in the books and in the rows."""
    purpose = Purpose.ENTRY if side is Side.BUY else Purpose.EXIT
    intent = make_intent(side=side, purpose=purpose, quantity=quantity, decided_at_ms=at_ms)
    order = write_intent(run, intent)
    fill = replace(make_fill(intent, quantity), fee=Decimal(fee), fee_asset="BTC")
    ledger.apply_fill(fill, intent)
    records.fill_row(run, order, fill, timezone.now()).save(force_insert=True)


def test_dust_that_was_swept_stays_swept_after_a_restart() -> None:
    """F-019, I-5: also where the next entry filled at the very moment of the sweep."""
    run = make_run()
    ledger = Ledger("USDT", {"USDT": run.starting_cash_quote})
    filled(run, ledger, Side.BUY, "0.00200", START_MS, fee="0.000002")
    filled(run, ledger, Side.SELL, "0.00199", START_MS + 1)
    assert ledger.is_dust(STRATEGY, INSTRUMENT)
    swept = ledger.sweep_dust(STRATEGY, BTC, START_MS + 1, "QUIET")
    for trade in swept.trades:
        records.trade_row(run, trade).save(force_insert=True)
    filled(run, ledger, Side.BUY, "0.00300", START_MS + 1)
    rebuilt = books.restore_ledger(run, [INSTRUMENT])
    assert rebuilt.lots == ledger.lots
    assert rebuilt.position(STRATEGY, BTC).quantity_base == Decimal("0.003")
    assert rebuilt.balances() == ledger.balances()
    assert rebuilt.realised_quote == ledger.realised_quote


def test_the_newest_stop_of_each_position_tells_which_names_are_taken() -> None:
    """I-1: a stop placed after a restart at the same moment must not take an old one's name."""
    run = make_run()
    stop: dict[str, Any] = {"side": Side.SELL, "purpose": Purpose.EXIT, "kind": OrderType.STOP}
    for leg, at_ms in ((3, START_MS), (0, START_MS + 5), (1, START_MS + 5)):
        intent = make_intent(**stop, stop="49500", decided_at_ms=at_ms)
        write_intent(run, replace(intent, cause=Cause.PROTECTION, leg=leg))
    write_intent(run, make_intent(**stop, stop="49500", decided_at_ms=START_MS + 9))
    assert books.newest_stops(run) == {(STRATEGY, BTC): (START_MS + 5, 1)}
