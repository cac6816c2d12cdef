"""What the screens hear of an event, after its commit; nothing here may stop trading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from engine.digest import plain
from engine.ports import Publisher
from engine.types.bars import MarketEvent
from engine.types.decisions import Decision, JsonValue
from engine.types.ledger import EquityPoint, Trade
from engine.types.orders import Fill, OrderIntent, OrderState, Rejection, SubmitResult


@dataclass(slots=True)
class EventOutcome:
    """Everything one event caused, in the order it happened."""

    event: MarketEvent
    rejected: str = ""
    fills: list[tuple[Fill, OrderIntent]] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    decisions: Sequence[Decision] = ()
    submitted: list[tuple[OrderIntent, SubmitResult]] = field(default_factory=list)
    equity: EquityPoint | None = None


class Announcer(Protocol):
    def announce(self, outcome: EventOutcome) -> None: ...


class SilentAnnouncer:
    """Replay's announcer: nobody watches."""

    def announce(self, outcome: EventOutcome) -> None:
        return None


class PublishingAnnouncer:
    """Turns an outcome into one message a thing, by topic of the stream (D-35).

