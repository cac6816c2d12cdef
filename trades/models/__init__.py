"""What we did and what it cost. Rows are written by the journal and the order service only."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from accounts.fields import ExactDecimalField
from engine.ports import TradingState
from engine.types.decisions import Action
from engine.types.opinions import Side
from engine.types.orders import Cause, OrderStatus, OrderType, Purpose
from trades.feature_names import FeatureNames as FeatureNames  # a model of this room
from trades.models.closed_trades import ClosedTrade
from trades.models.closed_trades import SideEquityPoint as SideEquityPoint
from trades.models.closed_trades import SideTrade as SideTrade
from trades.models.requests import EntryLock as EntryLock
from trades.models.requests import ExternalFill as ExternalFill
from trades.models.requests import LedgerAdjustment as LedgerAdjustment
from trades.models.requests import OperatorRequest as OperatorRequest
from trades.models.requests import RequestKind as RequestKind
from trades.models.requests import RequestStatus as RequestStatus
from trades.models.requests import VenueTransfer as VenueTransfer


class Mode(models.TextChoices):
    """Words of D-60; every row hangs on a run, so modes never mix in a sum."""

    LIVE = "live"
    PAPER = "paper"
    PRACTICE = "practice"
    REPLAY = "replay"


class TradingRun(models.Model):
    """One session of one account on one venue, with everything needed to repeat it."""

    code = models.UUIDField(unique=True)
    mode = models.CharField(max_length=10, choices=Mode.choices)
    venue = models.CharField(max_length=60)
    account = models.CharField(max_length=40)
    symbols = models.JSONField()
    timeframe_ms = models.PositiveBigIntegerField()
    quote = models.CharField(max_length=20)
    starting_cash_quote = ExactDecimalField()
    # what was held of each asset before the run, as text: not ours, not to be traded
    opening_balances = models.JSONField(default=dict, blank=True)
    # when they were read, by the venue's clock: what came or went later is a transfer of this run
    balances_at = models.DateTimeField(null=True, blank=True)
    config = models.JSONField()
    config_digest = models.CharField(max_length=64)
    # keyed digest of what signs its orders, so that two accounts with one key are found where no
    # process sees both; empty where none was seen
    key_digest = models.CharField(max_length=64, blank=True, default="")
    # the same of the venue's own name of the account, where it tells one: two keys may lead to it
    account_digest = models.CharField(max_length=64, blank=True, default="")
    code_version = models.CharField(max_length=60)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    last_event_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    reconciled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            # one open run an account and venue: two would trade the same balance
            models.UniqueConstraint(
                fields=["venue", "account"],
                condition=Q(ended_at__isnull=True) & ~Q(mode="replay"),
                name="run_open_once",
            )
        ]

    @property
    def is_simulated(self) -> bool:
        return self.mode != Mode.LIVE

    def __str__(self) -> str:
        return f"{self.mode} {self.venue} {self.started_at:%Y-%m-%d %H:%M}"


class Lease(models.Model):
    """Who may advance a run. ``token`` only grows; a write with an old one is refused (I-16)."""

    run = models.OneToOneField(TradingRun, on_delete=models.CASCADE, related_name="lease")
    holder = models.CharField(max_length=120, blank=True)
    token = models.PositiveBigIntegerField(default=0)
    expires_at = models.DateTimeField()
    code_version = models.CharField(max_length=60, blank=True)


class SessionState(models.Model):
    """What a session must remember between events besides the ledger: learning and pending."""

    run = models.OneToOneField(TradingRun, on_delete=models.CASCADE, related_name="session_state")
    payload = models.JSONField()
    event_at = models.DateTimeField()


class SymbolCursor(models.Model):
    """The last event of a symbol that was committed: what is due is read from here."""

    run = models.ForeignKey(TradingRun, on_delete=models.CASCADE, related_name="cursors")
    symbol = models.CharField(max_length=40)
    last_bar_close_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "symbol"], name="cursor_once")]


class RejectedEvent(models.Model):
    """A market event that failed the quality gate: journalled, never traded."""

    run = models.ForeignKey(TradingRun, on_delete=models.CASCADE)
    symbol = models.CharField(max_length=40)
    event_at = models.DateTimeField()
    reason = models.TextField()
    payload = models.JSONField()
    created_at = models.DateTimeField()


class Analysis(models.Model):
    """Phases 1-6 (and 9-10) of one bar, shared by its decisions."""

    run = models.ForeignKey(TradingRun, on_delete=models.CASCADE, related_name="analyses")
    symbol = models.CharField(max_length=40)
    bar_close_at = models.DateTimeField()
    price = models.FloatField()
    regime = models.CharField(max_length=10, blank=True)
    probability_up = models.FloatField(null=True)
    payload = models.JSONField()
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "analyses"
        constraints = [
            models.UniqueConstraint(fields=["run", "symbol", "bar_close_at"], name="analysis_once")
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.bar_close_at:%Y-%m-%d %H:%M}"


class Decision(models.Model):
    """The final word on one proposal, or the HOLD of a quiet bar; one per strategy and bar."""

    code = models.UUIDField(unique=True)
    run = models.ForeignKey(TradingRun, on_delete=models.CASCADE, related_name="decisions")
    analysis = models.ForeignKey(Analysis, on_delete=models.PROTECT, related_name="decisions")
    strategy = models.CharField(max_length=40)
    symbol = models.CharField(max_length=40)
    bar_close_at = models.DateTimeField()
    action = models.CharField(max_length=5, choices=[(a.value, a.value) for a in Action])
    confidence = models.FloatField()
    quantity_base = ExactDecimalField()
    price = models.FloatField()
    stop_price = ExactDecimalField(null=True)
    target_price = ExactDecimalField(null=True)
    reason_code = models.CharField(max_length=60)
    reason = models.TextField()
    blocking_phase = models.PositiveSmallIntegerField(null=True)
    payload = models.JSONField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["run", "symbol", "bar_close_at", "strategy"], name="decision_once"
            ),
            models.CheckConstraint(
                name="decision_confidence_bounds",
                condition=Q(confidence__gte=0) & Q(confidence__lte=1),
            ),
        ]
        indexes = [
            # the decision stream, newest first
            models.Index(fields=["run", "-bar_close_at", "-id"], name="decision_stream"),
            # "why no trade?" by strategy
            models.Index(fields=["run", "strategy", "-bar_close_at"], name="decision_strategy"),
            models.Index(fields=["run", "reason_code"], name="decision_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.strategy} {self.action} {self.symbol} {self.bar_close_at:%H:%M}"


class Order(models.Model):
    """One intent and what became of it. The row exists before the wire (F-001)."""

    run = models.ForeignKey(TradingRun, on_delete=models.CASCADE, related_name="orders")
    decision = models.ForeignKey(
        Decision, null=True, on_delete=models.PROTECT, related_name="orders"
    )
    client_order_id = models.CharField(max_length=40, unique=True)
    venue_order_id = models.CharField(max_length=60, blank=True)
    strategy = models.CharField(max_length=40)
    symbol = models.CharField(max_length=40)
    side = models.CharField(max_length=4, choices=[(s.value, s.value) for s in Side])
    purpose = models.CharField(max_length=6, choices=[(p.value, p.value) for p in Purpose])
    order_type = models.CharField(max_length=16, choices=[(t.value, t.value) for t in OrderType])
    cause = models.CharField(
        max_length=10, choices=[(c.value, c.value) for c in Cause], default=Cause.DECISION.value
    )
    reason_code = models.CharField(max_length=60, blank=True)
    # who asked for it
    actor = models.CharField(max_length=120, blank=True)
    request = models.ForeignKey(
        OperatorRequest, null=True, on_delete=models.PROTECT, related_name="orders"
    )
    quantity_base = ExactDecimalField()
    limit_price = ExactDecimalField(null=True)
    stop_price = ExactDecimalField(null=True)
    target_price = ExactDecimalField(null=True)
    reference_price = ExactDecimalField()
    regime = models.CharField(max_length=10, blank=True)
    leg = models.PositiveSmallIntegerField(default=0)
    status = models.CharField(
        max_length=14, choices=[(s.value, s.value) for s in OrderStatus], default="INTENT"
    )
    filled_base = ExactDecimalField(default=0)
    average_price = ExactDecimalField(null=True)
    refusal_code = models.CharField(max_length=60, blank=True)
    refusal_text = models.TextField(blank=True)
    fence_token = models.PositiveBigIntegerField(default=0)
    control_epoch = models.PositiveBigIntegerField(default=0)
    limits_snapshot = models.JSONField(default=dict)
    missed_queries = models.PositiveSmallIntegerField(default=0)
    decided_at = models.DateTimeField()
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    last_queried_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField()

    class Meta:
        indexes = [
            # reconciliation: what may still fill
            models.Index(fields=["run", "status"], name="order_in_flight"),
            models.Index(fields=["run", "-decided_at"], name="order_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity_base} {self.symbol} {self.status}"


class OrderEvent(models.Model):
    """One edge of the order state machine, append-only (I-7, I-8)."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveIntegerField()
    from_status = models.CharField(max_length=14, blank=True)
    to_status = models.CharField(max_length=14)
    at = models.DateTimeField()
    detail = models.JSONField(default=dict)

    class Meta:
        ordering = ["order", "seq"]
        constraints = [models.UniqueConstraint(fields=["order", "seq"], name="order_event_seq")]


