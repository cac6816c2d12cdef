"""Closed trades, of the run's own book and of the virtual ones beside it."""

from __future__ import annotations

from django.db import models

from accounts.fields import ExactDecimalField


class ClosedTrade(models.Model):
    """A closed round trip, or part of one. PnL is net of fees, in quote."""

    trade_id = models.CharField(max_length=120)
    strategy = models.CharField(max_length=40)
    symbol = models.CharField(max_length=40)
    side = models.CharField(max_length=4)
    quantity_base = ExactDecimalField()
    entry_price = ExactDecimalField()
    exit_price = ExactDecimalField()
    fees_quote = ExactDecimalField()
    pnl_quote = ExactDecimalField()
    r_multiple = models.FloatField(null=True)
    entry_regime = models.CharField(max_length=10, blank=True)
    exit_regime = models.CharField(max_length=10, blank=True)
    exit_reason = models.CharField(max_length=60)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField()
    entry_order_id = models.CharField(max_length=40)
    exit_order_id = models.CharField(max_length=40)

    class Meta:
        abstract = True


class SideTrade(ClosedTrade):
    """A closed trade of a virtual book beside the run: ``shadow`` or ``counterfactual`` (D-60).

    ``entry_order_id`` is made as the run's own would be: a trade that both books took carries the
    same one.
    """

    run = models.ForeignKey(
        "trades.TradingRun", on_delete=models.CASCADE, related_name="side_trades"
    )
    book = models.CharField(max_length=20)

    class Meta:
        indexes = [
            # recovery of a suspended strategy, and what the layer saved or missed
            models.Index(fields=["run", "book", "strategy", "-closed_at"], name="side_trade_newest")
        ]


class SideEquityPoint(models.Model):
    """Mark-to-market equity of a virtual book after one event."""

    run = models.ForeignKey(
        "trades.TradingRun", on_delete=models.CASCADE, related_name="side_equity_points"
    )
    book = models.CharField(max_length=20)
    at = models.DateTimeField()
    equity_quote = ExactDecimalField()
    exposure_quote = ExactDecimalField()
    drawdown_fraction = models.FloatField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "book", "at"], name="side_equity_once")
        ]
