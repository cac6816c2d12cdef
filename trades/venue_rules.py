"""After a refusal: does the venue still trade our symbols, and by the rules we know?

A refusal is the first sign of a withdrawal, of changed steps and minimums, or of a symbol that is
closed. Sending a smaller order, or the same one again, would be a guess (F-053, F-054, F-055).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.ports import TradingState
from engine.types.bars import Instrument
from market.sources.ccxt_poll import instrument_of
from trades.alerts import SYMBOL_CLOSED, Alarm, Alert
from trades.errors import RulesChanged


def check_rules(
    markets: Callable[[], Mapping[str, Any]],
    instruments: Mapping[str, Instrument],
    alarm: Alarm,
) -> None:
    """Ask the venue for its rules; a closed symbol is halted, and what is held in it stays.

    Raises:
        RulesChanged: a step or a minimum is another one; orders must be made by the new ones.
        SourceUnavailable: the venue did not answer.
    """
    listed = markets()
    changed: list[str] = []
    for symbol, known in instruments.items():
        if listed.get(symbol, {}).get("active", symbol in listed) is False:
            text = f"the venue does not trade {symbol} now; what is held in it is kept"
            brake = TradingState.HALTED
            alarm(Alert(SYMBOL_CLOSED, symbol, text, f"symbol:{symbol}", brake))
            continue
        changed += _differences(known, instrument_of(listed, symbol))
    if changed:
        raise RulesChanged("; ".join(changed))


def _differences(known: Instrument, found: Instrument) -> Sequence[str]:
    rules = ("tick_size", "lot_size", "min_notional_quote", "min_quantity_base")
    return [
        f"{known.symbol} {name} was {getattr(known, name)}, is {getattr(found, name)}"
        for name in rules
        if getattr(known, name) != getattr(found, name)
    ]
