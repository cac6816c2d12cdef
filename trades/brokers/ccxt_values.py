"""ccxt's dictionaries to our values and back; the only file that knows ccxt's keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine.types.opinions import Side
from engine.types.orders import Fill, OrderIntent, OrderState, OrderStatus, OrderType
from market.venues import venue_of

_STATUS = {
    "open": OrderStatus.OPEN,
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "canceling": OrderStatus.PENDING_CANCEL,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
}
# a transfer's; Bybit's withdrawals keep the venue's own word
_DONE = "ok"
_ON_ITS_WAY = ("pending", "processing")
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class VenueTrade:
    """One execution as the venue reports it, before we know whose it is."""

    trade_id: str
    venue_order_id: str
    symbol: str
    side: Side
    price: Decimal
    quantity_base: Decimal
    fee: Decimal
    fee_asset: str
    ts_ms: int
    is_maker: bool

    def fill_of(self, client_order_id: str) -> Fill:
        return Fill(
            trade_id=self.trade_id,
            client_order_id=client_order_id,
            symbol=self.symbol,
            side=self.side,
            price=self.price,
            quantity_base=self.quantity_base,
            fee=self.fee,
            fee_asset=self.fee_asset,
            ts_ms=self.ts_ms,
            is_maker=self.is_maker,
        )


@dataclass(frozen=True, slots=True)
class Prices:
    """What a symbol is bid and offered at, and last traded at where the venue says so; in quote."""

    bid: float
    ask: float
    last: float | None = None


@dataclass(frozen=True, slots=True)
class VenueTransfer:
    """A deposit or withdrawal: ``amount`` is what it changes on the account, > 0 for what comes
    and < 0 for what goes, the venue's fee included. ``credited_ms`` is when a deposit reached the
    account, None where the venue does not tell. One that is not ``is_done`` may have moved the
    balance already, and may still come to nothing."""

    venue_id: str
    is_deposit: bool
    asset: str
    amount: Decimal
    fee: Decimal
    ts_ms: int
    credited_ms: int | None = None
    is_done: bool = True


def client_id_out(exchange_id: str, client_order_id: str) -> str:
    """Return our id as this venue wants it spelt (D-19)."""
    return venue_of(exchange_id).spell_out(client_order_id)


def client_id_in(exchange_id: str, venue_spelling: str | None) -> str:
    """Return our id from the venue's spelling; empty where the order had none."""
    return venue_of(exchange_id).spell_in(venue_spelling) if venue_spelling else ""


def _client_id_of(exchange_id: str, row: Mapping[str, Any]) -> str:
    """Return our id from an order; ccxt shows Kraken's ``userref`` where there is no client id."""
    venue, info = venue_of(exchange_id), row.get("info") or {}
    raw = venue.raw_client_id
    spelt = row.get("clientOrderId") if raw is None else info.get(raw)
    # an order that a stop order turned into carries our id under another name
    spelt = spelt or info.get(venue.child_client_id or "")
    return client_id_in(exchange_id, spelt)


def exact(value: Any) -> Decimal:
    """Return a ccxt number without binary noise; absent is 0."""
    return ZERO if value is None else Decimal(str(value))


