"""A new order as it arrives: read from text, then held against the symbol's filters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from engine.types.bars import Instrument
from engine.types.opinions import Side
from market.practice.problems import VenueError, filter_failure, invalid, missing

ZERO = Decimal(0)
LIMIT_KINDS = frozenset({"LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"})
STOP_KINDS = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"})
KINDS = ("LIMIT", "LIMIT_MAKER", "MARKET", *sorted(STOP_KINDS))
TIMES_IN_FORCE = frozenset({"GTC", "IOC", "FOK"})
_CLIENT_ID = re.compile(r"^[.A-Z:/a-z0-9_-]{1,36}$")
_MAX_DIGITS = 24


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A well-formed order request. Absent prices are 0; ``quote_quantity`` > 0 replaces the
    quantity of a market order by what it may spend or should earn."""

    instrument: Instrument
    side: Side
    kind: str
    time_in_force: str
    quantity: Decimal
    quote_quantity: Decimal
    price: Decimal
    stop_price: Decimal
    client_id: str

    @property
    def is_stop(self) -> bool:
        return self.kind in STOP_KINDS


def read_order(params: Mapping[str, str], instrument: Instrument, client_id: str) -> NewOrder:
    """Return the order in ``params``; ``client_id`` is used where the client gave none.

    Raises:
        VenueError: something is missing, malformed or unknown.
    """
    kind = params.get("type", "").upper()
    if kind not in KINDS:
        raise VenueError(-1116, "Invalid orderType.")
    side = params.get("side", "").upper()
    if side not in ("BUY", "SELL"):
        raise VenueError(-1117, "Invalid side.")
    quote_quantity = _amount(params, "quoteOrderQty") if kind == "MARKET" else ZERO
    order = NewOrder(
        instrument=instrument,
        side=Side(side),
        kind=kind,
        time_in_force=_time_in_force(params, kind),
        quantity=_amount(params, "quantity", required=quote_quantity == 0),
        quote_quantity=quote_quantity,
        price=_amount(params, "price", required=True) if kind in LIMIT_KINDS else ZERO,
        stop_price=_amount(params, "stopPrice", required=True) if kind in STOP_KINDS else ZERO,
        client_id=params.get("newClientOrderId") or client_id,
    )
    if not _CLIENT_ID.match(order.client_id):
        raise invalid("newClientOrderId")
    return order


def check_filters(order: NewOrder, quantity: Decimal, last_price: Decimal) -> None:
    """Raise VenueError where tick, lot or minimum notional is broken."""
    instrument = order.instrument
    for price in (order.price, order.stop_price):
        if price % instrument.tick_size != 0:
            raise filter_failure("PRICE_FILTER")
    if quantity < instrument.min_quantity_base or quantity % instrument.lot_size != 0:
        raise filter_failure("LOT_SIZE")
    price = order.price or order.stop_price or last_price
    if quantity * price < instrument.min_notional_quote:
        raise filter_failure("NOTIONAL")


def _time_in_force(params: Mapping[str, str], kind: str) -> str:
    if kind not in LIMIT_KINDS or kind == "LIMIT_MAKER":
        return "GTC"
    given = params.get("timeInForce", "").upper()
    if not given:
        raise missing("timeInForce")
    if given not in TIMES_IN_FORCE:
        raise VenueError(-1115, "Invalid timeInForce.")
    return given


def _amount(params: Mapping[str, str], name: str, required: bool = False) -> Decimal:
    """Return a positive number, or 0 where it is absent and may be."""
    text = params.get(name, "")
    if not text:
        if required:
            raise missing(name)
        return ZERO
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise invalid(name) from None
    if not value.is_finite() or value <= 0 or len(text) > _MAX_DIGITS:
        raise invalid(name)
    return value
