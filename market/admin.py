"""Instruments and candles on the admin pages."""

from django.contrib import admin

from accounts.admin_tools import ReadOnlyAdmin
from market.models import Candle, Instrument


@admin.register(Instrument)
class InstrumentAdmin(ReadOnlyAdmin):
    list_display = ("symbol", "venue", "tick_size", "lot_size", "min_notional_quote", "updated_at")
    list_filter = ("venue", "is_simulated")
    search_fields = ("symbol", "venue")


@admin.register(Candle)
class CandleAdmin(ReadOnlyAdmin):
    list_display = ("opened_at", "instrument", "open", "high", "low", "close", "volume")
    list_filter = ("instrument", "timeframe_ms")
    list_select_related = ("instrument",)
    ordering = ("-id",)
