"""A book with an open position, and a person who asks something of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.announce import EventOutcome
from engine.client_ids import RunIdentity
from engine.paper import PaperBroker
from engine.protection import Protection
from engine.requests import RequestDesk
from engine.types.bars import EventKind, MarketEvent
from engine.types.ledger import Trade
from engine.types.opinions import Side
from engine.types.orders import Fill, OrderIntent, Purpose
from engine.types.requests import Instruction, Settled, Verdict
from tests.bar_factory import random_walk
from tests.engine.books import BTC, D, fill, instrument, intent
from tests.engine.phases.scene import Gate
from tests.engine.sessions import Recording, Scene, scene

IDENTITY = RunIdentity("0a1b2c", "main", "run", 60_000)


@dataclass
class Asked:
    """Implements ``Instructions`` over a list; what is WORKING is due again."""

    asked: list[Instruction] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)

    def waiting(self) -> bool:
        return bool(self.asked)

    def due(self, now_ms: int) -> Sequence[Instruction]:
        return tuple(self.asked)

    def settle(self, settled: Settled) -> None:
        self.settled.append(settled)
        if settled.verdict is not Verdict.WORKING:
            self.asked = [a for a in self.asked if a.request_id != settled.request_id]


class Still(PaperBroker):
    """Fills what it is told to, and otherwise leaves every order open."""

    def __init__(self, *instruments: Any) -> None:
        super().__init__({i.symbol: i for i in instruments})
        self.arriving: list[tuple[Fill, OrderIntent]] = []
        self.written: list[OrderIntent] = []

    def open_intents(self) -> Sequence[OrderIntent]:
        """As where orders are rows: what is written down counts before it is sent."""
        unsent = (i for i in self.written if i.client_order_id not in self._orders)
        return (*super().open_intents(), *unsent)

    def fills_at(self, event: MarketEvent) -> Sequence[tuple[Fill, OrderIntent]]:
        arriving, self.arriving = self.arriving, []
        return arriving


class NobodyThinks:
    """A pipeline for clock events: nobody had an opinion when a trade was opened."""

    def closed(self, trade: Trade) -> None:
        return None

    def state(self) -> dict[str, Any]:
        return {}


@dataclass
class Desk:
    """One session with its desk; ``tick`` is a clock event."""

    scene: Scene
    asked: Asked
    gate: Gate
    broker: Still
    now_ms: int = 1_000

    @property
    def ledger(self) -> Any:
        return self.scene.account.ledger

    @property
    def journal(self) -> Recording:
        return self.scene.journal

    def tick(self, *asked: Instruction) -> EventOutcome:
        self.asked.asked.extend(asked)
        self.now_ms += 1_000
        event = MarketEvent(EventKind.CLOCK, "", self.now_ms, self.now_ms)
        return self.scene.session.on_event(event)

    def verdict(self) -> tuple[Verdict, str]:
        last = self.asked.settled[-1]
        return last.verdict, last.text

    def hold(
        self,
        quantity: str = "1",
        price: str = "100",
        strategy: str = "ema-trend",
        symbol: str = BTC,
        stop: str | None = "95",
        target: str | None = "120",
        at_ms: int = 0,
    ) -> None:
        entry = intent(
            quantity=quantity,
            strategy=strategy,
            symbol=symbol,
            stop_price=None if stop is None else D(stop),
            target_price=None if target is None else D(target),
        )
        self.ledger.apply_fill(fill(entry, price, ts_ms=at_ms), entry)

    def fill(self, order: OrderIntent, price: str, quantity: str | None = None) -> None:
        """Let an open order fill at the next event, whole where no quantity is named."""
        self.broker.arriving.append((fill(order, price, quantity), order))
        self.broker._waiting[order.symbol] = [
            o for o in self.broker._waiting[order.symbol] if o.intent != order
        ]

    def end(self, order: OrderIntent) -> None:
        """Let an open order end without a fill."""
        self.broker._waiting[order.symbol] = [
            o for o in self.broker._waiting[order.symbol] if o.intent != order
        ]


def desk(cash: str = "10000", *, protected: bool = False) -> Desk:
    eth = instrument(symbol="ETH/USDT", base="ETH")
    instruments = {BTC: instrument(), "ETH/USDT": eth}
    asked, gate, journal = Asked(), Gate(), Recording()
    broker = Still(*instruments.values())
    broker.written = journal.intents
    made = scene(
        random_walk(0, 10),
        NobodyThinks(),  # type: ignore[arg-type]
        cash=cash,
        broker=broker,
        gatekeeper=gate,
        journal=journal,
        protection=Protection(IDENTITY, instruments) if protected else None,
        requests=RequestDesk(IDENTITY, instruments, asked, gate, journal),
    )
    return Desk(made, asked, gate, broker)


def entry_on_its_way(quantity: str = "1", strategy: str = "ema-trend") -> OrderIntent:
    return replace(
        intent(quantity=quantity, strategy=strategy), side=Side.BUY, purpose=Purpose.ENTRY
    )
