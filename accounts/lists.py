"""The operation of a list: filters, one page of rows, the cursor of the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.operations import READ_PROBLEMS, Operation
from accounts.paging import ListFilters, filters_of, page_of


class ListOperation(Operation):
    """Newest first, a page at a time; ``next_cursor`` is empty on the last page."""

    # A subclass names what it shows and finds the rows. This text stands in the API's own
    # documentation, and a row called SomethingRow makes a page called SomethingPage there.
    operation_id: ClassVar[str]
    filters: ClassVar[type[ListFilters]] = ListFilters
    row: ClassVar[type[serializers.Serializer[Any]]]
    time_field: ClassVar[str]
    page: ClassVar[type[serializers.Serializer[Any]]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        name = f"{cls.row.__name__.removesuffix('Row')}Page"
        fields = {
            "results": cls.row(many=True, source="rows"),
            "next_cursor": serializers.CharField(),
        }
        cls.page = type(name, (serializers.Serializer,), fields)
        documented = extend_schema(
            operation_id=cls.operation_id,
            parameters=[cls.filters],
            responses={200: cls.page} | READ_PROBLEMS,
        )
        extend_schema_view(get=documented)(cls)

    def rows(self, filters: Mapping[str, Any]) -> QuerySet[Any]:
        """Return every row the filters leave; cursor, period and page size are seen to."""
        raise NotImplementedError

    def get(self, request: Request) -> Response:
        filters = filters_of(request, self.filters)
        found = page_of(self.rows(filters), filters, time_field=self.time_field)
        return Response(self.page(found).data)
