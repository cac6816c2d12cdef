"""Runs, orders, fills, trades, positions and equity: read-only, whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.lists import ListOperation
from accounts.money import MoneyField
from accounts.operations import READ_PROBLEMS, Operation
from accounts.paging import AllowedChoiceField, filters_of
from engine.types.opinions import Side
from engine.types.orders import OrderStatus, Purpose
from trades.apis.filters import RunFilter, RunListFilters, run_of
from trades.models import Mode
from trades.selectors import (
    equity_list,
    fill_list,
    order_list,
    position_list,
    run_list,
    trade_list,
    trade_statistics,
)

SIDES = [(side.value, side.value) for side in Side]


class RunRow(serializers.Serializer):
    code = serializers.UUIDField()
    mode = serializers.ChoiceField(choices=Mode.choices)
    is_simulated = serializers.BooleanField()
    venue = serializers.CharField()
    account = serializers.CharField()
    symbols = serializers.ListField(child=serializers.CharField())
    timeframe_ms = serializers.IntegerField()
    quote = serializers.CharField()
    starting_cash_quote = MoneyField()
    config_digest = serializers.CharField()
    code_version = serializers.CharField()
    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    last_event_at = serializers.DateTimeField(allow_null=True)
    last_error = serializers.CharField()
    reconciled_at = serializers.DateTimeField(allow_null=True)


class RunListApi(ListOperation):
    operation_id = "run_list"
    row = RunRow
    time_field = "started_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return run_list()


class OrderFilters(RunListFilters):
    status = AllowedChoiceField(required=False, choices=[(s.value, s.value) for s in OrderStatus])
    side = AllowedChoiceField(required=False, choices=SIDES)
    purpose = AllowedChoiceField(required=False, choices=[(p.value, p.value) for p in Purpose])


class OrderRow(serializers.Serializer):
    client_order_id = serializers.CharField()
    venue_order_id = serializers.CharField()
    run = serializers.UUIDField(source="run.code")
    decision = serializers.UUIDField(source="decision.code", default=None, allow_null=True)
    strategy = serializers.CharField()
    symbol = serializers.CharField()
    side = serializers.CharField()
    purpose = serializers.CharField()
    cause = serializers.CharField()
    reason_code = serializers.CharField()
    actor = serializers.CharField()
    order_type = serializers.CharField()
    status = serializers.CharField()
    quantity_base = MoneyField()
    filled_base = MoneyField()
    limit_price = MoneyField(allow_null=True)
    stop_price = MoneyField(allow_null=True)
    target_price = MoneyField(allow_null=True)
    reference_price = MoneyField()
    average_price = MoneyField(allow_null=True)
    refusal_code = serializers.CharField()
    refusal_text = serializers.CharField()
    decided_at = serializers.DateTimeField()
    sent_at = serializers.DateTimeField(allow_null=True)
    updated_at = serializers.DateTimeField()


class OrderListApi(ListOperation):
    operation_id = "order_list"
    filters = OrderFilters
    row = OrderRow
    time_field = "decided_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return orders_of(filters)


def orders_of(filters: Mapping[str, Any], **period: Any) -> QuerySet[Any]:
    """Return what validated filters leave; a list sees to its period itself."""
    names = ("symbol", "strategy", "status", "side", "purpose")
    given = {name: filters.get(name) for name in names}
    return order_list(run=run_of(filters), **given, **period)


class FillRow(serializers.Serializer):
    trade_id = serializers.CharField()
    run = serializers.UUIDField(source="run.code")
    client_order_id = serializers.CharField(source="order.client_order_id")
    strategy = serializers.CharField()
    symbol = serializers.CharField()
    side = serializers.CharField()
    price = MoneyField()
    quantity_base = MoneyField()
    fee = MoneyField()
    fee_asset = serializers.CharField()
    is_maker = serializers.BooleanField()
    executed_at = serializers.DateTimeField()


class FillListApi(ListOperation):
    operation_id = "fill_list"
    filters = RunListFilters
    row = FillRow
    time_field = "executed_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return fill_list(
            run=run_of(filters), symbol=filters.get("symbol"), strategy=filters.get("strategy")
        )


class TradeFilters(RunListFilters):
    side = AllowedChoiceField(required=False, choices=SIDES)
    entry_tag = serializers.CharField(required=False, max_length=60)
    exit_reason = serializers.CharField(required=False, max_length=60)


class TradeRow(serializers.Serializer):
    trade_id = serializers.CharField()
    run = serializers.UUIDField(source="run.code")
    strategy = serializers.CharField()
    symbol = serializers.CharField()
    side = serializers.CharField()
    quantity_base = MoneyField()
    entry_price = MoneyField()
    exit_price = MoneyField()
    fees_quote = MoneyField()
    pnl_quote = MoneyField()
    r_multiple = serializers.FloatField(allow_null=True)
    entry_regime = serializers.CharField()
    exit_regime = serializers.CharField()
    exit_reason = serializers.CharField()
    entry_tag = serializers.CharField(help_text="reason code of the entry order")
    opened_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField()
    entry_order_id = serializers.CharField()
    exit_order_id = serializers.CharField()


class TradeListApi(ListOperation):
    operation_id = "trade_list"
    filters = TradeFilters
    row = TradeRow
    time_field = "closed_at"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return trades_of(filters)


def trades_of(filters: Mapping[str, Any], **period: Any) -> QuerySet[Any]:
    """Return what validated filters leave; a list sees to its period itself."""
    names = ("symbol", "strategy", "side", "entry_tag", "exit_reason")
    given = {name: filters.get(name) for name in names}
    return trade_list(run=run_of(filters), **given, **period)


class StatisticsRow(serializers.Serializer):
    strategy = serializers.CharField()
    trades = serializers.IntegerField(source="count")
    wins = serializers.IntegerField()
    losses = serializers.IntegerField()
    pnl_quote = MoneyField()
    fees_quote = MoneyField()
    win_rate_fraction = serializers.FloatField(source="win_rate", allow_null=True)
    expectancy_quote = serializers.FloatField(allow_null=True)
    expectancy_r = serializers.FloatField(allow_null=True)
    profit_factor = serializers.FloatField(allow_null=True)
    max_drawdown_quote = serializers.FloatField()
    longest_loss_streak = serializers.IntegerField()


class StatisticsOutput(serializers.Serializer):
    results = StatisticsRow(many=True)


class TradeStatisticsApi(Operation):
    @extend_schema(
        operation_id="trade_statistics",
        parameters=[RunFilter],
        responses={200: StatisticsOutput} | READ_PROBLEMS,
    )
    def get(self, request: Request) -> Response:
        run = run_of(filters_of(request, RunFilter))
        rows = [
            {"strategy": code, **asdict(statistics)}
            for code, statistics in trade_statistics(run=run).items()
        ]
        return Response(StatisticsOutput({"results": rows}).data)


class PositionRow(serializers.Serializer):
    id = serializers.CharField(source="position_id", help_text="as in positions/ID/close")
    strategy = serializers.CharField()
    symbol = serializers.CharField()
    side = serializers.CharField()
    quantity_base = MoneyField()
    average_price = MoneyField()
    stop_price = MoneyField(allow_null=True)
    resting_stop_base = MoneyField()
    target_price = MoneyField(allow_null=True)
    opened_at = serializers.DateTimeField()
    mark_price = MoneyField(allow_null=True)
    notional_quote = MoneyField(allow_null=True)
    unrealised_pnl_quote = MoneyField(allow_null=True)


class PositionListOutput(serializers.Serializer):
    results = PositionRow(many=True)


class PositionListApi(Operation):
    @extend_schema(
        operation_id="position_list",
        parameters=[RunFilter],
        responses={200: PositionListOutput} | READ_PROBLEMS,
    )
    def get(self, request: Request) -> Response:
        run = run_of(filters_of(request, RunFilter))
        return Response(PositionListOutput({"results": position_list(run=run)}).data)


class EquityFilters(RunFilter):
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    max_points = serializers.IntegerField(required=False, default=500, min_value=1, max_value=5_000)


class EquityRow(serializers.Serializer):
    at = serializers.DateTimeField()
    equity_quote = MoneyField()
    cash_quote = MoneyField()
    exposure_quote = MoneyField()
    peak_equity_quote = MoneyField()
    drawdown_fraction = serializers.FloatField()
    day_pnl_quote = MoneyField()


class EquityOutput(serializers.Serializer):
    results = EquityRow(many=True)


class EquityListApi(Operation):
    """Oldest first, evenly thinned to at most ``max_points``; the newest point stays."""

    @extend_schema(
        operation_id="equity_list",
        parameters=[EquityFilters],
        responses={200: EquityOutput} | READ_PROBLEMS,
    )
    def get(self, request: Request) -> Response:
        filters = filters_of(request, EquityFilters)
        points = equity_list(
            run=run_of(filters),
            max_points=filters["max_points"],
            since=filters.get("since"),
            until=filters.get("until"),
        )
        return Response(EquityOutput({"results": points}).data)
