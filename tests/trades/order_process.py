"""A trading process in miniature, to be killed: real database file, real wire, real SIGKILL.

``python -m tests.trades.order_process STEP`` does one step on the database of DATABASE_URL against
the practice exchange of PRACTICE_TEST_URL and prints one JSON line with what the rows say.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django

django.setup()

from engine.types.opinions import Side  # noqa: E402
from engine.types.orders import OrderIntent, OrderType, Purpose  # noqa: E402
from market.ccxt_client import build_client  # noqa: E402
from tests.practice_process import KEY, SECRET  # noqa: E402
from tests.trades.order_factory import INSTALLATION, World, age, lose_lease, make_run  # noqa: E402
from trades import models, oms  # noqa: E402

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
        "fills": sorted(models.Fill.objects.filter(run=w.run).values_list("trade_id", flat=True)),
        "events": models.OrderEvent.objects.filter(order__run=w.run).count(),
        "reconciled": w.reconciler.is_reconciled(),
    }


if __name__ == "__main__":
    the_world = world()
    {"enter": enter, "leave": leave, "cancel": cancel, "recover": recover}[sys.argv[1]](the_world)
    sys.stdout.write(json.dumps(rows(the_world)) + "\n")
