"""How the practice exchange spells things: the JSON of Binance spot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from engine.types.bars import Bar, Book, Instrument, TradeFlow
from market.practice.exchange import Report
from market.practice.ledger import Balance, Transfer, VenueFill, VenueOrder
from market.practice.request import KINDS

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
_DIGITS = 8
_ENDS = {"CANCELED", "EXPIRED"}


def number(value: Decimal | float) -> str:
    """Spell a number with eight digits after the point, or with all it has if it has more,
    so that reading it gives the same float back."""
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    if int(exact.as_tuple().exponent) < -_DIGITS:
        return f"{exact:f}"
    return f"{exact:.{_DIGITS}f}"


def market_id(symbol: str) -> str:
    return symbol.replace("/", "")


def symbol_info(instrument: Instrument, halted: bool) -> Json:
    """One entry of exchangeInfo."""
    return {
        "symbol": market_id(instrument.symbol),
        "status": "BREAK" if halted else "TRADING",
        "baseAsset": instrument.base,
        "baseAssetPrecision": _DIGITS,
        "quoteAsset": instrument.quote,
        "quotePrecision": _DIGITS,
        "quoteAssetPrecision": _DIGITS,
        "baseCommissionPrecision": _DIGITS,
        "quoteCommissionPrecision": _DIGITS,
        "orderTypes": list(KINDS),
        "icebergAllowed": False,
        "ocoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": number(instrument.tick_size),
                "maxPrice": "100000000.00000000",
                "tickSize": number(instrument.tick_size),
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": number(instrument.min_quantity_base),
                "maxQty": "100000000.00000000",
                "stepSize": number(instrument.lot_size),
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": number(instrument.min_notional_quote),
                "applyMinToMarket": True,
                "maxNotional": "100000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 0,
            },
        ],
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
    }


def kline(bar: Bar, flow: TradeFlow, timeframe_ms: int) -> list[Json]:
    """One candle row; quote volumes are at the typical price."""
    typical = Decimal(repr((bar.high + bar.low + bar.close) / 3))
    volume, bought = Decimal(repr(bar.volume)), Decimal(repr(flow.buy_volume_base))
    return [
        bar.ts_ms,
        number(bar.open),
        number(bar.high),
        number(bar.low),
        number(bar.close),
        number(bar.volume),
        bar.ts_ms + timeframe_ms - 1,
        f"{volume * typical:.8f}",
        flow.trade_count,
        number(bought),
        f"{bought * typical:.8f}",
        "0",
    ]


def kline_event(row: list[Json], symbol: str, interval: str, closed: bool, at_ms: int) -> Json:
    keys = ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")
    candle: dict[str, Json] = dict(zip(keys, row, strict=True))
    candle |= {"s": market_id(symbol), "i": interval, "f": -1, "L": -1, "x": closed}
    return {"e": "kline", "E": at_ms, "s": market_id(symbol), "k": candle}


def levels(side: Iterable[tuple[float, float]], limit: int) -> list[Json]:
    return [[number(price), number(quantity)] for price, quantity in list(side)[:limit]]


def depth_event(before: Book, after: Book, symbol: str, first: int, last: int, at_ms: int) -> Json:
    """The levels that changed; quantity 0 = gone."""
    return {
        "e": "depthUpdate",
        "E": at_ms,
        "s": market_id(symbol),
        "U": first,
        "u": last,
        "b": _changes(before.bids, after.bids),
        "a": _changes(before.asks, after.asks),
    }


def _changes(
    before: tuple[tuple[float, float], ...], after: tuple[tuple[float, float], ...]
) -> list[Json]:
    new = dict(after)
    gone = [(price, 0.0) for price, _ in before if price not in new]
    return levels([*gone, *after], len(gone) + len(after))


def order_row(order: VenueOrder) -> dict[str, Json]:
    """An order as GET order, openOrders and allOrders print it."""
    return {
        "symbol": market_id(order.symbol),
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "price": number(order.price),
        "origQty": number(order.quantity),
        "executedQty": number(order.executed),
        "origQuoteOrderQty": number(Decimal(0)),
        "cummulativeQuoteQty": number(order.executed_quote),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "type": order.kind,
        "side": order.side,
        "stopPrice": number(order.stop_price),
        "icebergQty": number(Decimal(0)),
        "time": order.created_ms,
        "updateTime": order.updated_ms,
        "isWorking": order.triggered,
        "workingTime": order.created_ms,
        "selfTradePreventionMode": "NONE",
    }


def placed_row(order: VenueOrder, fills: Iterable[VenueFill], detail: str) -> dict[str, Json]:
    """The answer to a new order: ``detail`` is ACK, RESULT or FULL."""
    if detail == "ACK":
        keys = ("symbol", "orderId", "orderListId", "clientOrderId")
        row = {key: order_row(order)[key] for key in keys}
        return row | {"transactTime": order.updated_ms}
    row = order_row(order) | {"transactTime": order.updated_ms}
    if detail == "FULL":
        row["fills"] = [
            {
                "price": number(fill.price),
                "qty": number(fill.quantity),
                "commission": number(fill.fee),
                "commissionAsset": fill.fee_asset,
                "tradeId": fill.trade_id,
            }
            for fill in fills
        ]
    return row


def cancel_row(order: VenueOrder, cancel_id: str) -> dict[str, Json]:
    row = order_row(order) | {"transactTime": order.updated_ms}
    return row | {"origClientOrderId": order.client_id, "clientOrderId": cancel_id}


def my_trade(fill: VenueFill) -> Json:
    return {
        "symbol": market_id(fill.symbol),
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": -1,
        "price": number(fill.price),
        "qty": number(fill.quantity),
        "quoteQty": number(fill.price * fill.quantity),
        "commission": number(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.ts_ms,
        "isBuyer": fill.side == "BUY",
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }


def deposit(transfer: Transfer) -> Json:
    return {
        "id": f"d{transfer.transfer_id}",
        "amount": number(transfer.amount),
        "coin": transfer.asset,
        "network": transfer.asset,
        "status": 1 if transfer.is_done else 0,
        "address": "practice",
        "addressTag": "",
        "txId": f"deposit-{transfer.transfer_id}",
        "insertTime": transfer.ts_ms,
        "transferType": 0,
        "confirmTimes": "1/1",
        "unlockConfirm": 1,
        "walletType": 0,
    }


def withdrawal(transfer: Transfer) -> Json:
    applied = datetime.fromtimestamp(transfer.ts_ms / 1000, UTC)
    return {
        "id": f"w{transfer.transfer_id}",
        "amount": number(-transfer.amount),
        "transactionFee": number(transfer.fee),
        "coin": transfer.asset,
        "network": transfer.asset,
        "status": 6 if transfer.is_done else 4,
        "address": "practice",
        "txId": f"withdrawal-{transfer.transfer_id}",
        "applyTime": f"{applied:%Y-%m-%d %H:%M:%S}",
        "transferType": 0,
        "confirmNo": 1,
        "walletType": 0,
    }


def account(balances: Mapping[str, Balance], instruments: Iterable[Instrument], at_ms: int) -> Json:
    listed = list(instruments)
    maker, taker = listed[0].maker_fee_fraction, listed[0].taker_fee_fraction
    return {
        "makerCommission": int(maker * 10_000),
        "takerCommission": int(taker * 10_000),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {
            "maker": number(maker),
            "taker": number(taker),
            "buyer": "0.00000000",
            "seller": "0.00000000",
        },
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "updateTime": at_ms,
        "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": number(held.free), "locked": number(held.locked)}
            for asset, held in balances.items()
        ],
        "permissions": ["SPOT"],
        "uid": 1,
    }


def position_event(balances: Mapping[str, Balance], at_ms: int) -> Json:
    return {
        "e": "outboundAccountPosition",
        "E": at_ms,
        "u": at_ms,
        "B": [
            {"a": asset, "f": number(held.free), "l": number(held.locked)}
            for asset, held in balances.items()
        ],
    }


def execution_report(report: Report, at_ms: int) -> Json:
    order, fill = report.order, report.fill
    return {
        "e": "executionReport",
        "E": at_ms,
        "s": market_id(order.symbol),
        "c": order.client_id,
        "S": order.side,
        "o": order.kind,
        "f": order.time_in_force,
        "q": number(order.quantity),
        "p": number(order.price),
        "P": number(order.stop_price),
        "F": "0.00000000",
        "g": -1,
        "C": order.client_id if report.what == "CANCELED" else "",
        "x": report.what,
        "X": order.status,
        "r": "NONE",
        "i": order.order_id,
        "l": number(fill.quantity if fill else Decimal(0)),
        "z": number(order.executed),
        "L": number(fill.price if fill else Decimal(0)),
        "n": number(fill.fee) if fill else "0",
        "N": fill.fee_asset if fill else None,
        "T": fill.ts_ms if fill else order.updated_ms,
        "t": fill.trade_id if fill else -1,
        "w": order.is_open and order.triggered,
        "m": bool(fill and fill.is_maker),
        "O": order.created_ms,
        "Z": number(order.executed_quote),
        "Y": number(fill.price * fill.quantity) if fill else "0.00000000",
        "Q": "0.00000000",
        "W": order.created_ms,
        "V": "NONE",
    }
