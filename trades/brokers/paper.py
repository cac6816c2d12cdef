"""The broker of paper runs: a real venue's prices, fills of our own, order rows as when live."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal

from engine.matching import FeeIn
from engine.paper import PaperBroker, Resting
from engine.types.bars import Instrument, MarketEvent
from engine.types.opinions import Side
from engine.types.orders import (
    Fill,
    OrderIntent,
    OrderState,
    OrderStatus,
    OrderType,
    SubmitResult,
)
from market.models import Candle
from trades import models, oms, records
from trades.brokers.clearances import Clearances
from trades.failpoints import failpoint
from trades.lease import Fence


class StoredPaperBroker:
    """Implements ``engine.ports.Broker``: the same claim and answer rows as a venue's broker.

    A fill that was made but not booked when the process died is made again on the next bar.
    """

    def __init__(
        self,
        run: models.TradingRun,
        fence: Fence,
        instruments: Mapping[str, Instrument],
        slippage_bps: Decimal = Decimal(2),
    ) -> None:
        self._fence = fence
        self._run_id = run.pk
        self._clearances = Clearances(time.monotonic)
        waiting = oms.in_flight(run.pk).exclude(status=OrderStatus.INTENT)
        self._paper = PaperBroker(
            instruments, FeeIn.QUOTE, slippage_bps, [_resting(order) for order in waiting]
        )
        for order in oms.in_flight(run.pk).filter(status=OrderStatus.INTENT):
            text = "the process ended before the order was sent"
            oms.expire(order.client_order_id, fence, code="NEVER_SENT", text=text)

    def fills_at(self, event: MarketEvent) -> Sequence[tuple[Fill, OrderIntent]]:
        return self._paper.fills_at(event)

    def submit(self, intent: OrderIntent, event: MarketEvent) -> SubmitResult:
        clearance = self._clearances.of(intent)
        claim = oms.claim_for_send(intent.client_order_id, self._fence, clearance=clearance)
        if not isinstance(claim, oms.Claim):
            return claim
        answer = self._paper.submit(intent, event)
        oms.record_answer(intent.client_order_id, answer, self._fence)
        return answer

    def cancel(self, client_order_id: str, event: MarketEvent, reason: str = "") -> SubmitResult:
        cancelling = oms.request_cancel(client_order_id, self._fence, reason)
        if cancelling is None:
            return oms.order_state_of(client_order_id)
        self._clearances.keep(cancelling.clearance)
        word = self._paper.cancel(client_order_id, event)
        failpoint("cancel.after_send")
        if isinstance(word, OrderState):
            oms.apply_word(client_order_id, word, self._fence)
        failpoint("stop.between")
        return word

    def open_intents(self) -> Sequence[OrderIntent]:
        return self._paper.open_intents()

    def waiting(self) -> Sequence[OrderIntent]:
        return oms.waiting(self._run_id)

    def has_news(self) -> bool:
        return self._paper.has_news()

    def jumped(self) -> Collection[str]:
        return self._paper.jumped()


def _resting(order: models.Order) -> Resting:
    average = order.average_price or Decimal(0)
    return Resting(
        intent=records.order_intent(order),
        filled_base=order.filled_base,
        cost_quote=order.filled_base * average,
        fills=order.fills.count(),
        is_triggered=_was_triggered(order),
    )


def _was_triggered(order: models.Order) -> bool:
    """True for a stop-limit whose stop a bar has reached since: had that bar been within its limit,
    it would have filled. Stored bars that the run has not processed yet are its future."""
    if order.order_type != OrderType.STOP_LIMIT or order.stop_price is None:
        return False
    cursor = order.run.cursors.filter(symbol=order.symbol).first()
    if cursor is None:
        return False
    bars = Candle.objects.filter(
        instrument__venue=order.run.venue,
        instrument__symbol=order.symbol,
        timeframe_ms=order.run.timeframe_ms,
        opened_at__gte=order.decided_at,
        opened_at__lt=cursor.last_bar_close_at,
    )
    stop = float(order.stop_price)
    reached = {"low__lte": stop} if order.side == Side.SELL else {"high__gte": stop}
    return bars.filter(**reached).exists()
