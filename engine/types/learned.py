"""What learned sources leave beside their votes: seats, insights, shadow opinions, credits."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from engine.types.opinions import Opinion, Side


class Seat(StrEnum):
    """CHAMPION votes. CHALLENGER (may replace it), GUARD (was replaced, may come back) and
    CONTROL (a naive baseline) are asked and scored and never change a decision."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    GUARD = "guard"
    CONTROL = "control"

    @property
    def votes(self) -> bool:
        return self is Seat.CHAMPION


@dataclass(frozen=True, slots=True, kw_only=True)
class Insight:
    """What one component noticed and others may use until ``expires_ms`` of venue time (ORC-82).

    ``symbol`` and ``regime`` empty mean every one. While it holds, the opinion of the source
    ``about``, or of every source that leans against ``direction`` (+1 up, -1 down), is trusted
    ``trust`` times as much, in (0, 1]: an insight warns, it never praises.
    """

    source: str
    kind: str
    value: float
    text: str
    at_ms: int
    expires_ms: int
    symbol: str = ""
    regime: str = ""
    about: str = ""
    direction: int = 0
    trust: float = 1.0


@dataclass(frozen=True, slots=True)
class PanelView:
    """What the learned sources of one bar did beside voting.

    ``asked`` is every learned source's answer, 0.5 included, by name, whether it votes or not;
    ``shadow`` are opinions that do not vote; ``shed`` who was not asked for want of time
    (ORC-74); ``insights`` those in force; ``trust`` the factors below 1 they led to, by source.
    """

    shadow: tuple[Opinion, ...] = ()
    shed: tuple[str, ...] = ()
    insights: tuple[Insight, ...] = ()
    trust: tuple[tuple[str, float], ...] = ()
    asked: tuple[tuple[str, float], ...] = ()


NO_PANEL = PanelView()


@dataclass(frozen=True, slots=True)
class TradeCredit:
    """A closed trade with what every source thought when it was opened (ORC-15).

    ``regime`` is that of the entry; ``opinions`` are (source, probability up).
    """

    trade_id: str
    strategy: str
    symbol: str
    regime: str
    side: Side
    pnl_quote: Decimal
    r_multiple: float | None
    opinions: tuple[tuple[str, float], ...]
    closed_at_ms: int


@dataclass(frozen=True, slots=True)
class Trial:
    """What every learned source answered on one bar, with the outcome: evidence for its seat."""

    symbol: str
    regime: str
    answers: tuple[tuple[str, float], ...]
    outcome_up: int
    opinion_at_ms: int
    settled_at_ms: int
