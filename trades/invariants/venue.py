"""Invariants between our books and the practice exchange's own ledger, where it is reachable."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any
from urllib.request import urlopen

import orjson
from django.conf import settings
from django.db.models import Q, QuerySet

from trades import models
from trades.invariants.breach import Breach
from trades.oms import IN_FLIGHT

ADDRESS = "TRADEPLATFORM_PRACTICE_ADMIN_URL"
_TIMEOUT_S = 10


class LedgerOutOfReach(Exception):
    """No ledger to compare with: a real venue, or the practice exchange is not running."""


def ledger() -> Mapping[str, Any]:
    """Return the practice exchange's orders, fills and balances.

    Raises:
        LedgerOutOfReach: no address is known, or nobody answers there.
    """
    address = os.environ.get(ADDRESS) or _address_of_the_running_one()
    try:
        with urlopen(f"{address}/ledger", timeout=_TIMEOUT_S) as answer:  # noqa: S310  loopback
            document: Mapping[str, Any] = orjson.loads(answer.read())
            return document
    except (OSError, ValueError) as error:
        raise LedgerOutOfReach(f"{address} did not answer: {error}") from error


def _address_of_the_running_one() -> str:
    path = settings.VAR_DIR / "run" / "practice.json"
    try:
        return str(orjson.loads(path.read_bytes())[ADDRESS])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LedgerOutOfReach(
            f"no practice exchange runs from {settings.VAR_DIR} and {ADDRESS} is not set:"
            " no venue's ledger to compare with"
        ) from error


def one_accepted_order_an_id() -> Iterator[Breach]:
    """The venue accepted at most one order a client id, and never more than was meant (I-2)."""
    accepted = ledger()["orders"]
    counts = Counter(order["client_id"] for order in accepted)
    meant = dict(models.Order.objects.values_list("client_order_id", "quantity_base"))
    for order in accepted:
        client_id = order["client_id"]
        if client_id in meant and Decimal(order["quantity"]) > meant[client_id]:
            yield Breach(
                "I-2",
                f"order {client_id} is {order['quantity']} at the venue, "
                f"{meant[client_id]} was meant",
            )
    for client_id, count in counts.items():
        if client_id in meant and count > 1:
            yield Breach("I-2", f"order {client_id} was accepted {count} times")


def same_trades_on_both_sides() -> Iterator[Breach]:
    """Every execution at the venue is booked once, and nothing else is (I-3).

    A symbol with an order on the way is not judged for lost trades: its fills may still be on
    theirs. The venue is read before our rows for what is lost, and after them for what is
    invented, so that trading meanwhile shows as neither.
    """
    earlier = _trades_at_venue()
    moving = set(models.Order.objects.filter(status__in=IN_FLIGHT).values_list("symbol", flat=True))
    ours = _trades_booked(models.TradingRun.objects.filter(mode=models.Mode.PRACTICE))
    current = _trades_booked(models.TradingRun.objects.filter(ended_at__isnull=True))
    later = _trades_at_venue()
    for symbol in sorted(earlier.keys() - moving):
        lost = earlier[symbol] - ours[symbol]
        if lost:
            yield Breach("I-3", f"{symbol} trades not booked: {', '.join(sorted(lost))}")
    for symbol in sorted(current):
        invented = current[symbol] - later[symbol]
        if invented:
            yield Breach("I-3", f"{symbol} trades unknown at venue: {', '.join(sorted(invented))}")


def _trades_at_venue() -> defaultdict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for fill in ledger()["fills"]:
        found[fill["symbol"]].add(str(fill["trade_id"]))
    return found


def _trades_booked(runs: QuerySet[models.TradingRun]) -> defaultdict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    # a trade made by hand that closed lots is booked in parts of our naming: its own row counts
    parts = Q(order__request__kind=models.RequestKind.BOOK_EXTERNAL)
    for rows in (models.Fill.objects.exclude(parts), models.ExternalFill.objects.all()):
        for symbol, trade_id in rows.filter(run__in=runs).values_list("symbol", "trade_id"):
            found[symbol].add(trade_id)
    return found
