"""jesse over one file of candles: loaded by ``peer_engines.py``, by a Python that has it.

jesse fills a market order at once, at the close of the bar of its cross. A mean is taken anew on
every bar, of the last 240 candles: as many as jesse warms up with, where it is told to. What is
timed is ``research.backtest``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

FAST, SLOW, FEE = 12, 26, 0.001
CASH_QUOTE = 1e12
_WINDOW = 240
_EXCHANGE, _SYMBOL = "Binance Spot", "BTC-USDT"


def build(candles: dict[str, Any]) -> Callable[[], int]:
    """Return the run over these candles."""
    research = importlib.import_module("jesse.research")
    names = ("ts_ms", "open", "close", "high", "low", "volume")
    rows = np.column_stack([candles[name] for name in names]).astype(np.float64)
    given = {"exchange": _EXCHANGE, "symbol": _SYMBOL}
    config = {
        "starting_balance": CASH_QUOTE,
        "fee": FEE,
        "type": "spot",
        "exchange": _EXCHANGE,
        "warm_up_candles": 0,
    }
    routes = [given | {"strategy": _strategy(), "timeframe": "1m"}]

    def run() -> int:
        found = research.backtest(
            config, routes, [], {f"{_EXCHANGE}-{_SYMBOL}": given | {"candles": rows}}
        )
        # what is still held at the end is closed by force there, which is no round trip
        end_ms = candles["ts_ms"][-1]
        return int(sum(trade["closed_at"] <= end_ms for trade in found["trades"]))

    return run


def _strategy() -> Any:
    strategies = importlib.import_module("jesse.strategies")
    indicators = importlib.import_module("jesse.indicators")
    utils = importlib.import_module("jesse.utils")

    class Cross(strategies.Strategy):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.above = self.was_above = False

        def before(self) -> None:
            self.was_above = self.above
            window = self.candles[-_WINDOW:]
            self.above = bool(indicators.ema(window, FAST) > indicators.ema(window, SLOW))

        def should_long(self) -> bool:
            return self.above and not self.was_above

        def go_long(self) -> None:
            self.buy = utils.size_to_qty(self.balance, self.price, fee_rate=FEE), self.price

        def update_position(self) -> None:
            if self.was_above and not self.above:
                self.liquidate()

    return Cross
