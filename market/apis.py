"""Instruments and candles over HTTP."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.money import MoneyField
from accounts.operations import READ_PROBLEMS, Operation
from accounts.paging import MAX_PAGE_SIZE, filters_of
from market.selectors import candle_list, instrument_list


class InstrumentFilters(serializers.Serializer):
    venue = serializers.CharField(required=False, max_length=60)


class InstrumentRow(serializers.Serializer):
    venue = serializers.CharField()
    symbol = serializers.CharField()
    base = serializers.CharField()
    quote = serializers.CharField()
    tick_size = MoneyField()
    lot_size = MoneyField()
    min_notional_quote = MoneyField()
    min_quantity_base = MoneyField()
    maker_fee_fraction = MoneyField()
    taker_fee_fraction = MoneyField()
    is_simulated = serializers.BooleanField()


class InstrumentListOutput(serializers.Serializer):
    results = InstrumentRow(many=True)


class InstrumentListApi(Operation):
    @extend_schema(
        operation_id="instrument_list",
        parameters=[InstrumentFilters],
        responses={200: InstrumentListOutput} | READ_PROBLEMS,
    )
    def get(self, request: Request) -> Response:
        filters = filters_of(request, InstrumentFilters)
        rows = instrument_list(venue=filters.get("venue"))
        return Response(InstrumentListOutput({"results": rows}).data)


class CandleFilters(serializers.Serializer):
    venue = serializers.CharField(max_length=60)
    symbol = serializers.CharField(max_length=40)
    timeframe_ms = serializers.IntegerField(min_value=1_000, max_value=31 * 86_400_000)
    until = serializers.DateTimeField(required=False, help_text="opened before this time")
    limit = serializers.IntegerField(
        required=False, default=300, min_value=1, max_value=MAX_PAGE_SIZE
    )


class CandleRow(serializers.Serializer):
    opened_at = serializers.DateTimeField()
    open = serializers.FloatField()
    high = serializers.FloatField()
    low = serializers.FloatField()
    close = serializers.FloatField()
    volume = serializers.FloatField()


class CandleListOutput(serializers.Serializer):
    results = CandleRow(many=True)


class CandleListApi(Operation):
    @extend_schema(
        operation_id="candle_list",
        parameters=[CandleFilters],
        responses={200: CandleListOutput} | READ_PROBLEMS,
    )
    def get(self, request: Request) -> Response:
        filters = filters_of(request, CandleFilters)
        known = instrument_list(venue=filters["venue"]).filter(symbol=filters["symbol"])
        if not known.exists():
            raise NotFound(
                f"symbol was {filters['symbol']}, venue {filters['venue']} has none of that name;"
                " instruments/ lists them"
            )
        rows = candle_list(
            venue=filters["venue"],
            symbol=filters["symbol"],
            timeframe_ms=filters["timeframe_ms"],
            limit=filters["limit"],
            until=filters.get("until"),
        )
        return Response(CandleListOutput({"results": rows}).data)
