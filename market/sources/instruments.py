"""Instruments of markets that bring no filters of their own: files and the synthetic market.

Practice and replay build an instrument here from the same symbol and the same bars, so both
quantise alike.
"""

from __future__ import annotations

import re
from decimal import Decimal

import numpy as np

from engine.types.bars import BarColumns, FloatColumn, Instrument
from market.errors import DataError

PRACTICE_FEE_FRACTION = Decimal("0.001")
_MAX_DECIMALS = 8
_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD", "EUR", "BTC", "ETH", "BNB")
# tick, lot, minimum notional as Binance spot publishes them for these pairs.
_KNOWN: dict[str, tuple[str, str, str]] = {
    "BTC/USDT": ("0.01", "0.00001", "5"),
    "ETH/USDT": ("0.01", "0.0001", "5"),
    "BNB/USDT": ("0.01", "0.001", "5"),
    "SOL/USDT": ("0.01", "0.001", "5"),
    "LTC/USDT": ("0.01", "0.001", "5"),
    "XRP/USDT": ("0.0001", "0.1", "5"),
}
_MIN_NOTIONAL = {"BTC": "0.0001", "ETH": "0.001", "BNB": "0.01"}
_TIMEFRAME = re.compile(r"^(\d+)([mhd])$")
_UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


def timeframe_to_ms(timeframe: str) -> int:
    """Return the length of ``1m``, ``4h``, ``1d`` in milliseconds.

    Raises:
        DataError: it is not a whole number of minutes, hours or days.
    """
    match = _TIMEFRAME.match(timeframe)
    if match is None or int(match[1]) == 0:
        raise DataError(
            f"timeframe was {timeframe!r}, allowed: a number and m, h or d, for example 1m"
        )
    return int(match[1]) * _UNIT_MS[match[2]]


def timeframe_from_ms(timeframe_ms: int) -> str:
    """Return the shortest spelling of a bar length: 60,000 -> ``1m``, 3,600,000 -> ``1h``."""
    for unit in ("d", "h", "m"):
        if timeframe_ms >= _UNIT_MS[unit] and timeframe_ms % _UNIT_MS[unit] == 0:
            return f"{timeframe_ms // _UNIT_MS[unit]}{unit}"
    raise DataError(f"bar length was {timeframe_ms} ms, allowed: whole minutes")


def split_symbol(market_id: str) -> str:
    """Return ``BTC/USDT`` for ``BTCUSDT``; a perpetual without a named quote is quoted in USD.

    Raises:
        DataError: the id ends in no known quote asset.
    """
    if "/" in market_id:
        return market_id.upper()
    upper = market_id.upper()
    if upper.endswith("PERP"):
        upper = f"{upper[:-4]}USD"
    for quote in _QUOTES:
        if upper.endswith(quote) and len(upper) > len(quote):
            return f"{upper[: -len(quote)]}/{quote}"
    allowed = ", ".join(_QUOTES)
    raise DataError(f"symbol was {market_id!r}, allowed: BASE/QUOTE or ending in {allowed}")


def instrument_for(symbol: str, bars: BarColumns | None = None) -> Instrument:
    """Return the instrument of ``symbol``; the tick is fine enough for every price in ``bars``."""
    base, _, quote = symbol.partition("/")
    tick, lot, notional = _KNOWN.get(symbol, ("", "", _MIN_NOTIONAL.get(quote, "5")))
    decimals = _decimals_needed(bars)
    tick_size = Decimal(tick) if tick else Decimal(1).scaleb(-max(decimals, 2))
    if tick_size > Decimal(1).scaleb(-decimals):
        tick_size = Decimal(1).scaleb(-decimals)
    lot_size = Decimal(lot) if lot else _lot_for(bars, Decimal(notional))
    return Instrument(
        symbol=symbol,
        base=base,
        quote=quote,
        tick_size=tick_size,
        lot_size=lot_size,
        min_notional_quote=Decimal(notional),
        min_quantity_base=lot_size,
        maker_fee_fraction=PRACTICE_FEE_FRACTION,
        taker_fee_fraction=PRACTICE_FEE_FRACTION,
    )


def _decimals_needed(bars: BarColumns | None) -> int:
    """Return how many decimals (0-8) spell every open, high, low and close exactly."""
    if bars is None or len(bars) == 0:
        return 0
    columns = (bars.open, bars.high, bars.low, bars.close)
    return max(_column_decimals(column) for column in columns)


def _column_decimals(column: FloatColumn) -> int:
    for decimals in range(_MAX_DECIMALS):
        if bool(np.all(np.round(column, decimals) == column)):
            return decimals
    return _MAX_DECIMALS


def _lot_for(bars: BarColumns | None, min_notional: Decimal) -> Decimal:
    """Return a power of ten worth about a hundredth of the minimum notional at the first close."""
    price = Decimal(repr(float(bars.close[0]))) if bars is not None and len(bars) else Decimal(100)
    exponent = (min_notional / price / 100).adjusted()
    return Decimal(1).scaleb(max(-_MAX_DECIMALS, min(0, exponent)))
