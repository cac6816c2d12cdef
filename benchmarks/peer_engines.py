"""One peer engine over one file of candles: run by the Python that has it, never by ours.

EMA(12/26) crossover, long only, filled at the next bar's open, 0.1 % fee, all-in; jesse and
nautilus_trader know bars only and fill at the close before it. Usage: ``python peer_engines.py
ENGINE CANDLES.npz`` prints one JSON line; without arguments it prints the engines it has with
their versions. Needs numpy and the engine.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FAST, SLOW, FEE = 12, 26, 0.001
# Every round trip costs 0.2 %: what is left after 15,000 of them must still buy one unit.
CASH = 1e22
_WARM_UP_BARS = 1_000
Candles = dict[str, Any]


def _frame(candles: Candles) -> Any:
    pandas = importlib.import_module("pandas")
    names = {"open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume"}
    index = pandas.to_datetime(candles["ts_ms"], unit="ms")
    return pandas.DataFrame({new: candles[old] for old, new in names.items()}, index=index)


def _ema(values: Any, span: int) -> Any:
    pandas = importlib.import_module("pandas")
    return pandas.Series(np.asarray(values)).ewm(span=span, adjust=False).mean().to_numpy()


def backtesting(candles: Candles) -> Callable[[], int]:
    module = importlib.import_module("backtesting")

    class Cross(module.Strategy):  # type: ignore[misc, name-defined]
        def init(self) -> None:
            self.fast = self.I(_ema, self.data.Close, FAST)
            self.slow = self.I(_ema, self.data.Close, SLOW)

        def next(self) -> None:
            above, was = self.fast[-1] > self.slow[-1], self.fast[-2] > self.slow[-2]
            if above and not was and not self.position:
                self.buy()
            elif was and not above and self.position:
                self.position.close()

    test = module.Backtest(_frame(candles), Cross, cash=CASH, commission=FEE, finalize_trades=False)
    return lambda: len(test.run()["_trades"])


def vectorbt(candles: Candles) -> Callable[[], int]:
    module = importlib.import_module("vectorbt")
    frame = _frame(candles)

    def run() -> int:
        fast, slow = _ema(frame["Close"], FAST), _ema(frame["Close"], SLOW)
        above = fast > slow
        up, down = np.zeros(len(above), bool), np.zeros(len(above), bool)
        # a cross is acted on one bar later, at that bar's open
        up[2:], down[2:] = above[1:-1] & ~above[:-2], ~above[1:-1] & above[:-2]
        portfolio = module.Portfolio.from_signals(
            frame["Close"], up, down, price=frame["Open"], fees=FEE, init_cash=CASH, freq="1min"
        )
        return int(portfolio.trades.closed.count())

    return run


def backtrader(candles: Candles) -> Callable[[], int]:
    module = importlib.import_module("backtrader")

    class Cross(module.Strategy):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.fast = module.ind.EMA(period=FAST)
            self.slow = module.ind.EMA(period=SLOW)
            self.closed = 0
            self.was_above = False

        def notify_trade(self, trade: Any) -> None:
            self.closed += trade.isclosed

        def next(self) -> None:
            above = self.fast[0] > self.slow[0]
            if above and not self.was_above and not self.position:
                self.order_target_percent(target=0.99)
            elif self.was_above and not above and self.position:
                self.close()
            self.was_above = above

    def run() -> int:
        cerebro = module.Cerebro(stdstats=False)
        cerebro.broker.setcash(CASH)
        cerebro.broker.setcommission(FEE)
        cerebro.adddata(module.feeds.PandasData(dataname=_frame(candles)))
        cerebro.addstrategy(Cross)
        return int(cerebro.run()[0].closed)

    return run


def _elsewhere(module: str) -> Callable[[Candles], Callable[[], int]]:
    """Return the ``build`` of a module beside this one, which is loaded where it is called."""

    def build(candles: Candles) -> Callable[[], int]:
        run: Callable[[], int] = importlib.import_module(module).build(candles)
        return run

    return build


ENGINES: dict[str, tuple[str, Callable[[Candles], Callable[[], int]]]] = {
    "vectorbt": ("vectorbt", vectorbt),
    "backtesting.py": ("backtesting", backtesting),
    "backtrader": ("backtrader", backtrader),
    "freqtrade": ("freqtrade", _elsewhere("peer_freqtrade")),
    "jesse": ("jesse", _elsewhere("peer_jesse")),
    "nautilus_trader": ("nautilus_trader", _elsewhere("peer_nautilus")),
}


def installed() -> dict[str, str]:
    """Return the engines that this Python has, with their versions."""
    found = {}
    for name, (package, _) in ENGINES.items():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(package)
    return found


def _peak_mb() -> float:
    # what getrusage says of a child may be its parent's peak
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("the peak of memory is not to be had from /proc/self/status")


def main(name: str, path: str) -> None:
    _, build = ENGINES[name]
    candles = dict(np.load(path))
    # what compiles at its first use has compiled before the clock runs, ours too
    build({column: values[:_WARM_UP_BARS] for column, values in candles.items()})()
    run = build(candles)
    began = time.process_time()
    trades = run()
    seconds = time.process_time() - began
    found = {
        "bars": len(candles["close"]),
        "seconds": seconds,
        "trades": trades,
        "peak_rss_mb": _peak_mb(),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    if sys.argv[1:]:
        main(*sys.argv[1:])
    else:
        sys.stdout.write(json.dumps(installed()) + "\n")
