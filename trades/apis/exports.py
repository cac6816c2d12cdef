"""Closed trades and orders as one file, by the filters of their lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from accounts.exports import csv_text
from accounts.operations import READ_PROBLEMS, Operation
from accounts.paging import AllowedChoiceField, filters_of
from trades.apis.ledger import (
    OrderFilters,
    OrderRow,
    TradeFilters,
    TradeRow,
    orders_of,
    trades_of,
)

# What one answer holds; a file of more would keep a worker of the web process for minutes.
ROWS_IN_A_FILE = 50_000
FORMATS = (("csv", "csv"), ("json", "json"))


class TradeExportFilters(TradeFilters):
    # a file is one page
    cursor = None  # type: ignore[assignment]
    page_size = None  # type: ignore[assignment]
    file = AllowedChoiceField(required=False, choices=FORMATS, default="csv")


class OrderExportFilters(OrderFilters):
    cursor = None  # type: ignore[assignment]
    page_size = None  # type: ignore[assignment]
    file = AllowedChoiceField(required=False, choices=FORMATS, default="csv")


class _ExportApi(Operation):
    """Newest first; refused where the filters leave more rows than a file holds."""

    filters: ClassVar[type[serializers.Serializer[Any]]]
    row: ClassVar[type[serializers.Serializer[Any]]]
    name: ClassVar[str]

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        raise NotImplementedError

    def export(self, request: Request) -> HttpResponse:
        filters = filters_of(request, self.filters)
        rows = self.rows(filters)
        found = rows.count()
        if found > ROWS_IN_A_FILE:
            raise serializers.ValidationError(
                f"the filters leave {found} {self.name}, allowed in one file: {ROWS_IN_A_FILE};"
                " since and until make it fewer"
            )
        shown = self.row(rows.iterator(chunk_size=2_000), many=True).data
        return file_answer(shown, list(self.row().fields), name=self.name, kind=filters["file"])


def file_answer(
    rows: list[dict[str, Any]], columns: list[str], *, name: str, kind: str
) -> HttpResponse:
    """Return rows as a file to keep; CSV is safe to open in a spreadsheet (SEC-40)."""
    if kind == "json":
        body, content_type = JSONRenderer().render(rows), "application/json"
    else:
        text = csv_text(columns, ([row[column] for column in columns] for row in rows))
        body, content_type = text.encode(), "text/csv; charset=utf-8"
    answer = HttpResponse(body, content_type=content_type)
    answer["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
    return answer


def _documented(operation_id: str, filters: Any, row: Any) -> Any:
    return extend_schema(
        operation_id=operation_id,
        parameters=[filters],
        responses={200: row(many=True), (200, "text/csv"): OpenApiTypes.STR} | READ_PROBLEMS,
    )


class TradeExportApi(_ExportApi):
    filters, row, name = TradeExportFilters, TradeRow, "trades"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return trades_of(filters, **_period(filters))

    @_documented("trade_export", TradeExportFilters, TradeRow)
    def get(self, request: Request) -> HttpResponse:
        return self.export(request)


class OrderExportApi(_ExportApi):
    filters, row, name = OrderExportFilters, OrderRow, "orders"

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        return orders_of(filters, **_period(filters))

    @_documented("order_export", OrderExportFilters, OrderRow)
    def get(self, request: Request) -> HttpResponse:
        return self.export(request)


def _period(filters: Mapping[str, Any]) -> dict[str, Any]:
    return {"since": filters.get("since"), "until": filters.get("until")}
