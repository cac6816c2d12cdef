"""Deposits and withdrawals, found at the venue and booked once (D-59).

What came or went without a trade is neither gain nor loss. The venue is asked for its own lists;
each entry becomes one request for an adjustment, under the venue's id, which the trading worker
carries out like a person's. One on its way books nothing yet, but venues take a withdrawal off the
balance hours before they call it done: until then it explains a difference of up to its amount.
What no list explains stays a difference that people are told of.

Nothing here may hold trading up: a list that cannot be read is told of and asked for later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from datetime import timedelta
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from market.errors import SourceUnavailable
from trades import models
from trades.alerts import TRANSFERS_UNREADABLE, Alarm, Alert, Over, nobody_hears
from trades.brokers.ccxt_values import VenueTransfer
from trades.brokers.venue_client import VenueClient
from trades.core.transfer_match import VENUE_ACTOR, WINDOW, declares
from trades.errors import RequestRefused, VenueRefused
from trades.instructions import OPEN
from trades.lease import Fence
from trades.records import milliseconds, moment
from trades.requests import request_adjust

logger = logging.getLogger(__name__)
EVERY_S = 300.0
# A list that was not answered is left alone for so long.
RETRY_S = 60.0
# People are told of a list that the request budget had no room for during so long.
OVERDUE_S = 3_600.0
_MS = timedelta(milliseconds=1)
# Venues answer for a month at most, and what has been seen once is not booked again.
LOOK_BACK_MS = timedelta(days=29) // _MS
# So long may a deposit be on its way: begun before the balances were read, credited after.
LEAD_MS = WINDOW // _MS
_FUNDING = (
    "not booked: this venue moves it through its funding wallet, which is not traded; declare it "
    "when it reaches or leaves the trading account"
)
_BEGAN_BEFORE = (
    "not booked: it began before the balances were read and the venue does not tell when it was "
    "credited; declare it if it came after"
)


class TransferWatch:
    """Looks for transfers of one run under one fence, on a timer and when a balance differs."""

    def __init__(
        self,
        run: models.TradingRun,
        client: VenueClient,
        fence: Fence,
        alarm: Alarm,
        *,
        over: Over = nobody_hears,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``over`` hears which lists may still be unreadable after each one that was read."""
        self._run = run
        self._client = client
        self._fence = fence
        self._alarm = alarm
        self._over = over
        # what an earlier process could not read nobody has read since
        self._unread = {_list_name(run, True), _list_name(run, False)}
        self._monotonic = monotonic
        # by list: True for deposits, False for withdrawals
        self._due_at_s = dict.fromkeys((True, False), monotonic())
        self._rests_until_s = dict.fromkeys((True, False), float("-inf"))
        self._answered_at_s = dict.fromkeys((True, False), float("-inf"))
        self._on_its_way: dict[bool, list[VenueTransfer]] = {True: [], False: []}
        self._first = True
        began = run.balances_at
        self._since_ms = None if began is None else milliseconds(began)
        self._lead_ms = 0 if began is None else LEAD_MS

    def soon(self, *, came: bool) -> None:
        """Look at the next chance, first for what came or for what went: a balance differs, and a
        transfer may be why. A list that gave no answer keeps its rest."""
        wanted_s = max(self._monotonic(), self._rests_until_s[came])
        self._due_at_s[came] = min(self._due_at_s[came], wanted_s)
        self._first = came

    def look_if_due(self) -> None:
        """Read one list at most, where it is due and the request budget has room for it now, and
        book what was not seen before.

        No answer is told of and leaves the list alone for ``RETRY_S``, a refusal for ``EVERY_S``.

        Raises:
            LeaseLost: another worker runs this run now.
        """
        now_s = self._monotonic()
        due = [is_deposit for is_deposit, at_s in self._due_at_s.items() if at_s <= now_s]
        if not due:
            return
        is_deposit = self._first if self._first in due else due[0]
        if not self._client.has_room_for_transfers(is_deposit=is_deposit):
            if now_s - self._due_at_s[is_deposit] > OVERDUE_S:
                self._tell_unread(is_deposit, "the request budget had no room for an hour")
            return
        again_s = EVERY_S
        try:
            self._look(is_deposit)
            self._unread.discard(_list_name(self._run, is_deposit))
            self._over(TRANSFERS_UNREADABLE, self._unread)
            self._answered_at_s[is_deposit] = self._monotonic()
        except VenueRefused as refused:
            self._answered_at_s[is_deposit] = self._monotonic()
            self._tell_unread(is_deposit, str(refused))
        except SourceUnavailable as silent:
            again_s = RETRY_S
            self._rests_until_s[is_deposit] = self._monotonic() + RETRY_S
            self._tell_unread(is_deposit, str(silent))
        self._due_at_s[is_deposit] = self._monotonic() + again_s
        self._first = not is_deposit

    def has_answer_since(self, at_s: float, *, came: bool) -> bool:
        """True where the list of what came, or of what went, was read since then, or refused: a
        key that may not read it will not explain anything later either."""
        return self._answered_at_s[came] >= at_s

    def on_its_way(self, asset: str, difference: Decimal) -> Decimal:
        """Return how much of what the venue holds more (> 0) or less (< 0) than our books may be
        of transfers that are not done: nothing beyond their sum, 0 where there are none."""
        listed = [t.amount for t in self._on_its_way[difference > 0] if t.asset == asset]
        total = sum(listed, Decimal(0))
        return min(total, difference) if difference > 0 else max(total, difference)

    def unsettled_assets(self) -> Collection[str]:
        """Return assets whose transfer was seen and is not in the books yet."""
        rows = self._run.venue_transfers.filter(request__status__in=OPEN)
        return set(rows.values_list("asset", flat=True))

    def _look(self, is_deposit: bool) -> None:
        now_ms = self._client.venue_ms()
        if self._since_ms is None:
            # opened before it was noted when its balances were read: only what comes from now on
            self._since_ms = now_ms
        lead_ms = self._lead_ms if is_deposit else 0
        from_ms = max(self._since_ms - lead_ms, now_ms - LOOK_BACK_MS)
        on_its_way = []
        for transfer in self._client.transfers_since(from_ms, is_deposit=is_deposit):
            # one of the very moment of the first reading is in that reading
            if not transfer.amount:
                continue
            if not transfer.is_done:
                if self._may_move_us(transfer, self._since_ms):
                    on_its_way.append(transfer)
            elif (transfer.credited_ms or transfer.ts_ms) > self._since_ms:
                self._note(transfer, "" if self._client.credits_trading_wallet else _FUNDING)
            elif is_deposit and transfer.credited_ms is None and lead_ms:
                self._note(transfer, _BEGAN_BEFORE)
        self._remember(is_deposit, on_its_way)

    def _may_move_us(self, transfer: VenueTransfer, since_ms: int) -> bool:
        """True where one that is not done may change what the run's first reading found: a
        withdrawal of before is off that reading, a deposit that is not done is not in it."""
        is_after = transfer.is_deposit or transfer.ts_ms > since_ms
        return is_after and self._client.credits_trading_wallet

    def _remember(self, is_deposit: bool, listed: list[VenueTransfer]) -> None:
        """Keep what is on its way, and tell of each once: was it you?"""
        known = {transfer.venue_id for transfer in self._on_its_way[is_deposit]}
        self._on_its_way[is_deposit] = listed
        kind = "deposit" if is_deposit else "withdrawal"
        for transfer in listed:
            if transfer.venue_id in known:
                continue
            amount = f"{abs(transfer.amount).normalize():f} {transfer.asset}"
            text = f"{kind} {transfer.venue_id} of {amount} is on its way; booked once it is done"
            subject = f"{self._run.pk} {kind} {transfer.venue_id[:80]}"
            self._alarm(Alert("TRANSFER", subject, text))

    def _tell_unread(self, is_deposit: bool, why: str) -> None:
        name = _list_name(self._run, is_deposit)
        self._unread.add(name)
        text = f"{name.split()[-1]} cannot be read: {why}"
        self._alarm(Alert(TRANSFERS_UNREADABLE, name, text))

    def _note(self, transfer: VenueTransfer, why_not: str) -> None:
        """Write down a transfer once; ``why_not`` says why it is not booked, empty where it is."""
        with transaction.atomic():
            self._fence.assert_held()
            row, is_new = models.VenueTransfer.objects.get_or_create(
                run=self._run,
                is_deposit=transfer.is_deposit,
                venue_id=transfer.venue_id[:120],
                defaults={
                    "asset": transfer.asset[:20],
                    "amount": transfer.amount,
                    "fee": transfer.fee,
                    "transferred_at": moment(transfer.ts_ms),
                    "noticed_at": timezone.now(),
                },
            )
            if not is_new:
                return
            row.request = self._declared(row)
            if row.request is not None:
                row.outcome = _said(row, row.request)
            elif why_not:
                row.outcome = why_not
            else:
                self._ask(row)
            row.save()
        text = f"{_words(row)}; {row.outcome or f'request {row.request_id} books it'}"
        logger.info("transfer run=%s %s", self._run.pk, text)
        self._alarm(Alert("TRANSFER", f"{self._run.pk} {row.pk}", text))

    def _declared(self, row: models.VenueTransfer) -> models.OperatorRequest | None:
        """Return the nearest of people's declarations that may mean this transfer: of about its
        amount and time, and explaining no other one yet."""
        asked = models.OperatorRequest.objects.filter(
            run=self._run,
            kind=models.RequestKind.ADJUST,
            status__in=(*OPEN, models.RequestStatus.DONE),
            payload__asset=row.asset,
            created_at__range=(row.transferred_at - WINDOW, row.transferred_at + WINDOW),
            venue_transfers__isnull=True,
        ).exclude(actor=VENUE_ACTOR)
        same = [r for r in asked.order_by("pk") if declares(_amount(r), row.amount, row.fee)]
        return min(same, key=lambda r: abs(_amount(r) - row.amount), default=None)

    def _ask(self, row: models.VenueTransfer) -> None:
        try:
            row.request = request_adjust(
                run=self._run,
                asset=row.asset,
                amount=row.amount,
                actor=VENUE_ACTOR,
                reason=_words(row),
                key=f"transfer:{row.pk}",
            )
        except RequestRefused as refused:
            row.outcome = f"not booked: {refused}"


def _list_name(run: models.TradingRun, is_deposit: bool) -> str:
    """Return by what a list is known, in this run and in the next one on the same venue."""
    return f"{run.venue} {'deposits' if is_deposit else 'withdrawals'}"


def _amount(row: models.OperatorRequest) -> Decimal:
    return Decimal(row.payload["amount"])


def _said(row: models.VenueTransfer, request: models.OperatorRequest) -> str:
    left = row.amount - _amount(request)
    if not left:
        return f"declared before by {request.actor}"
    return (
        f"declared by {request.actor} as {request.payload['amount']} in request {request.pk}; "
        f"the books need {left.normalize():+f} {row.asset} more, declare that too"
    )


def _words(row: models.VenueTransfer) -> str:
    kind = "deposit" if row.is_deposit else "withdrawal"
    return f"{kind} {row.venue_id} of {abs(row.amount).normalize():f} {row.asset} at the venue"
