"""freqtrade over one file of candles: loaded by ``peer_engines.py``, by a Python that has it.

Its backtest asks an exchange for markets and precision. There is no exchange here: Binance's class
is built without validation and given one market from this file. What is timed is what freqtrade
does for each strategy: its columns, then its walk over the candles.
"""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAIR, FEE = "BTC/USDT", 0.001
# Coins in hundred-millionths still count as a float: enough for some 10,000 round trips of 0.2 %.
CASH_QUOTE = 1e12
_NAME = "Cross"
# freqtrade loads strategies from files, never from classes.
_STRATEGY = """
from freqtrade.strategy import IStrategy


class Cross(IStrategy):
    INTERFACE_VERSION = 3
    timeframe = "1m"
    minimal_roi = {}
    stoploss = -0.99
    startup_candle_count = 0

    def populate_indicators(self, dataframe, metadata):
        fast = dataframe["close"].ewm(span=12, adjust=False).mean()
        slow = dataframe["close"].ewm(span=26, adjust=False).mean()
        dataframe["above"] = fast > slow
        dataframe["was_above"] = dataframe["above"].shift(1, fill_value=False)
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["above"] & ~dataframe["was_above"], "enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        dataframe.loc[~dataframe["above"] & dataframe["was_above"], "exit_long"] = 1
        return dataframe
"""


def build(candles: dict[str, Any]) -> Callable[[], int]:
    """Return the run over these candles."""
    backtesting = importlib.import_module("freqtrade.optimize.backtesting")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "cross.py").write_text(_STRATEGY)
        config = _config(Path(folder))
        test = backtesting.Backtesting(config, _exchange(config))
    frame = _frame(candles)

    def run() -> int:
        test.backtest_one_strategy(test.strategylist[0], {PAIR: frame}, test.timerange)
        results = test.all_bt_content[_NAME]["results"]
        # what is still held at the end is closed by force there, which is no round trip
        return int((results["exit_reason"] == "exit_signal").sum())

    return run


def _config(folder: Path) -> dict[str, Any]:
    enums = importlib.import_module("freqtrade.enums")
    data = folder / "data"
    data.mkdir()
    return {
        "strategy": _NAME,
        "strategy_path": str(folder),
        "user_data_dir": folder,
        "datadir": data,
        "recursive_strategy_search": False,
        "runmode": enums.RunMode.OTHER,
        "trading_mode": enums.TradingMode.SPOT,
        "margin_mode": enums.MarginMode.NONE,
        "candle_type_def": enums.CandleType.SPOT,
        "dry_run": True,
        "stake_currency": "USDT",
        "stake_amount": "unlimited",
        "tradable_balance_ratio": 0.99,
        "dry_run_wallet": CASH_QUOTE,
        "max_open_trades": 1,
        "timeframe": "1m",
        "fee": FEE,
        "exchange": {"name": "binance", "pair_whitelist": [PAIR], "pair_blacklist": []},
        "pairlists": [{"method": "StaticPairList"}],
        "entry_pricing": {"price_side": "same", "use_order_book": False},
        "exit_pricing": {"price_side": "same", "use_order_book": False},
        "dataformat_ohlcv": "feather",
        "dataformat_trades": "feather",
    }


def _exchange(config: dict[str, Any]) -> Any:
    exchanges = importlib.import_module("freqtrade.exchange")
    exchange = exchanges.Binance(config, validate=False)
    exchange._markets = {PAIR: _MARKET}
    exchange._api.set_markets([_MARKET])
    # markets that are fresh are not asked for again
    exchange._last_markets_refresh = round(time.time() * 1000)
    return exchange


_MARKET: dict[str, Any] = {
    "id": "BTCUSDT",
    "symbol": PAIR,
    "base": "BTC",
    "quote": "USDT",
    "spot": True,
    "margin": False,
    "swap": False,
    "future": False,
    "option": False,
    "contract": False,
    "active": True,
    "type": "spot",
    "taker": FEE,
    "maker": FEE,
    "precision": {"price": 0.01, "amount": 0.000001},
    "limits": {
        "amount": {"min": 0.000001, "max": None},
        "price": {"min": 0.01, "max": None},
        "cost": {"min": 1.0, "max": None},
    },
    "info": {},
}


def _frame(candles: dict[str, Any]) -> Any:
    pandas = importlib.import_module("pandas")
    names = ("open", "high", "low", "close", "volume")
    date = pandas.to_datetime(candles["ts_ms"], unit="ms", utc=True)
    return pandas.DataFrame({"date": date} | {name: candles[name] for name in names})
