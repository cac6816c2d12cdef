"""Closed trades and standings built by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from engine.ports import StrategyStatus
from engine.types.ledger import Trade
from engine.types.opinions import Side
from optimization.core.outcome import Observed, Outcome, QualityInputs, Standing

HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000


def trade(number: int, r: float | None, at_ms: int, **changes: Any) -> Trade:
    """A long of 1 unit at 100 with its stop 1 away, closed at ``at_ms`` with ``r``."""
    pnl = Decimal(repr(0.0 if r is None else r))
    fields: dict[str, Any] = {
        "trade_id": f"t{number}",
        "strategy": "one",
        "symbol": "BTC/USDT",
        "side": Side.BUY,
        "quantity_base": Decimal(1),
        "entry_price": Decimal(100),
        "exit_price": 100 + pnl,
        "fees_quote": Decimal(0),
        "pnl_quote": pnl,
        "r_multiple": r,
        "opened_at_ms": at_ms - 60_000,
        "closed_at_ms": at_ms,
        "entry_regime": "TRENDING",
        "exit_regime": "RANGING",
        "exit_reason": "STOP",
        "entry_order_id": f"e{number}",
        "exit_order_id": f"x{number}",
    }
    return Trade(**{**fields, **changes})


def outcomes(
    rs: Sequence[float],
    *,
    first: int = 1,
    from_ms: int = START_MS,
    every_ms: int = 60_000,
    shadow: bool = False,
    inputs: QualityInputs | None = None,
    **changes: Any,
) -> list[Outcome]:
    """One outcome an R, in a row; the last closes at ``from_ms + len(rs) * every_ms``."""
    return [
        Outcome(
            first + index,
            trade(first + index, r, from_ms + (index + 1) * every_ms, **changes),
            shadow,
            None,
            inputs,
        )
        for index, r in enumerate(rs)
    ]


def observed(
    given: Sequence[Outcome] = (),
    standings: Mapping[str, Standing] | None = None,
    weights: Mapping[str, float] | None = None,
    regimes: Mapping[str, str] | None = None,
) -> Observed:
    known = {"one": 1.0} if weights is None else weights
    active = {code: Standing(StrategyStatus.ACTIVE, 0) for code in known}
    return Observed(given, active if standings is None else standings, known, regimes or {})
