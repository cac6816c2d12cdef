"""nautilus_trader over one file of candles: loaded by ``peer_engines.py``, by a Python that has it.

Bars are the only data, so that a market order fills at the close of the bar of its cross. Bars and
venue are ready before the clock runs; what is timed is the engine's run.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

FAST, SLOW, FEE = 12, 26, "0.001"
# More coins than a float counts in hundred-millionths end the run: enough for some 10,000 round
# trips of 0.2 %.
CASH_QUOTE = 1e12
# One percent stays free for the fee, as the engine refuses an order that it could not pay.
SHARE = 0.99
_STEP_MS = 60_000


def build(candles: dict[str, Any]) -> Callable[[], int]:
    """Return the run over these candles; it may be called once."""
    engine_module = importlib.import_module("nautilus_trader.backtest.engine")
    config = importlib.import_module("nautilus_trader.config")
    model = importlib.import_module("nautilus_trader.model")
    enums = importlib.import_module("nautilus_trader.model.enums")
    currencies = importlib.import_module("nautilus_trader.model.currencies")
    engine = engine_module.BacktestEngine(
        config.BacktestEngineConfig(logging=config.LoggingConfig(bypass_logging=True))
    )
    instrument = _instrument(model, currencies)
    engine.add_venue(
        venue=instrument.id.venue,
        oms_type=enums.OmsType.NETTING,
        account_type=enums.AccountType.CASH,
        starting_balances=[model.Money(CASH_QUOTE, currencies.USDT)],
    )
    engine.add_instrument(instrument)
    bar_type = model.BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-EXTERNAL")
    engine.add_data(_bars(candles, bar_type, instrument))
    strategy = _strategy(instrument, bar_type, enums.OrderSide.BUY, currencies.USDT)
    engine.add_strategy(strategy)

    def run() -> int:
        engine.run()
        closed: int = strategy.closed
        engine.dispose()
        return closed

    return run


def _instrument(model: Any, currencies: Any) -> Any:
    pairs = importlib.import_module("nautilus_trader.model.instruments")
    symbol = model.Symbol("BTCUSDT")
    return pairs.CurrencyPair(
        instrument_id=model.InstrumentId(symbol, model.Venue("SIM")),
        raw_symbol=symbol,
        base_currency=currencies.BTC,
        quote_currency=currencies.USDT,
        price_precision=2,
        size_precision=6,
        price_increment=model.Price.from_str("0.01"),
        size_increment=model.Quantity.from_str("0.000001"),
        maker_fee=Decimal(FEE),
        taker_fee=Decimal(FEE),
        ts_event=0,
        ts_init=0,
    )


def _bars(candles: dict[str, Any], bar_type: Any, instrument: Any) -> list[Any]:
    pandas = importlib.import_module("pandas")
    wranglers = importlib.import_module("nautilus_trader.persistence.wranglers")
    # a bar is known when it closes
    index = pandas.to_datetime(candles["ts_ms"] + _STEP_MS, unit="ms", utc=True)
    names = ("open", "high", "low", "close", "volume")
    frame = pandas.DataFrame({name: candles[name] for name in names}, index=index)
    bars: list[Any] = wranglers.BarDataWrangler(bar_type, instrument).process(frame)
    return bars


def _strategy(instrument: Any, bar_type: Any, buy: Any, quote: Any) -> Any:
    trading = importlib.import_module("nautilus_trader.trading.strategy")
    indicators = importlib.import_module("nautilus_trader.indicators")

    class Cross(trading.Strategy):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.fast = indicators.ExponentialMovingAverage(FAST)
            self.slow = indicators.ExponentialMovingAverage(SLOW)
            self.was_above = False
            self.closed = 0

        def on_start(self) -> None:
            self.register_indicator_for_bars(bar_type, self.fast)
            self.register_indicator_for_bars(bar_type, self.slow)
            self.subscribe_bars(bar_type)

        def on_bar(self, bar: Any) -> None:
            above = self.fast.value > self.slow.value
            is_flat = self.portfolio.is_flat(instrument.id)
            if above and not self.was_above and is_flat:
                account = self.portfolio.account(instrument.id.venue)
                cash = account.balance_free(quote).as_double()
                quantity = instrument.make_qty(SHARE * cash / bar.close.as_double())
                self.submit_order(self.order_factory.market(instrument.id, buy, quantity))
            elif self.was_above and not above and not is_flat:
                self.close_all_positions(instrument.id)
            self.was_above = above

        def on_position_closed(self, event: Any) -> None:
            self.closed += 1

    return Cross()
