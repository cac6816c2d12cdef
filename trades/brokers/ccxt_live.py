"""The broker of runs that trade on a venue: intent first, deterministic ids, no instant retry."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from django.db import transaction
from django.utils import timezone

from engine.ports import TradingState
from engine.protection import Guard
from engine.types.bars import EventKind, Instrument, MarketEvent
from engine.types.orders import (
    Fill,
    OrderIntent,
    OrderState,
    OrderStatus,
    OrderType,
    Rejection,
    SubmitResult,
    Unanswered,
)
from market.errors import SourceUnavailable
from trades import models, oms, order_watch, records
from trades.alerts import Alarm, Alert
from trades.brokers.ccxt_values import VenueTrade
from trades.brokers.clearances import Clearances
from trades.brokers.refusals import Refusals
from trades.brokers.send_checks import Check, no_checks
from trades.brokers.stop_limits import StopLimits
from trades.brokers.venue_client import Hold, VenueClient
from trades.brokers.withdrawn import Withdrawn
from trades.core.operating_limits import DEFAULTS, OperatingLimits
from trades.errors import VenueRefused
from trades.failpoints import disarm, failpoint
from trades.lease import Fence
from trades.stops_back import StopsBack
from trades.venue_rules import ClosedSymbols

logger = logging.getLogger(__name__)
# A claim this old must not reach the wire: the process was frozen, its lease may be gone, and
# another one may already have concluded that the order does not exist (F-010).
MAX_CLAIM_AGE_S = 2.0
SWEEP_EVERY_S = 30.0
STOPS_EVERY_S = 5.0
# Trades are asked for from a little before the order's decision: venues round their times.
ORDER_MARGIN_MS = 60_000
SWEEP_OVERLAP_MS = 3_600_000


class VenueBroker:
    """Implements ``engine.ports.Broker`` for one run under one fence.

    Fills that cannot be fetched now are returned later: nothing is lost by an unreachable venue,
    and an order that may have filled stays in ``open_intents`` until its fills are booked.
    """

    def __init__(
        self,
        run: models.TradingRun,
        client: VenueClient,
        fence: Fence,
        *,
        instruments: Mapping[str, Instrument],
        guard: Guard | None,
        entries_held: Callable[[], str],
        alarm: Alarm,
        closed: ClosedSymbols,
        fills_answered: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        checks: Check = no_checks,
        limits: OperatingLimits = DEFAULTS,
    ) -> None:
        """``guard`` is what rests for each position, None where nothing does.

        ``entries_held`` says why no entry may leave now, empty where it may (I-19).

        ``fills_answered`` hears of every answer to a question for fills, so that whoever was told
        ``FILLS_UNAVAILABLE`` learns of its end. ``checks`` are asked of an order that was just
        decided, right before it is sent.
        """
        if run.mode == models.Mode.LIVE:
            disarm()
        self._run = run
        self._client = client
        self._fence = fence
        self._entries_held = entries_held
        self._alarm = alarm
        self._closed = closed
        self._fills_answered = fills_answered
        self._monotonic = monotonic
        self._checks = checks
        self._sweep_at_s = monotonic()
        self._stops_at_s = monotonic()
        self._foreign: dict[str, str] = {}
        self._withdrawn = Withdrawn(run, alarm)
        self.clearances = Clearances(monotonic)
        stops = StopsBack(run, fence, instruments, guard)
        self._refusals = Refusals(run, stops, self.clearances, alarm, limits, monotonic)
        self._stop_limits = StopLimits(client.prices)

    def submit(self, intent: OrderIntent, event: MarketEvent) -> SubmitResult:
        """Send one intent that is on disk, at most once; see ``trades.oms`` for each step.

        Raises:
            LeaseLost: nothing was sent, or the order stays SENDING for the next holder to find.
        """
        failpoint("oms.before_claim")
        hold = self._client.hold(intent)
        if hold is not None:
            return self._hold_back(intent, hold)
        refusal = self._checks(intent)
        if refusal is not None:
            return oms.deny(intent.client_order_id, refusal, self._fence)
        return self.send(intent)

    def send(self, intent: OrderIntent, *, resend: bool = False) -> SubmitResult:
        """Claim, send, record. ``resend`` sends an UNKNOWN order again under its own id."""
        began_s = self._monotonic()
        claim = oms.claim_for_send(
            intent.client_order_id,
            self._fence,
            entries_held=self._entries_held(),
            resend=resend,
            clearance=self.clearances.of(intent),
        )
        if not isinstance(claim, oms.Claim):
            return claim
        failpoint("oms.before_send")
        if self._monotonic() - began_s > MAX_CLAIM_AGE_S:
            answer: OrderState | Rejection | Unanswered = Unanswered("frozen before it was sent")
        else:
            answer = self._client.send(intent)
        failpoint("oms.after_send")
        oms.record_answer(intent.client_order_id, answer, self._fence)
        failpoint("oms.after_record")
        self._refusals.judge(intent, answer)
        return answer

    def cancel(self, client_order_id: str, event: MarketEvent, reason: str = "") -> SubmitResult:
        """Ask the venue to cancel, and then what became of the order: it ends by the venue's word,
        its fills first (F-004).

        "No such order" is no ending: it may have filled (F-015). Where the venue does not answer
        the order stays PENDING_CANCEL, and what waits for its end waits.
        """
        return self._cancel(client_order_id, reason)

    def _cancel(self, client_order_id: str, reason: str = "") -> SubmitResult:
        cancelling = oms.request_cancel(client_order_id, self._fence, reason)
        if cancelling is None:
            return oms.order_state_of(client_order_id)
        self.clearances.keep(cancelling.clearance)
        order = cancelling.order
        failpoint("cancel.before_send")
        is_stop = OrderType(order.order_type).has_trigger
        answer = self._client.cancel(order.symbol, client_order_id, is_stop=is_stop)
        failpoint("cancel.after_send")
        if answer is not None:
            return answer
        try:
            word = self._client.order_by_client_id(order.symbol, client_order_id, is_stop=is_stop)
        except (SourceUnavailable, VenueRefused) as error:
            return Unanswered(str(error))
        if word is not None:
            order = oms.apply_word(client_order_id, word, self._fence)
            self.clearances.seen(order)
        failpoint("stop.between")
        return oms.order_state(order)

    def take_refusal(self) -> bool:
        """True once after the venue refused an order: books or rules may no longer be right."""
        return self._refusals.take()

    def pull_due_brake(self) -> None:
        """Pull the brake that refusals called for, where it waited for stops to be put back.

        Raises:
            LeaseLost: another worker runs this run now.
        """
        self._refusals.pull_due(lambda intent: self._client.hold(intent) is None, self.send)

    def cancel_resting_entries(self) -> int:
        """Cancel entries that rest where no new risk is allowed; protective stops stay (CTL-13).

        An order asked for once is PENDING_CANCEL and then the reconciler's. Returns how many.
        """
        resting = order_watch.resting_entries_held(self._run.pk)
        for client_order_id in resting:
            self._cancel(client_order_id)
        return len(resting)

    def open_intents(self) -> Sequence[OrderIntent]:
        return tuple(
            records.order_intent(order).remainder(order.filled_base)
            for order in oms.in_flight(self._run.pk)
        )

    def waiting(self) -> Sequence[OrderIntent]:
        return oms.waiting(self._run.pk)

    def has_news(self) -> bool:
        """True while an order is on its way; a resting stop is looked at now and then only."""
        orders = oms.in_flight(self._run.pk)
        return any(self._is_due(order, None) for order in orders)

    def jumped(self) -> Collection[str]:
        return self._stop_limits.jumped

    def _is_due(self, order: models.Order, event: MarketEvent | None) -> bool:
        """True where the venue should be asked about this order now: always, but for a stop that
        rests, which is asked about at its symbol's bars and every ``STOPS_EVERY_S``."""
        waits = OrderType(order.order_type).has_trigger
        rests = waits and order.status == OrderStatus.OPEN
        if not rests or self._monotonic() >= self._stops_at_s:
            return True
        return event is not None and event.kind is EventKind.BAR and event.symbol == order.symbol

    def fills_at(self, event: MarketEvent) -> Sequence[tuple[Fill, OrderIntent]]:
        """Return executions that are not booked yet, oldest first, and refresh our orders.

        Asks only while an order may fill, and every ``SWEEP_EVERY_S`` for all symbols, so that
        nothing a lost order or a stranger's hand did stays unseen (F-060, F-013).
        """
        waiting = [
            o
            for o in oms.in_flight(self._run.pk)
            if o.status != OrderStatus.INTENT and self._is_due(o, event)
        ]
        if self._monotonic() >= self._stops_at_s:
            self._stops_at_s = self._monotonic() + STOPS_EVERY_S
        sweep = self._monotonic() >= self._sweep_at_s
        symbols = set(self._run.symbols) if sweep else {o.symbol for o in waiting}
        answers: list[list[tuple[Fill, OrderIntent]] | None] = []
        try:
            for symbol in sorted(symbols):
                of_symbol = [o for o in waiting if o.symbol == symbol]
                ask = partial(self._fills_of, symbol, of_symbol)
                answers.append(self._closed.heard(symbol, ask))
        except SourceUnavailable as error:
            logger.warning("fills unavailable run=%s reason=%s", self._run.pk, error)
            self._alarm(Alert("FILLS_UNAVAILABLE", str(self._run.pk), str(error)))
            return ()
        except VenueRefused as refused:
            self._refusals.heard(refused.code, str(refused))
            return ()
        found = [booked for answer in answers for booked in answer or ()]
        if any(answer is not None for answer in answers):
            self._fills_answered()
        if sweep:
            self._sweep_at_s = self._monotonic() + SWEEP_EVERY_S
        return sorted(found, key=lambda p: (p[0].ts_ms, len(p[0].trade_id), p[0].trade_id))

    def _fills_of(
        self, symbol: str, waiting: Sequence[models.Order]
    ) -> list[tuple[Fill, OrderIntent]]:
        since_ms = self._since_ms(symbol, waiting)
        if since_ms is None:
            return []
        trades = self._client.trades_since(symbol, since_ms)
        if self._monotonic() >= self._sweep_at_s:
            self._withdrawn.look(symbol, since_ms, trades)
        found: list[tuple[Fill, OrderIntent]] = []
        for trade in self._unbooked(symbol, trades):
            order = self._owner(trade)
            if order is None:
                self._book_external(trade)
                continue
            self._notice(order, trade)
            found.append((trade.fill_of(order.client_order_id), records.order_intent(order)))
        for order in waiting:
            self._refresh(order, found)
        return found

    def _since_ms(self, symbol: str, waiting: Sequence[models.Order]) -> int | None:
        """Return from when on to ask, in venue time; None before anything happened here.

        Only times that came from the venue are used: the run's own start is wall time, which may
        be years away from the venue's.
        """
        starts = [records.milliseconds(o.decided_at) - ORDER_MARGIN_MS for o in waiting]
        if self._monotonic() >= self._sweep_at_s:
            starts.extend(
                records.milliseconds(order.decided_at) - ORDER_MARGIN_MS
                for order in order_watch.presumed_absent(self._run.pk, symbol)
            )
            starts.extend(self._sweep_start(symbol))
        return max(0, min(starts)) if starts else None

    def _sweep_start(self, symbol: str) -> list[int]:
        """A while before the last booked fill, but never before the run's first event: what the
        account did earlier is not this run's."""
        first = self._run.equity_points.order_by("at").first()
        if first is None:
            return []
        began_ms = records.milliseconds(first.at)
        last = self._run.fills.filter(symbol=symbol).order_by("-executed_at").first()
        if last is None:
            return [began_ms]
        return [max(began_ms, records.milliseconds(last.executed_at) - SWEEP_OVERLAP_MS)]

    def _unbooked(self, symbol: str, trades: Sequence[VenueTrade]) -> list[VenueTrade]:
        ids = [trade.trade_id for trade in trades]
        booked: set[str] = set()
        for model in (models.Fill, models.ExternalFill):
            rows = model.objects.filter(run=self._run, symbol=symbol, trade_id__in=ids)
            booked.update(rows.values_list("trade_id", flat=True))
        return [trade for trade in trades if trade.trade_id not in booked]

    def _owner(self, trade: VenueTrade) -> models.Order | None:
        """Return the order of this run that the trade belongs to, asking the venue if need be.

        Trades carry the venue's order id only. Where we never heard it (the answer was lost) the
        venue tells the client id, and the order is adopted under it.
        """
        ours = models.Order.objects.filter(run=self._run).exclude(status=OrderStatus.DENIED)
        ours = ours.select_related("decision")
        known = ours.filter(venue_order_id=trade.venue_order_id, symbol=trade.symbol).first()
        if known is not None or trade.venue_order_id in self._foreign:
            return known
        word = self._client.order_by_venue_id(trade.symbol, trade.venue_order_id)
        if word is None:
            # a trade proves its order: the venue's order list lags, ask again next time
            raise SourceUnavailable(
                f"trade {trade.trade_id} names order {trade.venue_order_id}, "
                "which the venue does not show yet"
            )
        order = ours.filter(client_order_id=word.client_order_id).first()
        if order is None:
            self._foreign[trade.venue_order_id] = word.client_order_id
            return None
        return oms.adopt(order.client_order_id, trade.venue_order_id, self._fence)

    def _book_external(self, trade: VenueTrade) -> None:
        with transaction.atomic():
            self._fence.assert_held()
            models.ExternalFill.objects.get_or_create(
                run=self._run,
                symbol=trade.symbol,
                trade_id=trade.trade_id,
                defaults={
                    "client_order_id": self._foreign.get(trade.venue_order_id, ""),
                    "side": trade.side.value,
                    "price": trade.price,
                    "quantity_base": trade.quantity_base,
                    "fee": trade.fee,
                    "fee_asset": trade.fee_asset,
                    "executed_at": records.moment(trade.ts_ms),
                    "noticed_at": timezone.now(),
                },
            )
        text = (
            f"{trade.side} {trade.quantity_base} {trade.symbol} at {trade.price} on our account "
            "belongs to none of our orders"
        )
        # what we hold may no longer be there, and coins that came by hand are not ours to sell:
        # nothing is sent for this symbol until a person has compared the books with the venue
        scope, brake = f"symbol:{trade.symbol}", TradingState.HALTED
        subject = f"{trade.symbol} {trade.trade_id}"
        self._alarm(Alert("EXTERNAL_FILL", subject, text, scope, brake))

    def _notice(self, order: models.Order, trade: VenueTrade) -> None:
        """Tell of a fill on an order that was thought finished; it is booked all the same (I-7)."""
        if OrderStatus(order.status).is_terminal:
            text = f"fill {trade.trade_id} came after the order was {order.status}"
            self._alarm(Alert("LATE_FILL", order.client_order_id, text))

    def _refresh(self, order: models.Order, found: Iterable[tuple[Fill, OrderIntent]]) -> None:
        """Ask the venue for its word, unless the fills just fetched complete the order."""
        arriving = sum(
            (f.quantity_base for f, _ in found if f.client_order_id == order.client_order_id),
            oms.ZERO,
        )
        if order.filled_base + arriving >= order.quantity_base:
            return
        kind = OrderType(order.order_type)
        word = self._client.order_by_client_id(
            order.symbol, order.client_order_id, is_stop=kind.has_trigger
        )
        if word is not None:
            order = oms.apply_word(order.client_order_id, word, self._fence)
            self.clearances.seen(order)
        if kind is OrderType.STOP_LIMIT:
            self._stop_limits.look(order)

    def _hold_back(self, intent: OrderIntent, hold: Hold) -> SubmitResult:
        """While the venue wants silence or the budget is spent: an entry is dropped, an exit
        waits on disk."""
        if intent.purpose.reduces_risk:
            return Unanswered(hold.reason)
        refusal = Rejection(hold.code, hold.reason, by_venue=False)
        return oms.deny(intent.client_order_id, refusal, self._fence)
