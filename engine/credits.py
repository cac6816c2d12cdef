"""Who leaned which way when a trade was opened, and what it earned (ORC-15)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.types.decisions import Analysis, Decision, JsonValue
from engine.types.learned import TradeCredit
from engine.types.ledger import Trade
from engine.types.opinions import MarketView
from engine.types.orders import Purpose

# Entries whose position is still open; an order that never fills must not stay for ever.
MAX_ENTRIES = 64
# Below the smallest lot of any venue: what is left of a closed entry is rounding.
_DUST = 1e-12


@dataclass(slots=True)
class _Entry:
    regime: str
    left_base: float
    opinions: tuple[tuple[str, float], ...]


class EntryOpinions:
    """Opinions at the moment of each entry, kept until all it bought is sold."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def remember(self, analysis: Analysis, decision: Decision) -> None:
        """Keep the opinions behind an entry; anything else leaves nothing."""
        intent = decision.intent
        if intent is None or intent.purpose is not Purpose.ENTRY:
            return
        market = analysis.market
        heard = (*analysis.opinions, *analysis.panel.shadow)
        self._entries[intent.client_order_id] = _Entry(
            market.regime.value if isinstance(market, MarketView) else "",
            float(intent.quantity_base),
            tuple((o.source, o.probability_up) for o in heard),
        )
        while len(self._entries) > MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]

    def credit(self, trade: Trade) -> TradeCredit | None:
        """Return who thought what when this trade was opened; None where it is not known."""
        entry = self._entries.get(trade.entry_order_id)
        if entry is None:
            return None
        entry.left_base -= float(trade.quantity_base)
        if entry.left_base <= _DUST:
            del self._entries[trade.entry_order_id]
        return TradeCredit(
            trade_id=trade.trade_id,
            strategy=trade.strategy,
            symbol=trade.symbol,
            regime=entry.regime,
            side=trade.side,
            pnl_quote=trade.pnl_quote,
            r_multiple=trade.r_multiple,
            opinions=entry.opinions,
            closed_at_ms=trade.closed_at_ms,
        )

    def state(self) -> dict[str, JsonValue]:
        """Return everything as JSON values."""
        return {
            order: {
                "regime": entry.regime,
                "left_base": entry.left_base,
                "opinions": [[source, p] for source, p in entry.opinions],
            }
            for order, entry in self._entries.items()
        }

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Replace everything by a stored state.

        Raises:
            ValueError: the state is not one that ``state`` wrote; nothing is changed then.
        """
        self._entries = {order: _entry(order, row) for order, row in state.items()}


def _entry(order: str, row: JsonValue) -> _Entry:
    if isinstance(row, dict):
        regime, left, opinions = row.get("regime"), row.get("left_base"), row.get("opinions")
        if isinstance(regime, str) and isinstance(left, float | int) and isinstance(opinions, list):
            return _Entry(regime, float(left), tuple(_opinion(o) for o in opinions))
    raise ValueError(f"entry {order} must have regime, left_base, opinions, was {row!r}")


def _opinion(value: JsonValue) -> tuple[str, float]:
    if isinstance(value, list) and len(value) == 2:
        source, probability = value
        if isinstance(source, str) and isinstance(probability, float | int):
            return source, float(probability)
    raise ValueError(f"opinion must be [source, probability], was {value!r}")


@dataclass(slots=True)
class SourcePnl:
    """What trades earned that a source leaned for, and those it leaned against."""

    trades_for: int = 0
    pnl_for_quote: float = 0.0
    trades_against: int = 0
    pnl_against_quote: float = 0.0


@dataclass(slots=True)
class CreditBoard:
    """PnL by (source, regime of the entry). A source that leaned nowhere is not counted."""

    _sums: dict[tuple[str, str], SourcePnl] = field(default_factory=dict)

    def record(self, credit: TradeCredit) -> None:
        """Book one closed trade with everybody who had an opinion on it."""
        pnl = float(credit.pnl_quote)
        for source, probability in credit.opinions:
            lean = (probability - 0.5) * credit.side.sign
            if lean == 0.0:
                continue
            booked = self._sums.setdefault((source, credit.regime), SourcePnl())
            if lean > 0.0:
                booked.trades_for += 1
                booked.pnl_for_quote += pnl
            else:
                booked.trades_against += 1
                booked.pnl_against_quote += pnl

    def of(self, source: str, regime: str) -> SourcePnl:
        """Return a source's sums under one regime; zeros where it had no opinion on a trade."""
        return self._sums.get((source, regime), SourcePnl())

    def state(self) -> list[JsonValue]:
        """Return everything as JSON values."""
        return [
            [s, r, b.trades_for, b.pnl_for_quote, b.trades_against, b.pnl_against_quote]
            for (s, r), b in sorted(self._sums.items())
        ]

    def restore(self, state: JsonValue) -> None:
        """Replace everything by a stored state.

        Raises:
            ValueError: the state is not one that ``state`` wrote; nothing is changed then.
        """
        if not isinstance(state, list):
            raise ValueError(f"credits must be a list, was {state!r}")
        sums: dict[tuple[str, str], SourcePnl] = {}
        for row in state:
            key, booked = _sum(row)
            sums[key] = booked
        self._sums = sums


def _sum(row: JsonValue) -> tuple[tuple[str, str], SourcePnl]:
    if isinstance(row, list) and len(row) == 6:
        source, regime, n_for, pnl_for, n_against, pnl_against = row
        if (
            isinstance(source, str)
            and isinstance(regime, str)
            and type(n_for) is int
            and type(n_against) is int
            and isinstance(pnl_for, float | int)
            and isinstance(pnl_against, float | int)
        ):
            return (source, regime), SourcePnl(n_for, float(pnl_for), n_against, float(pnl_against))
    raise ValueError(f"credit must have source, regime and four sums, was {row!r}")