class Fill(models.Model):
    """One execution on the venue; booked once, whoever reports it how often (I-3)."""

    run = models.ForeignKey(TradingRun, on_delete=models.CASCADE, related_name="fills")
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="fills")
    trade_id = models.CharField(max_length=60)
    strategy = models.CharField(max_length=40)
    symbol = models.CharField(max_length=40)
    side = models.CharField(max_length=4)
    price = ExactDecimalField()
    quantity_base = ExactDecimalField()
    fee = ExactDecimalField()
    fee_asset = models.CharField(max_length=20)
    is_maker = models.BooleanField(default=False)
    executed_at = models.DateTimeField()
    applied_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "symbol", "trade_id"], name="fill_once")
        ]
        indexes = [models.Index(fields=["run", "-executed_at"], name="fill_newest")]


class Lot(models.Model):
    """An open piece of a position; ``quantity_base`` 0 means it was closed."""

    run = models.ForeignKey(TradingRun, on_delete=models.CASCADE, related_name="lots")
    lot_id = models.CharField(max_length=120)
    strategy = models.CharField(max_length=40)
    symbol = models.CharField(max_length=40)
    side = models.CharField(max_length=4)
    quantity_base = ExactDecimalField()
    is_open = models.BooleanField(default=True)
    entry_price = ExactDecimalField()
    entry_fee_quote = ExactDecimalField()
    risk_per_unit_quote = ExactDecimalField()
    stop_price = ExactDecimalField(null=True)
    target_price = ExactDecimalField(null=True)
    regime = models.CharField(max_length=10, blank=True)
    opened_at = models.DateTimeField()
    entry_order_id = models.CharField(max_length=40)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "lot_id"], name="lot_once")]
        indexes = [models.Index(fields=["run", "is_open"], name="lot_open")]


