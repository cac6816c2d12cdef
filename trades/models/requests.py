"""What people ask of a run, what it changed in the books, and what may not enter."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q

from accounts.fields import ExactDecimalField


class RequestKind(models.TextChoices):
    CLOSE = "close"
    MOVE_EXITS = "move_exits"
    FLATTEN = "flatten"
    ADJUST = "adjust"
    BOOK_EXTERNAL = "book_external"


class RequestStatus(models.TextChoices):
    """WAITING was not looked at yet; WORKING is looked at again at each event."""

    WAITING = "WAITING"
    WORKING = "WORKING"
    DONE = "DONE"
    REFUSED = "REFUSED"
    EXPIRED = "EXPIRED"


class OperatorRequest(models.Model):
    """One thing a person asked of a run. Its status changes in the transaction of what it caused,
    so that a crash neither loses nor repeats it."""

    run = models.ForeignKey(
        "trades.TradingRun", on_delete=models.CASCADE, related_name="operator_requests"
    )
    kind = models.CharField(max_length=14, choices=RequestKind.choices)
    # what it is about: a scope, or a strategy and symbol; the rest is in the payload
    strategy = models.CharField(max_length=40, blank=True)
    symbol = models.CharField(max_length=40, blank=True)
    payload = models.JSONField(default=dict)
    status = models.CharField(
        max_length=8, choices=RequestStatus.choices, default=RequestStatus.WAITING
    )
    actor = models.CharField(max_length=120)
    reason = models.TextField()
    # the same actor's same key is the same request, however often it is sent
    idempotency_key = models.CharField(max_length=120)
    created_at = models.DateTimeField()
    # what nobody looked at until then is not done any more: the market has moved on
    expires_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    outcome = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["actor", "idempotency_key"], name="request_once")
        ]
        indexes = [
            models.Index(
                fields=["run", "id"],
                condition=Q(status__in=("WAITING", "WORKING")),
                name="request_waiting",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk} {self.status}"


class ExternalFill(models.Model):
    """An execution on our account that none of our orders explains: booked apart, alerted."""

    run = models.ForeignKey(
        "trades.TradingRun", on_delete=models.CASCADE, related_name="external_fills"
    )
    trade_id = models.CharField(max_length=60)
    client_order_id = models.CharField(max_length=60, blank=True)
    symbol = models.CharField(max_length=40)
    side = models.CharField(max_length=4)
    price = ExactDecimalField()
    quantity_base = ExactDecimalField()
    fee = ExactDecimalField()
    fee_asset = models.CharField(max_length=20)
    executed_at = models.DateTimeField()
    noticed_at = models.DateTimeField()
    # how it was taken into the books: closing what strategies held, or as own coins
    booked_by = models.ForeignKey(
        OperatorRequest, null=True, on_delete=models.PROTECT, related_name="external_fills"
    )
    closed_lots = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "symbol", "trade_id"], name="external_fill_once")
        ]


class LedgerAdjustment(models.Model):
    """A balance changed without a trade of ours. The books are the sum of fills and of these.

    ``after_fill_id`` is the last fill that was booked before it.
    """

    run = models.ForeignKey(
        "trades.TradingRun", on_delete=models.CASCADE, related_name="adjustments"
    )
    request = models.ForeignKey(
        OperatorRequest, on_delete=models.PROTECT, related_name="adjustments"
    )
    asset = models.CharField(max_length=20)
    amount = ExactDecimalField()
    price_quote = ExactDecimalField()
    value_quote = ExactDecimalField()
    equity_before_quote = ExactDecimalField()
    after_fill_id = models.PositiveBigIntegerField()
    at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["run", "id"], name="adjustment_in_order")]

    def __str__(self) -> str:
        return f"{self.amount:+f} {self.asset}"


class VenueTransfer(models.Model):
    """A deposit or withdrawal that the venue told of: seen once, and booked once at most.

    ``amount`` is what it changed on the account, the venue's ``fee`` included. ``outcome`` says why
    nothing was asked of the books, where nothing was.
    """

    run = models.ForeignKey(
        "trades.TradingRun", on_delete=models.CASCADE, related_name="venue_transfers"
    )
    venue_id = models.CharField(max_length=120)
    is_deposit = models.BooleanField()
    asset = models.CharField(max_length=20)
    amount = ExactDecimalField()
    fee = ExactDecimalField()
    transferred_at = models.DateTimeField()
    noticed_at = models.DateTimeField()
    request = models.ForeignKey(
        OperatorRequest, null=True, on_delete=models.PROTECT, related_name="venue_transfers"
    )
    outcome = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "is_deposit", "venue_id"], name="venue_transfer_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.amount:+f} {self.asset} {self.venue_id}"


class EntryLock(models.Model):
    """No entries in a symbol, of one strategy or of all, until it is lifted or its time is over."""

    symbol = models.CharField(max_length=40)
    strategy = models.CharField(max_length=40, blank=True)
    reason = models.TextField()
    actor = models.CharField(max_length=120)
    created_at = models.DateTimeField()
    # venue time, as control states; empty: until somebody lifts it
    expires_at = models.DateTimeField(null=True, blank=True)
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.CharField(max_length=120, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["symbol"], condition=Q(lifted_at__isnull=True), name="lock_standing"
            )
        ]

    def covers(self, symbol: str, strategy: str) -> bool:
        return self.symbol == symbol and self.strategy in ("", strategy)

    def stands_at(self, at: datetime) -> bool:
        """True unless it was lifted, or its time is over at ``at`` (venue time)."""
        return self.lifted_at is None and (self.expires_at is None or self.expires_at > at)

    def words(self) -> str:
        """Return who keeps entries out, why, and for how long."""
        until = "" if self.expires_at is None else f" until {self.expires_at:%Y-%m-%d %H:%M} UTC"
        return f"{self} by {self.actor}{until}: {self.reason}"

    def __str__(self) -> str:
        return f"{self.symbol} {self.strategy}".strip()
