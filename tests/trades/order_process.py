"""A trading process in miniature, to be killed: real database file, real wire, real SIGKILL.

``python -m tests.trades.order_process STEP`` does one step on the database of DATABASE_URL against
the practice exchange of PRACTICE_TEST_URL and prints one JSON line with what the rows say.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from decimal import Decimal
from typing import Any

import django

django.setup()

from engine.account import Account  # noqa: E402
from engine.announce import EventOutcome  # noqa: E402
from engine.client_ids import RunIdentity  # noqa: E402
from engine.limits import RiskLimits  # noqa: E402
from engine.policy import BasePolicy  # noqa: E402
from engine.protection import Protection  # noqa: E402
from engine.trading_book import TradingBook  # noqa: E402
from engine.types.opinions import Side  # noqa: E402
from engine.types.orders import Cause, OrderIntent, OrderType, Purpose  # noqa: E402
from market.ccxt_client import build_client  # noqa: E402
from tests.engine.phases.scene import Gate  # noqa: E402
from tests.practice_process import KEY, SECRET  # noqa: E402
from tests.trades.order_factory import (  # noqa: E402
    BTC,
    INSTALLATION,
    INSTRUMENT,
    STRATEGY,
    World,
    age,
    lose_lease,
    make_intent,
    make_run,
)
from trades import books, failpoints, models, oms  # noqa: E402

NOW_MS = int(os.environ["PRACTICE_TEST_NOW_MS"])
ENTRY_ID, EXIT_ID, RESTING_ID = (INSTALLATION + digit * 26 for digit in "123")


def world() -> World:
    run = models.TradingRun.objects.first()
    if run is not None:
        lose_lease(run)  # what time would do to a dead holder's lease
        models.EquityPoint.objects.filter(run=run).delete()
    client = build_client(
        "binance",
        key=KEY,
        secret=SECRET,
        practice_url=os.environ["PRACTICE_TEST_URL"],
        timeout_s=2.0,
    )
    return World(run or make_run(), client, NOW_MS)


def submit(w: World, client_order_id: str, **fields: Any) -> OrderIntent:
    intent = w.intend(client_order_id=client_order_id, **fields)
    w.broker.submit(intent, w.event)
    return intent


def enter(w: World) -> None:
    submit(w, ENTRY_ID)
    w.book()


def leave(w: World) -> None:
    submit(w, EXIT_ID, side=Side.SELL, purpose=Purpose.EXIT)
    w.book()


def cancel(w: World) -> None:
    submit(w, RESTING_ID, kind=OrderType.LIMIT, limit="1000.00", quantity="0.02000")
    w.broker.cancel(RESTING_ID, w.event)


def ticked(w: World) -> TradingBook:
    """Walk one event as the session does: fills, the stops that should rest, then the wire."""
    book = TradingBook(
        identity=RunIdentity(INSTALLATION, "main", str(w.run.code), w.run.timeframe_ms),
        account=Account(w.ledger),
        limits=RiskLimits(),
        broker=w.broker,
        journal=w.journal,
        gatekeeper=Gate(),
        policy=BasePolicy(),
        protection=Protection(
            RunIdentity(INSTALLATION, "main", str(w.run.code), w.run.timeframe_ms),
            {BTC: INSTRUMENT},
            named=books.newest_stops(w.run),
        ),
    )
    tick(w, book)
    return book


def tick(w: World, book: TradingBook, intent: OrderIntent | None = None) -> None:
    outcome = EventOutcome(w.event)
    fills = w.broker.fills_at(w.event)
    with w.journal.event(w.event):
        book.book(fills, w.event, outcome, {})
        if intent is not None:
            w.journal.record_intent(intent)
            outcome.intents.append(intent)
        book.protect((), w.event, outcome)
    book.submit((), w.event, outcome)


def protect(w: World) -> None:
    """Enter with a stop; the tick that books the fill lets the stop rest."""
    submit(w, ENTRY_ID, stop="20000.00")
    ticked(w)


def move(w: World) -> None:
    """Move the stop of the position, as a person would."""
    w.journal.record_lots((), w.ledger.set_exits(STRATEGY, BTC, Decimal(21_000), None))
    ticked(w)


def flatten(w: World) -> None:
    """Leave the protected position: its stop ends first, then the exit leaves."""
    kept_exits(w)
    intent = make_intent(
        side=Side.SELL, purpose=Purpose.EXIT, client_order_id=EXIT_ID, decided_at_ms=w.now_ms
    )
    tick(w, ticked(w), replace(intent, cause=Cause.REQUEST))
    for _ in range(3):
        ticked(w)


def kept_exits(w: World) -> None:
    """Give the rebuilt books the stops that the rows of the lots keep."""
    for lot in models.Lot.objects.filter(run=w.run, is_open=True):
        w.ledger.set_exits(lot.strategy, lot.symbol, lot.stop_price, lot.target_price)


def settle(w: World) -> None:
    """Start as a new process does, with a position that is protected."""
    w.reboot(reconciled=False)
    kept_exits(w)
    for _ in range(4):
        for order in oms.in_flight(w.run.pk):
            age(order, 60)
        w.reconciler.reconcile()
        ticked(w)


def recover(w: World) -> None:
    """Start as a new process does: reconcile until everything is settled, then book fills."""
    w.reboot(reconciled=False)
    for _ in range(3):
        for order in oms.in_flight(w.run.pk):
            age(order, 60)
        w.reconciler.reconcile()
        w.book()


def rows(w: World) -> dict[str, Any]:
    orders = models.Order.objects.filter(run=w.run).order_by("pk")
    return {
        "orders": {o.client_order_id: o.status for o in orders},
        "filled": {o.client_order_id: str(o.filled_base) for o in orders},
        "held": str(sum((lot.quantity_base for lot in w.ledger.lots), Decimal(0))),
        "fills": sorted(models.Fill.objects.filter(run=w.run).values_list("trade_id", flat=True)),
        "events": models.OrderEvent.objects.filter(order__run=w.run).count(),
        "reconciled": w.reconciler.is_reconciled(),
    }


if __name__ == "__main__":
    # read when it was imported, which a forked process was not there for
    failpoints.arm(failpoints.parse(os.environ[failpoints.VARIABLE]))
    the_world = world()
    steps = (enter, leave, cancel, recover, protect, move, flatten, settle)
    {step.__name__: step for step in steps}[sys.argv[1]](the_world)
    sys.stdout.write(json.dumps(rows(the_world)) + "\n")
