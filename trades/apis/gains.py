"""Realised gains of a year, as JSON or as a CSV file."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.money import MoneyField
from accounts.operations import READ_PROBLEMS, Operation
from accounts.paging import filters_of
from trades.apis.filters import RunFilter, run_of
from trades.selectors.gains import gain_csv, gain_list, gain_rows, gain_totals


class GainFilters(RunFilter):
    year = serializers.IntegerField(min_value=2009, max_value=2200, help_text="UTC")
    csv = serializers.BooleanField(required=False, default=False, help_text="answer as a file")


class GainRow(serializers.Serializer):
    symbol = serializers.CharField()
    quantity_base = MoneyField()
    acquired_at = serializers.DateTimeField(allow_null=True)
    disposed_at = serializers.DateTimeField()
    holding_days = serializers.IntegerField(allow_null=True)
    proceeds_quote = MoneyField()
    cost_quote = MoneyField(allow_null=True)
    fees_quote = MoneyField()
    gain_quote = MoneyField(allow_null=True)
    quote = serializers.CharField()
    unvalued_fee = serializers.CharField()


class GainTotals(serializers.Serializer):
    quote = serializers.CharField()
    disposals = serializers.IntegerField()
    unknown = serializers.IntegerField(help_text="disposals whose cost nobody knows")
    proceeds_quote = MoneyField()
    cost_quote = MoneyField()
    fees_quote = MoneyField()
    gain_quote = MoneyField()


class GainOutput(serializers.Serializer):
    year = serializers.IntegerField()
    totals = GainTotals(many=True)
    results = GainRow(many=True)


class GainListApi(Operation):
    """First in, first out over the account of the run, whichever strategy traded."""

    @extend_schema(
        operation_id="gain_list",
        parameters=[GainFilters],
        responses={200: GainOutput, (200, "text/csv"): OpenApiTypes.STR} | READ_PROBLEMS,
    )
    def get(self, request: Request) -> Response | HttpResponse:
        filters = filters_of(request, GainFilters)
        found = gain_list(run=run_of(filters), year=filters["year"])
        if filters["csv"]:
            return csv_answer(gain_csv(found), filters["year"])
        shown = {
            "year": filters["year"],
            "totals": gain_totals(found),
            "results": gain_rows(found),
        }
        return Response(GainOutput(shown).data)


def csv_answer(text: str, year: int) -> HttpResponse:
    answer = HttpResponse(text, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="gains-{year}.csv"'
    return answer
