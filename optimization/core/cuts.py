"""The eight cuts every closed trade belongs to: all trades, each part, each pair, all three."""

from __future__ import annotations

from engine.performance import Cut

CUTS_A_TRADE = 8


def cuts_of(strategy: str, symbol: str, regime: str) -> tuple[Cut, ...]:
    """Return the ``CUTS_A_TRADE`` cuts of a trade, the whole first, the finest last.

    ``regime`` is that of the entry (OPT-29): the exit's regime never moves a trade to another cut.
    """
    return (
        Cut(),
        Cut(strategy=strategy),
        Cut(symbol=symbol),
        Cut(regime=regime),
        Cut(strategy=strategy, symbol=symbol),
        Cut(strategy=strategy, regime=regime),
        Cut(symbol=symbol, regime=regime),
        Cut(strategy=strategy, symbol=symbol, regime=regime),
    )


def is_finest(cut: Cut) -> bool:
    """True where strategy, symbol and regime are all given."""
    return cut.strategy is not None and cut.symbol is not None and cut.regime is not None
