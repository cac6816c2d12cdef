"""Comparing our orders with the venue's: at every start before any entry, and on a timer.

Reconciling is idempotent: where nothing changed at the venue a second pass writes nothing, so a
process that dies in the middle leaves nothing to undo (F-005).
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from django.db import transaction
from django.utils import timezone

from engine.ledger_state import DUST
from engine.types.bars import Instrument
from engine.types.orders import OrderState, OrderStatus, OrderType, Purpose
from market.errors import SourceUnavailable
from trades import models, oms, order_watch, records
from trades.alerts import ORDER_UNREAD, Alarm, Alert, Over, nobody_hears
from trades.brokers.ccxt_live import VenueBroker
from trades.brokers.venue_client import VenueClient
from trades.core.operating_limits import DEFAULTS, OperatingLimits
from trades.differences import Difference, QuoteFlows, judged_difference, share_of_equity
from trades.errors import VenueRefused
from trades.failpoints import failpoint
from trades.instructions import declared_amounts
from trades.lease import Fence
from trades.strangers import Strangers
from trades.transfers import TransferWatch
from trades.venue_rules import ClosedSymbols

logger = logging.getLogger(__name__)
_UNCERTAIN = (OrderStatus.SENDING, OrderStatus.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an order may be unheard of before we conclude anything (F-046, F-047).

    ``grace_s`` counts from the send and must be longer than one request may take and than the
    venue's reads lag; ``gap_s`` lies between the two queries that must both miss. Two readings of
    a balance lie ``every_s`` apart at least, and its brake waits ``unread_s`` at most for the list
    of transfers that may explain it.
    """

    grace_s: float = 10.0
    gap_s: float = 5.0
    every_s: float = 30.0
    unsettled_every_s: float = 1.0
    unread_s: float = 300.0


