"""What the world said: instruments and candles."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from accounts.fields import ExactDecimalField


class Instrument(models.Model):
    """One symbol of one venue. ``venue`` is a ccxt exchange id, or ``practice-<dataset>``."""

    venue = models.CharField(max_length=60)
    symbol = models.CharField(max_length=40)
    base = models.CharField(max_length=20)
    quote = models.CharField(max_length=20)
    tick_size = ExactDecimalField()
    lot_size = ExactDecimalField()
    min_notional_quote = ExactDecimalField()
    min_quantity_base = ExactDecimalField()
    maker_fee_fraction = ExactDecimalField()
    taker_fee_fraction = ExactDecimalField()
    is_shortable = models.BooleanField(default=False)
    is_simulated = models.BooleanField(default=False)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["venue", "symbol"], name="instrument_venue_symbol")
        ]

    def __str__(self) -> str:
        return f"{self.symbol} on {self.venue}"


class Candle(models.Model):
    """One closed bar; immutable once written. ``opened_at`` is its open time."""

    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="candles")
    timeframe_ms = models.PositiveBigIntegerField()
    opened_at = models.DateTimeField()
    open = models.FloatField()
    high = models.FloatField()
    low = models.FloatField()
    close = models.FloatField()
    volume = models.FloatField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["instrument", "timeframe_ms", "opened_at"], name="candle_once"
            ),
            models.CheckConstraint(
                name="candle_prices_in_order",
                condition=Q(low__gt=0)
                & Q(low__lte=F("open"))
                & Q(low__lte=F("close"))
                & Q(high__gte=F("open"))
                & Q(high__gte=F("close"))
                & Q(volume__gte=0),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.opened_at:%Y-%m-%d %H:%M}"