class Trade(ClosedTrade):
    """A closed trade of the run's own book."""

    run = models.ForeignKey(TradingRun, on_delete=models.CASCADE, related_name="trades")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "trade_id"], name="trade_once")]
        indexes = [
            models.Index(fields=["run", "-closed_at"], name="trade_newest"),
            models.Index(fields=["run", "strategy", "-closed_at"], name="trade_by_strategy"),
        ]


class EquityPoint(models.Model):
    """Mark-to-market equity after one event."""

    run = models.ForeignKey(TradingRun, on_delete=models.CASCADE, related_name="equity_points")
    at = models.DateTimeField()
    equity_quote = ExactDecimalField()
    cash_quote = ExactDecimalField()
    exposure_quote = ExactDecimalField()
    peak_equity_quote = ExactDecimalField()
    drawdown_fraction = models.FloatField()
    day_pnl_quote = ExactDecimalField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "at"], name="equity_once")]


class ControlState(models.Model):
    """The kill switch, latched in the database. ``scope`` is ``global``, ``strategy:CODE`` or
    ``symbol:SYMBOL``. ``epoch`` grows with every change and is stamped on each order (I-9)."""

    scope = models.CharField(max_length=80, unique=True)
    state = models.CharField(
        max_length=8,
        choices=[(s.value, s.value) for s in TradingState],
        default=TradingState.ACTIVE.value,
    )
    epoch = models.PositiveBigIntegerField(default=0)
    reason_code = models.CharField(max_length=60, blank=True)
    reason = models.TextField(blank=True)
    actor = models.CharField(max_length=120)
    changed_at = models.DateTimeField()
    # A day-loss stop ends by itself at the next UTC day of venue time; others wait for a person.
    releases_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.scope}: {self.state}"


class ControlEvent(models.Model):
    """One change of the control state, append-only."""

    scope = models.CharField(max_length=80)
    from_state = models.CharField(max_length=8)
    to_state = models.CharField(max_length=8)
    epoch = models.PositiveBigIntegerField()
    reason_code = models.CharField(max_length=60, blank=True)
    reason = models.TextField(blank=True)
    actor = models.CharField(max_length=120)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-at", "-id"]


class EvolutionEvent(models.Model):
    """A trigger of phase 10, and later what became of the candidate (ORC-16)."""

    run = models.ForeignKey(TradingRun, on_delete=models.CASCADE, related_name="evolution_events")
    source = models.CharField(max_length=40)
    kind = models.CharField(max_length=20)
    text = models.TextField()
    value = models.FloatField()
    limit = models.FloatField()
    at = models.DateTimeField()
