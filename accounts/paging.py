"""Lists: newest first, an opaque cursor, a bounded page; and filters that say what is allowed."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from django.db.models import Model, Q, QuerySet
from rest_framework import serializers
from rest_framework.request import Request

MAX_PAGE_SIZE = 500
DEFAULT_PAGE_SIZE = 100
MAX_RANGE = timedelta(days=366)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """``next_cursor`` is empty on the last page."""

    rows: list[M]
    next_cursor: str


class AllowedChoiceField(serializers.ChoiceField):
    """A choice whose refusal names the value and what is allowed."""

    def fail(self, key: str, **kwargs: Any) -> Any:
        if key == "invalid_choice":
            allowed = ", ".join(str(choice) for choice in self.choices)
            raise serializers.ValidationError(f"was {kwargs['input']!r}, allowed: {allowed}")
        super().fail(key, **kwargs)


class CursorField(serializers.CharField):
    """Decodes to (time, id) of the last row that was shown."""

    def to_internal_value(self, data: Any) -> tuple[datetime, int]:
        text = super().to_internal_value(data)
        try:
            micros, row_id = base64.urlsafe_b64decode(text.encode("ascii")).split(b".")
            at = EPOCH + timedelta(microseconds=int(micros))
            position = int(row_id)
        except (ValueError, OverflowError, binascii.Error):
            at, position = EPOCH, -1
        if not 0 <= position < 2**63:
            raise serializers.ValidationError(
                f"was {text[:80]!r}, allowed: next_cursor of an earlier answer"
            )
        return at, position


class ListFilters(serializers.Serializer[Any]):
    """What every list understands; each list adds its own filters."""

    cursor = CursorField(required=False, max_length=200, help_text="next_cursor of a page")
    page_size = serializers.IntegerField(
        required=False, min_value=1, max_value=MAX_PAGE_SIZE, default=DEFAULT_PAGE_SIZE
    )
    since = serializers.DateTimeField(required=False, help_text="from this time on")
    until = serializers.DateTimeField(required=False, help_text="before this time")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        since, until = attrs.get("since"), attrs.get("until")
        if since and until and not timedelta(0) <= until - since <= MAX_RANGE:
            raise serializers.ValidationError(
                f"the range was {(until - since).days} days, allowed: 0 to {MAX_RANGE.days}"
            )
        return attrs


def filters_of(request: Request, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
    """Return the validated filters of a request.

    Raises:
        ValidationError: an unknown or doubled name, or a bad value; says what is allowed.
    """
    allowed = list(serializer().fields)
    for name, values in request.query_params.lists():
        if name not in allowed:
            raise serializers.ValidationError(
                {name[:80]: f"is not a filter of this list, allowed: {', '.join(allowed)}"}
            )
        if len(values) != 1:
            raise serializers.ValidationError({name: f"was given {len(values)} times, allowed: 1"})
    given = serializer(data=request.query_params.dict())
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def page_of(rows: QuerySet[M], filters: Mapping[str, Any], *, time_field: str) -> Page[M]:
    """Return one page, newest first by ``time_field`` and then id.

    A keyset, not an offset: rows that arrive while a reader pages neither repeat nor vanish.
    """
    if since := filters.get("since"):
        rows = rows.filter(**{f"{time_field}__gte": since})
    if until := filters.get("until"):
        rows = rows.filter(**{f"{time_field}__lt": until})
    if cursor := filters.get("cursor"):
        at, row_id = cursor
        earlier = Q(**{f"{time_field}__lt": at}) | Q(**{time_field: at}, id__lt=row_id)
        rows = rows.filter(earlier, **{f"{time_field}__lte": at})
    size = filters["page_size"]
    found = list(rows.order_by(f"-{time_field}", "-id")[: size + 1])
    shown = found[:size]
    return Page(shown, _cursor(shown[-1], time_field) if len(found) > size else "")


def _cursor(row: Model, time_field: str) -> str:
    micros = (getattr(row, time_field) - EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{micros}.{row.pk}".encode()).decode()
