"""Units of a sweep by the column path, where it gives the session's trades; a reason where not."""

from __future__ import annotations

from dataclasses import dataclass

from engine.column_path.grid import NotCovered
from engine.column_path.history import History
from engine.column_path.path import ColumnRun, column_trades
from engine.column_path.terms import Setting
from engine.entry_orders import EntryType
from engine.types.orders import OrderType
from strategies.core.registry import rule_sources
from tradeplatform import bootstrap
from tradeplatform.replay_request import ReplayRequest

COLUMNS, SESSION = "columns", "session"


@dataclass(frozen=True, slots=True)
class _Known:
    key: tuple[str, int, int]
    history: History


class ColumnHistories:
    """The bars of the stretch that was asked last: a sweep's trials of one window share them."""

    def __init__(self) -> None:
        self._last: _Known | None = None

    def of(self, request: ReplayRequest) -> History:
        """Return the only symbol's bars up to the request's end.

        Raises:
            NotCovered: there are several symbols, or bars that the session would refuse.
        """
        source = request.source()
        symbols = list(source.instruments)
        if len(symbols) != 1:
            raise NotCovered(f"{len(symbols)} symbols share one account")
        bars, first = source.columns(symbols[0]), source.first_row(symbols[0])
        key = (symbols[0], first, len(bars))
        if self._last is None or self._last.key != key:
            # one at a time: a million bars with their market take some hundred MB
            self._last = None
            self._last = _Known(key, History(bars, first))
        return self._last.history


def column_run(request: ReplayRequest, histories: ColumnHistories) -> ColumnRun:
    """Return what the request's one rule would trade.

    Raises:
        NotCovered: something that only the session can judge.
    """
    config = request.config
    codes = bootstrap.enabled_strategies(config)
    _require_plain(request, codes)
    history = histories.of(request)
    (instrument,) = request.source().instruments.values()
    (rule,) = rule_sources({codes[0]: config.strategy(codes[0]).parameters}, codes)
    return column_trades(
        history,
        rule,
        Setting(
            instrument=instrument,
            limits=bootstrap.risk_limits(config),
            config=bootstrap.pipeline_config(config),
            cash_quote=request.cash_quote,
            slippage_bps=request.slippage_bps,
            stops_rest=config.trading.resting_stops,
            resume_after_days=bootstrap.RESUME_AFTER_DAYS,
        ),
    )


def _require_plain(request: ReplayRequest, codes: tuple[str, ...]) -> None:
    config = request.config
    if codes == (bootstrap.ENSEMBLE,) or len(codes) != 1:
        raise NotCovered(f"strategies were {', '.join(codes)}, not one rule")
    if predictors := bootstrap.enabled_predictors(config):
        raise NotCovered(f"{', '.join(predictors)} have a voice")
    if request.book_seed is not None:
        raise NotCovered("orders meet an order book")
    if EntryType(config.trading.entry_order) is not EntryType.MARKET:
        raise NotCovered(f"entries are {config.trading.entry_order} orders")
    if OrderType(config.trading.protection) is not OrderType.STOP:
        raise NotCovered(f"a {config.trading.protection} rests for each position")
