"""After a refusal: does the venue still trade our symbols, and by the rules we know?

A refusal is the first sign of a withdrawal, of changed steps and minimums, or of a symbol that is
closed. Sending a smaller order, or the same one again, would be a guess (F-053, F-054, F-055).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from engine.ports import TradingState
from engine.types.bars import Instrument
from market.sources.ccxt_poll import instrument_of
from trades.alerts import SYMBOL_CLOSED, Alarm, Alert
from trades.brokers.venue_client import refuses_keys
from trades.errors import RulesChanged, VenueRefused

T = TypeVar("T")
# Between two looks at the list, which must both lack a symbol, and between looks whether one that
# is closed trades again.
GAP_S = 5.0
AGAIN_S = 30.0


class ClosedSymbols:
    """Symbols that the venue refuses to speak of because it does not trade them any more.

    One of them must not take the others with it: whoever is refused asks here whether that is
    why, and leaves the symbol out if so (F-055). A list that lacks a symbol once proves nothing
    (F-047), one that lacks all of ours is another venue's or broken; a symbol that is traded again
    is closed no longer.
    """

    def __init__(
        self,
        markets: Callable[[], Mapping[str, Any]],
        symbols: Collection[str],
        alarm: Alarm,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``markets`` asks the venue for its list anew."""
        self._markets = markets
        self._symbols = frozenset(symbols)
        self._alarm = alarm
        self._monotonic = monotonic
        self._closed: set[str] = set()
        # by symbol: when it was last asked about, and when a list first lacked it
        self._asked_s: dict[str, float] = {}
        self._missing_s: dict[str, float] = {}

    @property
    def symbols(self) -> Collection[str]:
        """Those closed as far as is known."""
        return self._closed

    def explains(self, symbol: str, refused: VenueRefused) -> bool:
        """True where a refused question about a symbol is one of its being closed, not of keys.

        Raises:
            SourceUnavailable: the venue did not give its list.
        """
        return not refuses_keys(refused.code, refused.message) and self.is_closed(symbol)

    def is_closed(self, symbol: str) -> bool:
        """Ask after a refusal, whether the symbol is not traded now; one that is not is halted.

        Raises:
            SourceUnavailable: the venue did not give its list.
        """
        now_s, was_closed = self._monotonic(), symbol in self._closed
        if now_s - self._asked_s.get(symbol, -math.inf) < (AGAIN_S if was_closed else GAP_S):
            return was_closed
        self._asked_s[symbol] = now_s
        try:
            listed = self._markets()
        except VenueRefused:
            # a list that is refused explains nothing
            return False
        if self._symbols.isdisjoint(listed):
            return False
        is_closed = self._judge(listed, symbol, now_s)
        if is_closed and not was_closed:
            self._tell(symbol)
        return is_closed

    def heard(self, symbol: str, ask: Callable[[], list[T]]) -> list[T] | None:
        """Return what the venue answers about a symbol; None where it is closed.

        Raises:
            SourceUnavailable, VenueRefused: it did not answer, or refused for another reason.
        """
        try:
            return ask()
        except VenueRefused as refused:
            if self.explains(symbol, refused):
                return None
            raise

    def check_rules(self, instruments: Mapping[str, Instrument]) -> None:
        """Ask the venue for its rules, after it refused an order.

        Raises:
            RulesChanged: a step or a minimum is another one; orders must be made by the new ones.
            SourceUnavailable, VenueRefused: the venue did not give its list.
        """
        listed, now_s = self._markets(), self._monotonic()
        if self._symbols.isdisjoint(listed):
            return
        changed: list[str] = []
        for symbol, known in instruments.items():
            if self._judge(listed, symbol, now_s):
                # told again: an order was sent although it is closed
                self._tell(symbol)
            elif symbol in listed:
                changed += _differences(known, instrument_of(listed, symbol))
        if changed:
            raise RulesChanged("; ".join(changed))

    def _judge(self, listed: Mapping[str, Any], symbol: str, now_s: float) -> bool:
        """Note and return whether a list closes a symbol."""
        if symbol in listed:
            self._missing_s.pop(symbol, None)
            # a venue that does not say whether a market is active lists what it trades
            is_closed = listed[symbol].get("active") is False
        else:
            is_closed = now_s - self._missing_s.setdefault(symbol, now_s) >= GAP_S
        change = self._closed.add if is_closed else self._closed.discard
        change(symbol)
        return is_closed

    def _tell(self, symbol: str) -> None:
        """Halt the symbol and tell a person; what is held in it stays."""
        text = f"the venue does not trade {symbol} now; what is held in it is kept"
        brake = TradingState.HALTED
        self._alarm(Alert(SYMBOL_CLOSED, symbol, text, f"symbol:{symbol}", brake))


def _differences(known: Instrument, found: Instrument) -> Sequence[str]:
    rules = ("tick_size", "lot_size", "min_notional_quote", "min_quantity_base")
    return [
        f"{known.symbol} {name} was {getattr(known, name)}, is {getattr(found, name)}"
        for name in rules
        if getattr(known, name) != getattr(found, name)
    ]
