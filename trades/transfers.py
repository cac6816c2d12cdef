"""Deposits and withdrawals, found at the venue and booked once (D-59).

What came or went without a trade is neither gain nor loss. The venue is asked for its own lists;
each entry becomes one request for an adjustment, under the venue's id, which the trading worker
carries out like a person's. What no list explains stays a difference that people are told of.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from engine.digest import plain
from trades import models
from trades.alerts import Alarm, Alert
from trades.brokers.ccxt_values import VenueTransfer
from trades.brokers.venue_client import VenueClient
from trades.errors import RequestRefused, VenueRefused
from trades.instructions import OPEN
from trades.lease import Fence
from trades.records import milliseconds, moment
from trades.requests import request_adjust

logger = logging.getLogger(__name__)
ACTOR = "venue"
EVERY_S = 300.0
# Venues answer for a month at most, and what has been seen once is not booked again.
LOOK_BACK_MS = int(timedelta(days=29) / timedelta(milliseconds=1))


class TransferWatch:
    """Looks for transfers of one run under one fence, on a timer and when a balance differs."""

    def __init__(
        self,
        run: models.TradingRun,
        client: VenueClient,
        fence: Fence,
        alarm: Alarm,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._client = client
        self._fence = fence
        self._alarm = alarm
        self._monotonic = monotonic
        self._due_at_s = monotonic()
        began = run.balances_at
        self._since_ms = None if began is None else milliseconds(began)

    def soon(self) -> None:
        """Look at the next chance: a balance differs, and a transfer may be why."""
        self._due_at_s = self._monotonic()

    def look_if_due(self) -> None:
        """Book what the venue lists and was not seen before.

        Raises:
            SourceUnavailable: the venue did not answer; the next call tries again.
            LeaseLost: another worker runs this run now.
        """
        if self._monotonic() < self._due_at_s:
            return
        now_ms = self._client.venue_ms()
        if self._since_ms is None:
            # opened before it was noted when its balances were read: only what comes from now on
            self._since_ms = now_ms
        try:
            found = self._client.transfers_since(max(self._since_ms, now_ms - LOOK_BACK_MS))
        except VenueRefused as refused:
            text = f"deposits and withdrawals cannot be read: {refused}"
            self._alarm(Alert("TRANSFERS_UNREADABLE", str(self._run.pk), text))
            found = []
        for transfer in found:
            # one of the very moment of the first reading is in that reading
            if transfer.ts_ms > self._since_ms and transfer.amount:
                self._note(transfer)
        self._due_at_s = self._monotonic() + EVERY_S

    def unsettled_assets(self) -> Collection[str]:
        """Return assets whose transfer was seen and is not in the books yet."""
        rows = self._run.venue_transfers.filter(request__status__in=OPEN)
        return set(rows.values_list("asset", flat=True))

    def _note(self, transfer: VenueTransfer) -> None:
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
            row.request = self._declared(transfer)
            if row.request is None:
                self._ask(row)
            else:
                row.outcome = f"declared before by {row.request.actor}"
            row.save()
        text = f"{_words(row)}; {row.outcome or f'request {row.request_id} books it'}"
        logger.info("transfer run=%s %s", self._run.pk, text)
        self._alarm(Alert("TRANSFER", f"{self._run.pk} {row.pk}", text))

    def _declared(self, transfer: VenueTransfer) -> models.OperatorRequest | None:
        """Return a person's declaration of the same amount that explains no other transfer yet."""
        rows = models.OperatorRequest.objects.filter(
            run=self._run,
            kind=models.RequestKind.ADJUST,
            status__in=(*OPEN, models.RequestStatus.DONE),
            payload__asset=transfer.asset,
            payload__amount=plain(transfer.amount),
            venue_transfers__isnull=True,
        )
        return rows.exclude(actor=ACTOR).order_by("pk").first()

    def _ask(self, row: models.VenueTransfer) -> None:
        try:
            row.request = request_adjust(
                run=self._run,
                asset=row.asset,
                amount=row.amount,
                actor=ACTOR,
                reason=_words(row),
                key=f"transfer:{row.pk}",
            )
        except RequestRefused as refused:
            row.outcome = f"not booked: {refused}"


def _words(row: models.VenueTransfer) -> str:
    kind = "deposit" if row.is_deposit else "withdrawal"
    return f"{kind} {row.venue_id} of {abs(row.amount).normalize():f} {row.asset} at the venue"
