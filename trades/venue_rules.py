"""After a refusal: does the venue still trade our symbols, and by the rules we know?

A refusal is the first sign of a withdrawal, of changed steps and minimums, or of a symbol that is
closed. Sending a smaller order, or the same one again, would be a guess (F-053, F-054, F-055).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from engine.ports import TradingState
from engine.types.bars import Instrument
from market.sources.ccxt_poll import instrument_of
from trades.alerts import SYMBOL_CLOSED, Alarm, Alert
from trades.errors import RulesChanged, VenueRefused

T = TypeVar("T")


class ClosedSymbols:
    """Symbols that the venue refuses to speak of because it does not trade them any more.

    One of them must not take the others with it: whoever is refused asks here whether that is
    why, and leaves the symbol out if so (F-055).
    """

    def __init__(self, markets: Callable[[], Mapping[str, Any]], alarm: Alarm) -> None:
        """``markets`` asks the venue for its list anew."""
        self._markets = markets
        self._alarm = alarm
        self._closed: set[str] = set()

    def explain(self, symbol: str) -> bool:
        """True where a refusal about a symbol is explained by its being closed; then it is halted.

        Raises:
            SourceUnavailable: the venue did not answer.
        """
        if symbol in self._closed:
            return True
        try:
            is_traded = _is_traded(self._markets(), symbol)
        except VenueRefused:
            # a list that is refused explains nothing
            return False
        if is_traded:
            return False
        self.close(symbol)
        return True

    def heard(self, symbol: str, ask: Callable[[], list[T]]) -> list[T]:
        """Return what the venue answers about a symbol; nothing where it is closed.

        Raises:
            SourceUnavailable, VenueRefused: it did not answer, or refused for another reason.
        """
        try:
            return ask()
        except VenueRefused:
            if self.explain(symbol):
                return []
            raise

    def close(self, symbol: str) -> None:
        """Halt a symbol that is not traded and tell a person; what is held in it stays."""
        self._closed.add(symbol)
        text = f"the venue does not trade {symbol} now; what is held in it is kept"
        brake = TradingState.HALTED
        self._alarm(Alert(SYMBOL_CLOSED, symbol, text, f"symbol:{symbol}", brake))

    def check_rules(self, instruments: Mapping[str, Instrument]) -> None:
        """Ask the venue for its rules.

        Raises:
            RulesChanged: a step or a minimum is another one; orders must be made by the new ones.
            SourceUnavailable, VenueRefused: the venue did not give its list.
        """
        listed = self._markets()
        changed: list[str] = []
        for symbol, known in instruments.items():
            if _is_traded(listed, symbol):
                changed += _differences(known, instrument_of(listed, symbol))
            else:
                self.close(symbol)
        if changed:
            raise RulesChanged("; ".join(changed))


def _is_traded(listed: Mapping[str, Any], symbol: str) -> bool:
    # a venue that does not say whether a market is active lists what it trades
    return listed.get(symbol, {}).get("active", symbol in listed) is not False


def _differences(known: Instrument, found: Instrument) -> Sequence[str]:
    rules = ("tick_size", "lot_size", "min_notional_quote", "min_quantity_base")
    return [
        f"{known.symbol} {name} was {getattr(known, name)}, is {getattr(found, name)}"
        for name in rules
        if getattr(known, name) != getattr(found, name)
    ]