def order_arguments(
    exchange_id: str, intent: OrderIntent
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments and ``params`` of ccxt's ``create_order`` for an intent.

    A market order carries no price: ccxt would read amount x price as money to spend. An order
    with a trigger is one of that kind which waits. What else keeps its quantity in base, its fee
    in quote and its id in place is the venue's row of the table.

    Raises:
        ValueError: an order without its limit or the price it waits for.
    """
    venue, ours = venue_of(exchange_id), client_id_out(exchange_id, intent.client_order_id)
    params: dict[str, Any] = {"clientOrderId": ours, **venue.order_params}
    kind, price = "market", None
    if intent.order_type.has_limit:
        kind, price = "limit", _needed(intent.limit_price, "limit")
    else:
        params.update(venue.market_params)
    if intent.order_type is OrderType.IOC_LIMIT:
        params["timeInForce"] = "IOC"
    if intent.order_type.has_trigger:
        del params["clientOrderId"]
        params[venue.stop_client_id_param] = ours
        is_target = intent.order_type is OrderType.TAKE_PROFIT
        name = venue.target_param if is_target else venue.stop_param
        params[name] = _needed(intent.trigger_price, intent.order_type.value)
    return (
        intent.symbol,
        kind,
        intent.side.value.lower(),
        str(intent.quantity_base),
        price,
    ), params


def _needed(price: Decimal | None, what: str) -> str:
    if price is None:
        raise ValueError(f"a {what} order needs its price, was None")
    return str(price)


def order_word(exchange_id: str, row: Mapping[str, Any]) -> OrderState:
    """Return the venue's word on an order.

    A closed order that filled less than its amount was cut off, whatever the venue calls it. A
    row without a status is an acknowledgement: the order is accepted. A stop whose child is another
    order says nothing of fills, ccxt takes its size for them: the child's trades count.
    """
    filled, amount = exact(row.get("filled")), exact(row.get("amount"))
    status = _STATUS.get(row.get("status") or "open", OrderStatus.OPEN)
    told = venue_of(exchange_id).filled_field
    if told is not None and told not in (row.get("info") or {}):
        filled = ZERO
    elif status is OrderStatus.FILLED and amount > filled:
        status = OrderStatus.CANCELED
    if status is OrderStatus.OPEN and filled > 0:
        status = OrderStatus.PARTIAL
    average = row.get("average")
    return OrderState(
        client_order_id=_client_id_of(exchange_id, row),
        venue_order_id=str(row.get("id") or ""),
        status=status,
        filled_base=filled,
        average_price=None if average is None else exact(average),
        ts_ms=int(row.get("lastTradeTimestamp") or row.get("timestamp") or 0),
    )


def trade_value(row: Mapping[str, Any], quote: str, exchange_id: str = "binance") -> VenueTrade:
    """Return one execution; a trade without a stated fee cost nothing, in quote.

    The asset of the fee is the venue's own word where it has one: ccxt guesses Bybit's by side.
    """
    fee, named = row.get("fee") or {}, venue_of(exchange_id).fee_asset_field
    said = (row.get("info") or {}).get(named) if named else None
    return VenueTrade(
        trade_id=str(row["id"]),
        venue_order_id=str(row["order"]),
        symbol=row["symbol"],
        side=Side(row["side"].upper()),
        price=exact(row["price"]),
        quantity_base=exact(row["amount"]),
        fee=exact(fee.get("cost")),
        fee_asset=said or fee.get("currency") or quote,
        ts_ms=int(row["timestamp"]),
        is_maker=row.get("takerOrMaker") == "maker",
    )


def transfer_value(row: Mapping[str, Any], *, is_deposit: bool) -> VenueTransfer | None:
    """Return a deposit or withdrawal, None for one that came to nothing or was not a transfer.

    A fee in the same asset is taken besides what was withdrawn; one of a deposit never reached the
    account.
    """
    status = row.get("status")
    if status not in (_DONE, *_ON_ITS_WAY) or not row.get("id"):
        return None
    fee = row.get("fee") or {}
    own = exact(fee.get("cost")) if fee.get("currency") == row["currency"] else ZERO
    amount = exact(row.get("amount"))
    return VenueTransfer(
        venue_id=str(row["id"]),
        is_deposit=is_deposit,
        asset=str(row["currency"]),
        amount=amount if is_deposit else -(amount + own),
        fee=own,
        ts_ms=int(row.get("timestamp") or 0),
        credited_ms=_credited_ms(row) if is_deposit else None,
        is_done=status == _DONE,
    )


def _credited_ms(row: Mapping[str, Any]) -> int | None:
    # ccxt does not read Binance's own field
    at = str(row.get("updated") or (row.get("info") or {}).get("completeTime") or "")
    return int(at) if at.isdigit() else None