@dataclass(slots=True)
class ReconcileReport:
    """What one pass found. ``is_complete`` is False while anything is still undecided."""

    adopted: list[str] = field(default_factory=list)
    expired: list[str] = field(default_factory=list)
    resent: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    differences: dict[str, Decimal] = field(default_factory=dict)
    other_deployment: bool = False

    @property
    def is_complete(self) -> bool:
        return not self.undecided and not self.other_deployment


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A difference, and when it was first read, in seconds of the monotonic clock."""

    amount: Decimal
    since_s: float


class RunReconciler:
    """Implements ``trades.loop.Reconciler`` for one session of one run.

    ``booted_at`` is when this session was built: only a pass that ended after it counts (I-19).
    """

    def __init__(
        self,
        run: models.TradingRun,
        client: VenueClient,
        broker: VenueBroker,
        fence: Fence,
        instruments: Mapping[str, Instrument],
        *,
        installation: str,
        booted_at: datetime,
        alarm: Alarm,
        closed: ClosedSymbols,
        agreed: Callable[[Collection[str]], None],
        over: Over = nobody_hears,
        patience: Patience = Patience(),
        monotonic: Callable[[], float] = time.monotonic,
        baseline: Mapping[str, Decimal] | None = None,
        limits: OperatingLimits = DEFAULTS,
    ) -> None:
        """``baseline`` is what the account held of each base asset before the run; ``agreed`` hears
        after each comparison which assets differ by nothing that is told, ``over`` which strangers'
        orders and unreadable lists still stand.

        Raises:
            ValueError: the grace is not longer than one request may take.
        """
        if patience.grace_s <= client.timeout_s:
            raise ValueError(
                f"grace_s must be above the request timeout of {client.timeout_s} s, "
                f"was {patience.grace_s}"
            )
        self._run = run
        self._client = client
        self._broker = broker
        self._fence = fence
        self._instruments = instruments
        self._booted_at = booted_at
        self._alarm = alarm
        self._closed = closed
        self._agreed = agreed
        self._over = over
        self._strangers = Strangers(
            client, installation, alarm, over, gap_s=patience.gap_s, monotonic=monotonic
        )
        self._patience = patience
        self._monotonic = monotonic
        self._baseline = dict(baseline or {})
        self._limits = limits
        self._due_at_s = monotonic()
        self._suspects: dict[str, _Suspect] = {}
        self._quote_flows = QuoteFlows(run)
        self._transfers = TransferWatch(run, client, fence, alarm, over=over, monotonic=monotonic)

    def run_if_due(self) -> None:
        """Reconcile at the first call, then on the timer; often while an order is unsettled, and
        at once after the venue refused one (F-053).

        Raises:
            SourceUnavailable: the venue did not answer; the next call tries again.
            RulesChanged: the session must be built anew, by the venue's new rules.
        """
        self._broker.pull_due_brake()
        self._broker.cancel_resting_entries()
        was_refused = self._broker.take_refusal()
        if self._monotonic() < self._due_at_s and not was_refused:
            return
        try:
            if was_refused:
                self._due_at_s = self._monotonic()
                self._closed.check_rules(self._instruments)
            report = self.reconcile()
        except VenueRefused as refused:
            raise SourceUnavailable(f"reconciling was refused: {refused}") from refused
        wait_s = self._patience.every_s if report.is_complete else self._patience.unsettled_every_s
        self._due_at_s = self._monotonic() + wait_s

    def reconcile(self) -> ReconcileReport:
        """Make one pass and return what it found.

        Raises:
            SourceUnavailable, VenueRefused: the pass did not finish; what it wrote stands.
            LeaseLost: another worker runs this run now.
        """
        failpoint("recon.start")
        report = ReconcileReport()
        for order in oms.in_flight(self._run.pk):
            self._settle(order, report)
            failpoint("recon.each_step")
        self._over(ORDER_UNREAD, report.unread)
        for symbol in self._run.symbols:
            look = partial(self._strangers.look, symbol)
            report.foreign += self._closed.heard(symbol, look) or ()
        report.other_deployment = self._strangers.hold_entries()
        self._compare_balances(report)
        failpoint("recon.end")
        if report.is_complete and not self.is_reconciled():
            self._stamp(timezone.now())
        elif report.other_deployment and self._run.reconciled_at is not None:
            self._stamp(None)
        # last: what came or went may wait, and entries do not wait for it
        self._transfers.look_if_due()
        return report

    def is_reconciled(self) -> bool:
        """True once a pass has completed since this session was built."""
        return is_reconciled(self._run, self._booted_at)

    def _settle(self, order: models.Order, report: ReconcileReport) -> None:
        if order.status == OrderStatus.INTENT:
            self._settle_unsent(order, report)
        elif OrderStatus(order.status) in _UNCERTAIN and self._is_young(order):
            report.undecided.append(order.client_order_id)
        else:
            try:
                self._query(order, report)
            except VenueRefused as refused:
                if not self._closed.explains(order.symbol, refused):
                    raise
                self._unread(order, report)

    def _unread(self, order: models.Order, report: ReconcileReport) -> None:
        """An order in a symbol that is closed: what became of it before that is not to be had, but
        balances tell. One that was never acknowledged stays undecided as everywhere."""
        report.unread.append(order.client_order_id)
        if OrderStatus(order.status) in _UNCERTAIN:
            report.undecided.append(order.client_order_id)
        text = (
            f"order {order.client_order_id} was {order.status} when {order.symbol} was closed; "
            "whether it filled before cannot be read: compare with the venue"
        )
        self._alarm(Alert(ORDER_UNREAD, order.client_order_id, text))

    def _settle_unsent(self, order: models.Order, report: ReconcileReport) -> None:
        """An intent that no process claimed was never sent: nobody can claim it now but we."""
        if order.purpose == Purpose.ENTRY:
            text = "the process ended before the order was sent; an old entry is not worth sending"
            oms.expire(order.client_order_id, self._fence, code="NEVER_SENT", text=text)
            report.expired.append(order.client_order_id)
            return
        intent = records.order_intent(order)
        if self._client.hold(intent) is not None:
            # the venue wants silence: asking it on would only make that longer (F-049)
            report.undecided.append(order.client_order_id)
            return
        answer = self._broker.send(intent)
        waits = isinstance(answer, OrderState) and answer.status is OrderStatus.INTENT
        (report.undecided if waits else report.resent).append(order.client_order_id)

    def _query(self, order: models.Order, report: ReconcileReport) -> None:
        is_stop = OrderType(order.order_type).has_trigger
        word = self._client.order_by_client_id(order.symbol, order.client_order_id, is_stop=is_stop)
        if word is None:
            self._missed(order, report)
            return
        if OrderStatus(order.status) in _UNCERTAIN:
            report.adopted.append(order.client_order_id)
        order = oms.apply_word(order.client_order_id, word, self._fence)
        self._broker.clearances.seen(order)
        if order.status != OrderStatus.PENDING_CANCEL or word.status.is_terminal:
            return
        if self._broker.clearances.may_ask_again(order):
            # the request was lost, or the venue had no time yet: asking again does no harm
            self._client.cancel(order.symbol, order.client_order_id, is_stop=is_stop)

    def _missed(self, order: models.Order, report: ReconcileReport) -> None:
        """The venue knows no such order: believed at the second miss, ``gap_s`` after the first."""
        last = order.last_queried_at
        gap = timedelta(seconds=self._patience.gap_s)
        if order.missed_queries > 0 and last is not None and timezone.now() - last < gap:
            report.undecided.append(order.client_order_id)
            return
        order = oms.record_miss(order.client_order_id, self._fence)
        if order.missed_queries < 2:
            report.undecided.append(order.client_order_id)
            return
        if order.status == OrderStatus.UNKNOWN and _may_be_resent(order):
            self._broker.send(records.order_intent(order), resend=True)
            report.resent.append(order.client_order_id)
            return
        text = f"the venue did not know the order in {order.missed_queries} queries"
        was = order.status
        order = oms.expire(order.client_order_id, self._fence, code=oms.ABSENT, text=text)
        self._broker.clearances.seen(order)
        report.expired.append(order.client_order_id)
        if was != OrderStatus.UNKNOWN or order.purpose == Purpose.EXIT:
            self._alarm(Alert("ORDER_VANISHED", order.client_order_id, f"{text}; it was {was}"))

    def _is_young(self, order: models.Order) -> bool:
        sent_at = order.sent_at or order.created_at
        return timezone.now() - sent_at < timedelta(seconds=self._patience.grace_s)

    def _compare_balances(self, report: ReconcileReport) -> None:
        """Compare what our books hold with the venue; told at an equal reading ``every_s`` after
        the first (F-061), and not while a transfer that was seen waits to be booked. The quote
        waits for every market to be quiet."""
        # a stop that rests moves nothing; what it did unnoticed is booked before a second look
        moving = {
            order.symbol
            for order in oms.in_flight(self._run.pk)
            if not OrderType(order.order_type).has_trigger or order.status != OrderStatus.OPEN
        }
        # nothing moves where nothing trades, and what moved before is found by comparing
        moving.difference_update(self._closed.symbols)
        held = self._client.balances()
        expected = self._expected()
        quiet = [i for s, i in self._instruments.items() if s not in moving]
        pairs = [(self._difference(i.base, held, expected, i.symbol), i.lot_size) for i in quiet]
        compared = [found for found, lot_size in pairs if abs(found.amount) > lot_size]
        looked_at = {found.asset for found, _ in pairs}
        # a run that began before its balances were noted has no quote to compare
        if not moving and self._run.quote in self._baseline:
            looked_at.add(self._run.quote)
            quote = self._difference(self._run.quote, held, expected)
            compared.extend([quote] if self._is_told(quote) else [])
        seen: dict[str, _Suspect] = {}
        unsettled = self._transfers.unsettled_assets()
        now_s = self._monotonic()
        for found in compared:
            if found.asset in unsettled:
                continue
            first = self._suspects.get(found.asset)
            if first is None or first.amount != found.amount:
                first = _Suspect(found.amount, now_s)
                self._transfers.soon(came=found.amount > 0)
            elif now_s - first.since_s >= self._patience.every_s:
                report.differences[found.asset] = found.amount
                self._tell(found, now_s, first.since_s)
            seen[found.asset] = first
        self._suspects = seen
        self._agreed(looked_at - {found.asset for found in compared if self._is_told(found)})

    def _difference(
        self,
        asset: str,
        held: Mapping[str, Decimal],
        expected: Mapping[str, Decimal],
        symbol: str = "",
    ) -> Difference:
        whole = Difference(asset, held.get(asset, oms.ZERO), expected[asset], symbol)
        return replace(whole, on_its_way=self._transfers.on_its_way(asset, whole.amount))

    def _is_told(self, found: Difference) -> bool:
        """False for what is too small to tell: costs that the venue rounds add up below that."""
        share = share_of_equity(self._run, found)
        return bool(found.amount) and (share is None or share > self._limits.difference_alert)

    def _tell(self, found: Difference, now_s: float, since_s: float) -> None:
        """Tell of a difference; its brake is a person's to lift, so it waits for the list of the
        transfers that may explain it, though not for ever (D-03)."""
        alert = judged_difference(self._run, found, self._limits)
        if alert is None:
            return
        came = found.amount > 0
        is_unread = not self._transfers.has_answer_since(since_s, came=came)
        if alert.brake is not None and is_unread and now_s - since_s < self._patience.unread_s:
            which = "deposits" if came else "withdrawals"
            text = f"{alert.text}; the list of {which} is yet to be read"
            alert = replace(alert, text=text, brake=None)
        self._alarm(alert)

    def _expected(self) -> defaultdict[str, Decimal]:
        expected: defaultdict[str, Decimal] = defaultdict(Decimal, self._baseline)
        for lot in models.Lot.objects.filter(run=self._run, is_open=True):
            base = self._instruments[lot.symbol].base
            expected[base] += lot.quantity_base if lot.side == "BUY" else -lot.quantity_base
        for trade in models.Trade.objects.filter(run=self._run, exit_reason=DUST):
            # swept out of the books, still on the account
            base = self._instruments[trade.symbol].base
            expected[base] += trade.quantity_base if trade.side == "BUY" else -trade.quantity_base
        # what closed lots is in them already; what a person declared is none of the venue's news
        for fill in models.ExternalFill.objects.filter(run=self._run, closed_lots=False):
            base = self._instruments[fill.symbol].base
            expected[base] += fill.quantity_base if fill.side == "BUY" else -fill.quantity_base
            if fill.fee_asset == base:
                expected[base] -= fill.fee
        for asset, amount in declared_amounts(self._run):
            expected[asset] += amount
        expected[self._run.quote] += self._quote_flows.total()
        return expected

    def _stamp(self, at: datetime | None) -> None:
        with transaction.atomic():
            self._fence.assert_held()
            models.TradingRun.objects.filter(pk=self._run.pk).update(reconciled_at=at)
        self._run.reconciled_at = at
        logger.info("reconciled run=%s at=%s", self._run.pk, at)


def is_reconciled(run: models.TradingRun, booted_at: datetime) -> bool:
    """True where a reconciliation completed after this start of the run's session."""
    return run.reconciled_at is not None and run.reconciled_at >= booted_at


def entries_held(run: models.TradingRun, booted_at: datetime) -> str:
    """Return why no entry may leave yet, empty where it may; for the broker (I-19)."""
    if is_reconciled(run, booted_at):
        return ""
    return "not reconciled with the venue since the start"


def _may_be_resent(order: models.Order) -> bool:
    """An exit is sent once more with its own id; a missed entry is cheap, a doubled one is not."""
    return order.purpose == Purpose.EXIT and order_watch.sends(order) < 2
