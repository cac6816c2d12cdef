"""How the account of a run did, as one document."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.operations import READ_PROBLEMS, Operation
from accounts.paging import filters_of
from trades.apis.filters import RunFilter, run_of
from trades.selectors.performance import performance_document


class PerformanceFilters(RunFilter):
    quote = serializers.CharField(
        required=False, max_length=20, default="", help_text="currency of totals; the run's if none"
    )


class FigureRow(serializers.Serializer):
    code = serializers.CharField()
    title = serializers.CharField()
    value = serializers.FloatField(allow_null=True)
    unit = serializers.CharField()
    why_not = serializers.CharField(help_text="what is missing where there is no value")


class CurveColumns(serializers.Serializer):
    ts_ms = serializers.ListField(child=serializers.IntegerField())
    equity_quote = serializers.ListField(child=serializers.FloatField())
    growth = serializers.ListField(
        child=serializers.FloatField(), help_text="1 at the start, deposits kept out"
    )
    underwater_fraction = serializers.ListField(child=serializers.FloatField())
    hold_growth = serializers.ListField(
        child=serializers.FloatField(), help_text="equal parts of hold_symbols, bought and held"
    )
    hold_symbols = serializers.ListField(child=serializers.CharField())
    hold_missing = serializers.ListField(child=serializers.CharField())


class DrawdownRow(serializers.Serializer):
    started_ms = serializers.IntegerField()
    trough_ms = serializers.IntegerField()
    recovered_ms = serializers.IntegerField(allow_null=True)
    depth_fraction = serializers.FloatField()
    days = serializers.FloatField()


class MonthRow(serializers.Serializer):
    year = serializers.IntegerField()
    month = serializers.IntegerField()
    return_fraction = serializers.FloatField()


class YearRow(serializers.Serializer):
    year = serializers.IntegerField()
    return_fraction = serializers.FloatField()


class DistributionRow(serializers.Serializer):
    edges = serializers.ListField(child=serializers.FloatField())
    counts = serializers.ListField(child=serializers.IntegerField())
    n = serializers.IntegerField()
    left_out = serializers.IntegerField(help_text="trades without a stop have no R")


class DistributionsRow(serializers.Serializer):
    r = DistributionRow()
    quote = DistributionRow()


class GroupRow(serializers.Serializer):
    key = serializers.CharField()
    trades = serializers.IntegerField()
    wins = serializers.IntegerField()
    pnl = serializers.FloatField()
    fees = serializers.FloatField()
    win_rate_fraction = serializers.FloatField(allow_null=True)
    profit_factor = serializers.FloatField(allow_null=True)
    expectancy = serializers.FloatField(allow_null=True)
    expectancy_r = serializers.FloatField(allow_null=True)
    best = serializers.FloatField(allow_null=True)
    worst = serializers.FloatField(allow_null=True)
    mean_holding_ms = serializers.FloatField(allow_null=True)


class GroupsRow(serializers.Serializer):
    strategy = GroupRow(many=True)
    symbol = GroupRow(many=True)
    regime = GroupRow(many=True)
    entry_tag = GroupRow(many=True)
    exit_reason = GroupRow(many=True)
    mix_tag = GroupRow(many=True)


class UsedRow(serializers.Serializer):
    used = serializers.IntegerField()
    stored = serializers.IntegerField()


class TradesRow(UsedRow):
    dust = serializers.IntegerField(help_text="swept out of the books; in the profit alone")


class AccountPerformanceOutput(serializers.Serializer):
    """What follows ``empty`` is there only where it is empty."""

    empty = serializers.CharField(help_text="why there is nothing to show")
    run = serializers.UUIDField(required=False)
    quote = serializers.CharField(required=False)
    told_in = serializers.CharField(required=False, help_text="currency of totals")
    rate = serializers.FloatField(required=False, help_text="price of one of it, in quote")
    rate_at_ms = serializers.IntegerField(required=False, allow_null=True)
    quotes = serializers.ListField(child=serializers.CharField(), required=False)
    needed_trades = serializers.IntegerField(required=False)
    needed_days = serializers.IntegerField(required=False)
    since_ms = serializers.IntegerField(required=False)
    until_ms = serializers.IntegerField(required=False)
    points = UsedRow(required=False)
    trades = TradesRow(required=False)
    figures = FigureRow(many=True, required=False)
    curve = CurveColumns(required=False)
    drawdowns = DrawdownRow(many=True, required=False)
    months = MonthRow(many=True, required=False)
    years = YearRow(many=True, required=False)
    distributions = DistributionsRow(required=False)
    groups = GroupsRow(required=False)


class AccountPerformanceApi(Operation):
    """Deposits and withdrawals are kept out of return and drawdown."""

    @extend_schema(
        operation_id="account_performance",
        parameters=[PerformanceFilters],
        responses={200: AccountPerformanceOutput} | READ_PROBLEMS,
    )
    def get(self, request: Request) -> Response:
        filters = filters_of(request, PerformanceFilters)
        run = run_of(filters)
        try:
            found = performance_document(run=run, quote=filters["quote"])
        except ValueError as error:
            raise serializers.ValidationError({"quote": str(error)}) from None
        return Response(AccountPerformanceOutput(found).data)
