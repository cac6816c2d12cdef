"""The judge: the practice exchange's ledger against the platform's database, nothing else.

Two ledgers that no shared code wrote. Whatever the platform believes, the exchange's is what
happened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.crash.database import Query

ZERO = Decimal(0)
UNDECIDED = ("INTENT", "SENDING", "UNKNOWN", "PENDING_CANCEL")
# At rest where the venue says so too: a protective stop waits there for as long as it is needed.
RESTING = ("OPEN", "PARTIAL")
OPEN_AT_VENUE = ("NEW", "PARTIALLY_FILLED")


@dataclass(frozen=True)
class Books:
    """What the platform's database says, read with plain SQL."""

    orders: Mapping[str, Decimal]
    decision_keys: Sequence[tuple[Any, ...]]
    fills: Sequence[tuple[str, str, str, Decimal, Decimal, Decimal, str]]
    external: frozenset[tuple[str, str]]
    starting_cash: Decimal
    quote: str
    in_flight: Mapping[str, str]


@dataclass
class Verdict:
    """What does not agree; all zero and empty is the only good one."""

    orders: int = 0
    fills: int = 0
    doubled: int = 0
    oversized: int = 0
    unknown_orders: int = 0
    lost_fills: int = 0
    invented_fills: int = 0
    equity_error: Decimal = ZERO
    unsettled: int = 0
    details: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.details


def read_books(query: Query) -> Books:
    """Read the one run of a harness database."""
    orders = query("SELECT client_order_id, quantity_base, status FROM trades_order")
    keys = query(
        "SELECT d.strategy, d.symbol, d.bar_close_at, o.leg FROM trades_order o "
        "JOIN trades_decision d ON d.id = o.decision_id"
    )
    fills = query(
        "SELECT symbol, trade_id, side, price, quantity_base, fee, fee_asset FROM trades_fill"
    )
    external = query("SELECT symbol, trade_id FROM trades_externalfill")
    ((cash, quote),) = query("SELECT starting_cash_quote, quote FROM trades_tradingrun")
    return Books(
        orders={row[0]: Decimal(row[1]) for row in orders},
        decision_keys=keys,
        fills=[(*f[:3], Decimal(f[3]), Decimal(f[4]), Decimal(f[5]), f[6]) for f in fills],
        external=frozenset((symbol, trade_id) for symbol, trade_id in external),
        starting_cash=Decimal(cash),
        quote=quote,
        in_flight={row[0]: row[2] for row in orders if row[2] in (*UNDECIDED, *RESTING)},
    )


def judge(books: Books, ledger: Mapping[str, Any]) -> Verdict:
    """Compare both ledgers after trading has come to rest."""
    verdict = Verdict(orders=len(ledger["orders"]), fills=len(ledger["fills"]))
    _judge_orders(books, ledger["orders"], verdict)
    _judge_fills(books, ledger["fills"], verdict)
    _judge_balances(books, ledger, verdict)
    resting = {o["client_id"] for o in ledger["orders"] if o.get("status") in OPEN_AT_VENUE}
    for client_id, status in sorted(books.in_flight.items()):
        if status in UNDECIDED or client_id not in resting:
            verdict.unsettled += 1
            verdict.details.append(f"order {client_id} is {status} after the quiet time")
    return verdict


def _judge_orders(books: Books, accepted: Sequence[Mapping[str, Any]], verdict: Verdict) -> None:
    """At most one accepted order a decision, and none that the database does not know."""
    for client_id, count in Counter(order["client_id"] for order in accepted).items():
        if count > 1:
            verdict.doubled += count - 1
            verdict.details.append(f"order {client_id} was accepted {count} times")
        if client_id not in books.orders:
            verdict.unknown_orders += 1
            verdict.details.append(f"order {client_id} has no row")
    for key, count in Counter(books.decision_keys).items():
        if count > 1:
            verdict.doubled += count - 1
            verdict.details.append(f"decision {key} led to {count} orders")
    for order in accepted:
        meant = books.orders.get(order["client_id"])
        if meant is not None and Decimal(order["quantity"]) > meant:
            verdict.oversized += 1
            verdict.details.append(f"order {order['client_id']} is larger than {meant}")


def _judge_fills(books: Books, executed: Sequence[Mapping[str, Any]], verdict: Verdict) -> None:
    theirs = {(fill["symbol"], str(fill["trade_id"])) for fill in executed}
    ours = [(fill[0], fill[1]) for fill in books.fills]
    for key in sorted(theirs - set(ours)):
        verdict.lost_fills += 1
        kind = "is booked as external" if key in books.external else "is not booked"
        verdict.details.append(f"trade {key} {kind}")
    for key, count in Counter(ours).items():
        if key not in theirs or count > 1:
            verdict.invented_fills += 1
            verdict.details.append(
                f"fill {key} is booked {count} times, at the venue: {key in theirs}"
            )


def _judge_balances(books: Books, ledger: Mapping[str, Any], verdict: Verdict) -> None:
    """Cash and coins that follow from our fills, against what the exchange holds for us.

    The difference is in quote, coins at the last price they traded at.
    """
    held: dict[str, Decimal] = {books.quote: books.starting_cash}
    last_price: dict[str, Decimal] = {books.quote: Decimal(1)}
    for symbol, _, side, price, quantity, fee, fee_asset in books.fills:
        base = symbol.partition("/")[0]
        sign = 1 if side == "BUY" else -1
        held[base] = held.get(base, ZERO) + sign * quantity
        held[books.quote] -= sign * quantity * price
        held[fee_asset] = held.get(fee_asset, ZERO) - fee
        last_price[base] = price
    for asset in sorted(set(held) | set(ledger["balances"])):
        balance = ledger["balances"].get(asset, {"free": "0", "locked": "0"})
        theirs = Decimal(balance["free"]) + Decimal(balance["locked"])
        difference = theirs - held.get(asset, ZERO)
        if difference:
            verdict.equity_error += abs(difference) * last_price.get(asset, Decimal(1))
            verdict.details.append(
                f"{asset}: the venue holds {difference:+f} more than our fills say"
            )
