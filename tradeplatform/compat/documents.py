"""freqtrade's documents of trades and orders. Floats: these are for reading, not for books.

What has no equal here is None, never a number that was not measured; docs/freqtrade.md lists it.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from engine.types.opinions import Side
from engine.types.orders import Cause, OrderStatus
from market.models import Instrument
from monitoring.charts import as_float, as_ms
from tradeplatform.compat.selectors import Entry
from trades.models import Order, TradingRun
from trades.send_rules import AT_THE_VENUE

# ccxt's number for "precision is the size of a tick"
TICK_SIZE = 4
_WORDS = {
    OrderStatus.FILLED.value: "closed",
    OrderStatus.CANCELED.value: "canceled",
    OrderStatus.REJECTED.value: "rejected",
    OrderStatus.DENIED.value: "rejected",
    OrderStatus.EXPIRED.value: "expired",
}


def date_text(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def percent(fraction: float | None) -> float | None:
    """Return a fraction as freqtrade writes percent: two digits."""
    return None if fraction is None else round(100 * fraction, 2)


def part_of(part: Decimal | None, whole: Decimal) -> float | None:
    return None if part is None or not whole else float(part / whole)


def trade_document(
    entry: Entry, run: TradingRun, instrument: Instrument | None = None
) -> dict[str, Any]:
    """Return one trade as ``status``, ``trades`` and ``trade/ID`` show it."""
    order, now = entry.order, entry.unrealised_quote
    rate = _rate(entry)
    return (
        _what(entry, run, instrument)
        | _open_side(entry, rate)
        | _close_side(entry)
        | _stops(entry, rate)
        | {
            "orders": [order_document(one) for one in (order, *entry.exits)],
            "has_open_orders": any(o.status in AT_THE_VENUE for o in (order, *entry.exits)),
            "current_rate": as_float(entry.mark_price if entry.is_open else entry.close_rate),
            "total_profit_abs": as_float(_whole_profit(entry)),
            "total_profit_ratio": part_of(_whole_profit(entry), entry.whole_stake_quote),
            "total_profit_fiat": None,
            "realized_profit": as_float(entry.realised_quote),
            "realized_profit_ratio": part_of(entry.realised_quote, entry.whole_stake_quote),
        }
        | _profit(now if entry.is_open else entry.realised_quote, entry.stake_quote)
    )


def order_document(order: Order) -> dict[str, Any]:
    price = order.average_price or order.limit_price or order.reference_price
    filled = order.filled_base
    return {
        "pair": order.symbol,
        "order_id": order.venue_order_id or order.client_order_id,
        "status": _WORDS.get(order.status, "open"),
        "remaining": as_float(order.quantity_base - filled),
        "amount": as_float(order.quantity_base),
        "safe_price": as_float(price),
        "cost": as_float(filled * price),
        "filled": as_float(filled),
        "ft_order_side": "stoploss" if order.cause == Cause.PROTECTION else order.side.lower(),
        "order_type": order.order_type,
        "is_open": order.status in AT_THE_VENUE,
        "order_timestamp": as_ms(order.decided_at),
        "order_filled_timestamp": None,
        "ft_fee_base": None,
        "ft_order_tag": order.reason_code or None,
    }


def _what(entry: Entry, run: TradingRun, instrument: Instrument | None) -> dict[str, Any]:
    order = entry.order
    base, _, quote = order.symbol.partition("/")
    return {
        "trade_id": order.pk,
        "pair": order.symbol,
        "base_currency": base,
        "quote_currency": quote,
        "is_open": entry.is_open,
        "is_short": order.side == Side.SELL,
        "exchange": run.venue,
        "amount": as_float(entry.quantity_base),
        "amount_requested": as_float(order.quantity_base),
        "stake_amount": as_float(entry.stake_quote),
        "max_stake_amount": as_float(entry.whole_stake_quote),
        "strategy": order.strategy,
        # one bot runs one strategy there, many here: the tag tells them apart
        "enter_tag": order.strategy,
        "timeframe": run.timeframe_ms // 60_000,
        "leverage": 1.0,
        "trading_mode": "spot",
        "amount_precision": None if instrument is None else as_float(instrument.lot_size),
        "price_precision": None if instrument is None else as_float(instrument.tick_size),
        "precision_mode": None if instrument is None else TICK_SIZE,
    } | dict.fromkeys(
        (
            *("interest_rate", "liquidation_price", "funding_fees", "min_rate", "max_rate"),
            *("fee_open", "fee_open_cost", "fee_open_currency"),
            *("fee_close", "fee_close_cost", "fee_close_currency"),
        )
    )


def _open_side(entry: Entry, rate: Decimal) -> dict[str, Any]:
    order, at = entry.order, entry.opened_at
    return {
        "open_date": date_text(order.decided_at),
        "open_timestamp": as_ms(order.decided_at),
        "open_fill_date": date_text(at),
        "open_fill_timestamp": as_ms(at),
        "open_rate": as_float(rate),
        "open_rate_requested": as_float(order.limit_price or order.reference_price),
        "open_trade_value": as_float(entry.stake_quote),
    }


def _close_side(entry: Entry) -> dict[str, Any]:
    is_over = not entry.is_open
    last = entry.closed[-1] if is_over else None
    asked = entry.exits[-1].reference_price if is_over and entry.exits else None
    ratio = part_of(entry.realised_quote, entry.stake_quote) if is_over else None
    return {
        "close_date": None if last is None else date_text(last.closed_at),
        "close_timestamp": None if last is None else as_ms(last.closed_at),
        "close_rate": as_float(entry.close_rate),
        "close_rate_requested": as_float(asked),
        "close_profit": ratio,
        "close_profit_pct": percent(ratio),
        "close_profit_abs": as_float(entry.realised_quote) if is_over else None,
        "exit_reason": None if last is None else last.exit_reason,
        "exit_order_status": order_document(entry.exits[-1])["status"] if entry.exits else None,
    }


def _stops(entry: Entry, rate: Decimal) -> dict[str, Any]:
    stop, first, mark = entry.stop_price, entry.order.stop_price, entry.mark_price
    sign = Side(entry.order.side).sign
    from_entry = None if stop is None else _moved(stop, rate, sign)
    at_first = None if first is None else _moved(first, rate, sign)
    away = None if stop is None or mark is None or not entry.is_open else stop - mark
    away_ratio = None if away is None or mark is None else part_of(away, mark)
    lost = None if stop is None else sign * (stop - rate) * entry.quantity_base
    return {
        "stop_loss_abs": as_float(stop),
        "stop_loss_ratio": from_entry,
        "stop_loss_pct": percent(from_entry),
        "stoploss_last_update": None,
        "stoploss_last_update_timestamp": None,
        "initial_stop_loss_abs": as_float(first),
        "initial_stop_loss_ratio": at_first,
        "initial_stop_loss_pct": percent(at_first),
        "stoploss_current_dist": as_float(away),
        "stoploss_current_dist_ratio": away_ratio,
        "stoploss_current_dist_pct": percent(away_ratio),
        "stoploss_entry_dist": as_float(lost) if entry.is_open else None,
        "stoploss_entry_dist_ratio": part_of(lost, entry.stake_quote) if entry.is_open else None,
    }


def _profit(profit: Decimal | None, stake: Decimal) -> dict[str, Any]:
    ratio = part_of(profit, stake)
    return {
        "profit_ratio": ratio,
        "profit_pct": percent(ratio),
        "profit_abs": as_float(profit),
        "profit_fiat": None,
    }


def _moved(price: Decimal, rate: Decimal, sign: int) -> float | None:
    return part_of(sign * (price - rate), rate)


def _rate(entry: Entry) -> Decimal:
    quantity = entry.quantity_base
    return entry.stake_quote / quantity if quantity else entry.order.reference_price


def _whole_profit(entry: Entry) -> Decimal | None:
    if not entry.is_open:
        return entry.realised_quote
    now = entry.unrealised_quote
    return None if now is None else entry.realised_quote + now
